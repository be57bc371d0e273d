"""The invariants of ownership, checked from outside all along.

Each check runs where what it guards can break: after each instant in which a
shard's holdings changed, at each step of a shard, at each message that the
server takes or lets out, at each datagram and at each tick of the server. Who
may simulate what is known from `sidereal.testing.ledger`, which never looks into
the server's books; the record is compared with it.

========================== =====================================================
invariant                  what it says
========================== =====================================================
one simulates              at most one copy of an entity simulates with authority
agrees with the record     in version, sector and owner
nothing is dropped         created = live + destroyed; one record for each
versions only rise         and within a version ticks
durable before visible     what was said is what the next server finds
one owner per epoch        of a sector
no takeover within a lease unless the owner let go
newest values go           not what was lost, again
no tick is lost            by a handoff, a migration, an unloading
ends are wished            a shard ends only what its game wants ended, of the copy that it has
leased                     nothing simulates, and nothing leaves, without a lease
the fenced have no effect  nothing from a fenced incarnation changes anything
groups stay whole          one sector, one holder
a replay is the record     the journal, played back, is what memory has (`replays`)
the audit finds nothing    the server's own, while it runs
everything rests           after faults heal, all is active, nothing hangs, and wished ends came
honest peers are believed  nobody ends a link of a peer that keeps the protocol
no process breaks down     no code fails, whatever comes: a new server can begin, for one
========================== =====================================================
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sidereal.ids import LinkId
from sidereal.kernel import ABSENT
from sidereal.shard.phase import DESTROYING, SHADOW, STILL
from sidereal.testing.ledger import Ledger
from sidereal.testing.lives import Life
from sidereal.testing.observer import Observer, Violation
from sidereal.wire import operator_messages as om
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import Message
from sidereal.wire.datagrams import ENTITY_UPDATE
from sidereal.world.columns import U32, U64
from sidereal.world.sectors import SectorState

if TYPE_CHECKING:
    from sidereal.testing.cluster import Cluster
    from sidereal.testing.server import ServerProcess
    from sidereal.testing.shards import SimulatedShard

REST = 1e-6
"""How far, in sector sizes, a position at rest may differ: an update's rounding."""


def simulated_by(shard: "SimulatedShard", now: int) -> U64:
    """Return the ids that a shard may simulate with authority at `now`."""
    if not shard.alive or not shard.core.has_lease(now):
        return np.empty(0, np.uint64)
    return _unfrozen(shard)


def _unfrozen(shard: "SimulatedShard") -> U64:
    table = shard.core.holdings.table
    found: U64 = table.ids[table.phase & (SHADOW | DESTROYING | STILL) == 0]
    return found


class Witness(Observer):
    """Holds all invariants against a cluster while it runs."""

    def __init__(self, cluster: "Cluster") -> None:
        self.cluster = cluster
        self.ledger = Ledger()
        self.honest = False
        """Whether nobody in this cluster breaks the protocol on purpose."""
        self.checks = 0
        """How often anything was checked."""
        self._leased_last: list[SimulatedShard] = []
        """Which shards had a lease when all that they simulate was compared last."""
        self._ids: U64 = np.empty(0, np.uint64)
        self._version: U32 = np.empty(0, np.uint32)
        self._tick: U32 = np.empty(0, np.uint32)
        self._ticks_before: U32 = np.empty(0, np.uint32)

    # --- sessions and messages -----------------------------------------------

    def connected(self, shard: "SimulatedShard") -> None:
        """A session begins."""
        self.ledger.connected(shard)

    def server_heard(self, shard: "SimulatedShard | None", link: int, message: Message) -> None:
        """The server took a message: of a link that is over, without effect."""
        self.checks += 1
        life = self.ledger.lives.get(link)
        if life is not None and link in self.cluster.server.lines:
            self.ledger.heard(message, life)
        elif life is not None and shard is None:
            self._no_effect(life.name, message)
        elif isinstance(message, om.DestroyByOperator):
            self.ledger.doom(list(message.ids))

    def server_said(self, shard: "SimulatedShard", link: int, message: Message) -> None:
        """The server let a message out: has it the right to say so?"""
        self.checks += 1
        self.ledger.said(message, self.ledger.lives[link])

    def operator_told(self, message: Message) -> None:
        """An operator hears what has ended by its word: by then that is durable."""
        self.checks += 1
        if isinstance(message, om.DestroyOutcome):
            self.ledger.gone(message.destroyed.ids.tolist())

    def shard_heard(self, shard: "SimulatedShard", message: Message) -> None:
        """A lease has reached a shard."""
        life = self.ledger.lives[shard.link]
        if isinstance(message, sm.HeartbeatAck) and not message.extends:
            return
        if isinstance(message, sm.HeartbeatAck | sm.RegistrationAck):
            life.heard_until = max(life.heard_until, message.sent_ns + life.lease_ns)

    def shard_said(self, shard: "SimulatedShard", message: Message) -> None:
        """What a step led to leaves only within the lease.

        What a verdict lets a shard say again may be said later: it is of steps within the lease,
        and the session in which it is said is one that the server has not fenced.
        """
        life = self.ledger.lives[shard.link]
        if isinstance(message, sm.DestroyEntities):
            self._ends(shard, life, message.claims.ids.tolist())
        if not isinstance(message, sm.EntityTransitionRequest):
            return
        if life.judged_ns != self.cluster.clock.now:
            self._leased(shard, "asks to hand over")
        elif (message.entities.tick > life.ticked).any():
            raise Violation(
                "leased",
                f"{shard.name} asks for what is of tick {message.entities.tick.max()}; within its"
                f" lease it simulated until {life.ticked}",
                message.entities.ids.tolist(),
            )

    def wished_ends(self, shard: "SimulatedShard", ids: U64) -> None:
        """A game wants these ended: the copies that its shard has now, and no later ones."""
        here = ids[shard.core.holdings.table.slots(ids) != ABSENT]
        self.ledger.lives[shard.link].unwanted.update(here.tolist())

    def _ends(self, shard: "SimulatedShard", life: Life, ids: list[int]) -> None:
        unasked = [entity for entity in ids if entity not in life.unwanted]
        if unasked:
            raise Violation(
                "ends are wished",
                f"{shard.name} ends {unasked[:5]}; its game has not wanted that since they came",
                unasked,
            )

    def shard_hears(self, shard: "SimulatedShard", message: Message) -> None:
        """Take note of a verdict: what was asked for before may be asked again with it.

        And of copies that have left, with what the game wanted of them: before the next message,
        which may bring another. What was wished of one that left just now may still be said.
        """
        life = self.ledger.lives[shard.link]
        if life.unwanted:
            wanted = np.fromiter(life.unwanted, np.uint64)
            gone = wanted[shard.core.holdings.table.slots(wanted) == ABSENT]
            life.unwanted.difference_update(gone.tolist())
        if isinstance(message, sm.SessionVerdict):
            life.judged_ns = self.cluster.clock.now

    def shard_updated(self, shard: "SimulatedShard", payloads: Sequence[bytes]) -> None:
        """Updates leave only within the lease, and say what was simulated last, nothing older."""
        self._leased(shard, "sends updates")
        newest = self.ledger.lives[shard.link].ticked
        ticks = [int.from_bytes(p[4:8], "little") for p in payloads if p[0] == ENTITY_UPDATE]
        if ticks and min(ticks) < newest:
            raise Violation(
                "newest values go",
                f"{shard.name} sends an update as of tick {min(ticks)}, and has simulated {newest}",
            )

    def stepped(self, shard: "SimulatedShard", tick: int, ids: U64, versions: U32) -> None:
        """A step is held against lease, ledger and record."""
        self.checks += 1
        self._leased(shard, "simulates")
        self.ledger.lives[shard.link].ticked = tick
        if len(ids):
            self.ledger.stepped(shard, tick, ids, versions)
            if self.cluster.server.alive:
                self._recorded(shard, ids, versions)

    def _leased(self, shard: "SimulatedShard", does: str) -> None:
        until = self.ledger.lives[shard.link].heard_until
        if shard.clock.now >= until:
            late_ms = (shard.clock.now - until) / 1e6
            raise Violation("leased", f"{shard.name} {does} {late_ms:.1f} ms after its lease ended")

    # --- the record ----------------------------------------------------------

    def _recorded(self, shard: "SimulatedShard", ids: U64, versions: U32) -> None:
        """What is simulated is the record's in version, sector and owner, or was just destroyed."""
        books = self.cluster.manager.books
        record, here = books.table, shard.core.holdings
        there = record.slots(ids)
        known = there != ABSENT
        if np.count_nonzero(known) < len(ids):
            gone = [e for e in ids[~known].tolist() if not self.ledger.known[e].doomed]
            if gone:
                raise Violation("nothing is dropped", f"{gone[:5]} are in no record", gone)
            ids, versions, there = ids[known], versions[known], there[known]
        rows = there.astype(np.intp)  # once, and not for each column
        sector = here.table.sector.take(here.table.slots(ids), axis=0)
        owner, epoch = books.owners.get(sector)
        _, own = here.own.get(sector)
        shard_id = shard.core.shard_id
        for differs, what in (
            (versions != record.version[rows], "at versions that are not the record's"),
            (sector != record.sector.take(rows, axis=0), "in sectors that are not the record's"),
            (record.shard[rows] != shard_id, "and was not sent them"),
            ((owner != shard_id) | (epoch != own), "in sectors that are not its own"),
        ):
            if np.count_nonzero(differs):
                wrong = differs.reshape(len(ids), -1).any(axis=1)
                raise Violation(
                    "agrees with the record",
                    f"{shard.name} simulates {ids[wrong][:5]} {what}",
                    ids[wrong].tolist(),
                )

    def updated(self, server: "ServerProcess", link: LinkId) -> None:
        """Datagrams were taken: they changed only what their sender holds."""
        if server is not self.cluster.server:
            return  # it is deposed, whether it knows it or not: its memory is nobody's record
        self.checks += 1
        table = server.manager.books.table
        before, after = self._ticks_before, table.tick
        if len(before) == len(after):
            changed = (before != after).nonzero()[0]
            life = self.ledger.lives.get(link)
            ids = table.ids[changed].tolist() if len(changed) else []
            known_of = self.ledger.known
            if link in server.lines:
                ids = [e for e in ids if e not in known_of or known_of[e].life is not life]
            for entity in ids:
                known = known_of.get(entity)
                if known is not None and not known.doomed:
                    sender = life.name if life is not None else "nobody known"
                    raise Violation(
                        "the fenced have no effect",
                        f"an update of {sender} changed {entity}, which"
                        f" {known.life.name if known.life else 'the server'} holds",
                        [entity],
                    )

    def before_update(self, server: "ServerProcess") -> None:
        """Datagrams are about to be taken."""
        self._ticks_before = server.manager.books.table.tick.copy()

    def restarted(self) -> None:
        """Another server leads: whatever was visible is in the record that it has found."""
        table = self.cluster.manager.books.table
        version = dict(zip(table.ids.tolist(), table.version.tolist(), strict=True))
        self.ledger.restored(version)
        self._ids, self._version = table.ids.copy(), table.version.copy()
        self._tick = table.tick.copy()

    def _no_effect(self, name: str, message: Message) -> None:
        if self.cluster.manager.books.out:
            raise Violation(
                "the fenced have no effect",
                f"{type(message).__name__} over a link of {name} that had ended had one",
            )

    def server_ticked(self) -> None:
        """Versions only rise, within a version ticks; nothing has gone that nobody ended."""
        self.checks += 1
        table = self.cluster.manager.books.table
        ids = table.ids
        if ids.tobytes() == self._ids.tobytes():
            version, tick = table.version, table.tick
            fell = (version < self._version) | ((version == self._version) & (tick < self._tick))
            if np.count_nonzero(fell):
                raise Violation(
                    "versions only rise",
                    f"in the record version or tick of {ids[fell][:5]} fell",
                    ids[fell].tolist(),
                )
        else:
            self._population(ids)
        self._ids, self._version, self._tick = ids.copy(), table.version.copy(), table.tick.copy()
        if np.count_nonzero(table.group):
            self._groups()

    def _population(self, ids: U64) -> None:
        recorded = set(ids.tolist())
        before = set(self._ids.tolist())
        for entity in sorted(before - recorded):
            known = self.ledger.known.get(entity)
            if known is None or not known.doomed:
                raise Violation("nothing is dropped", f"{entity} is in no record", [entity])
        for entity in sorted(recorded - before):
            known = self.ledger.born(entity)
            if not self.ledger.may_exist(entity) or (known is not None and known.doomed):
                raise Violation("nothing is dropped", f"{entity} came from nowhere", [entity])
        if self.cluster.server.settled:
            lost = sorted(self.ledger.alive() - recorded)
            if lost:
                raise Violation("nothing is dropped", f"{lost[:5]} are in no record", lost)
        counters = self.cluster.manager.books.counters
        if counters["created"] != len(recorded) + counters["destroyed"]:
            raise Violation(
                "nothing is dropped",
                f"{counters['created']} created, {len(recorded)} in the record,"
                f" {counters['destroyed']} destroyed",
            )

    def _groups(self) -> None:
        """A group whose root lives has one sector, and no two shards hold of it."""
        table = self.cluster.manager.books.table
        rows = np.flatnonzero(table.group)
        roots = table.slots(table.group[rows])
        rows, roots = rows[roots != ABSENT], roots[roots != ABSENT]
        rooted = table.group[roots] == table.ids[roots]
        rows, roots = rows[rooted], roots[rooted]
        torn = (table.sector[rows] != table.sector[roots]).any(axis=1)
        held, root = table.shard[rows], table.shard[roots]
        torn |= (held != root) & (held >= 0) & (root >= 0)
        if torn.any():
            ids = table.ids[rows[torn]]
            raise Violation(
                "groups stay whole",
                f"{ids[:5]} are apart from their root {table.group[rows[torn]][0]}",
                [*ids.tolist(), *table.group[rows[torn]].tolist()],
            )

    # --- every instant -------------------------------------------------------

    def instant(self) -> None:
        """At most one copy of an entity simulates with authority; nobody was accused."""
        cluster = self.cluster
        if cluster.accusations and self.honest:
            raise Violation("honest peers are believed", cluster.accusations[0])
        if not cluster.touched:
            return
        cluster.touched = False
        self.checks += 1
        same = True
        for shard in cluster.shards:
            if not shard.touched:
                continue  # it has got neither an entity nor a lease
            shard.touched = False
            simulates = _unfrozen(shard)
            # As bytes: for so few a comparison of arrays takes ten times as long.
            same = same and simulates.tobytes() == shard.simulates.tobytes()
            same = same and (shard in self._leased_last or not shard.leased)
            shard.simulates = simulates
        if same:
            return
        self._leased_last = leased = [shard for shard in cluster.shards if shard.leased]
        parts = [shard.simulates for shard in leased]
        everywhere = np.concatenate(parts) if parts else np.empty(0, np.uint64)
        everywhere.sort()
        twice = everywhere[1:][everywhere[1:] == everywhere[:-1]]
        if len(twice):
            entity = int(twice[0])
            holders = [s.name for s in leased if entity in s.simulates]
            raise Violation(
                "one simulates", f"{entity} is simulated by {' and '.join(holders)}", [entity]
            )


def settled(cluster: "Cluster") -> None:
    """Every entity of the record is simulated, by the shard that the record says."""
    table = cluster.manager.books.table
    total = 0
    for shard in cluster.alive():
        ids, shard_id = simulated_by(shard, shard.clock.now), shard.core.shard_id
        slots = table.slots(ids)
        _rests((slots != ABSENT).all(), f"shard {shard_id} simulates what is not recorded")
        wrong = table.shard[slots] != shard_id
        _rests(not wrong.any(), f"shard {shard_id} simulates {ids[wrong][:5]} of another")
        total += len(ids)
    _rests(total == len(table), f"{len(table)} recorded, {total} simulated")


def at_rest(cluster: "Cluster") -> None:
    """Settled; and nothing is on its way, undecided, still to end, or known here other than there.

    Entities must have stood still for long enough that their last updates arrived.
    """
    settled(cluster)
    books = cluster.manager.books
    stuck = [
        entry
        for entry in books.sectors.values()
        if entry.state not in (SectorState.ACTIVE, SectorState.UNLOADED)
        or entry.awaiting
        or entry.custody_since_ns is not None
    ]
    _rests(not stuck, f"not at rest: {stuck[:1]}")
    table = books.table
    owner, _ = books.owners.get(table.sector)
    _rests((owner == table.shard).all(), "an entity was sent to another than its sector's owner")
    for shard in cluster.alive():
        if not shard.leased:
            continue
        here, shard_id = shard.core.holdings.table, shard.core.shard_id
        odd = here.ids[here.phase != 0]
        _rests(not len(odd), f"shard {shard_id} has {odd[:5]} undecided or standing still")
        has = {coords: held.epoch for coords, held in shard.core.sectors.held.items()}
        given = {e.coords: e.epoch for e in books.sectors.values() if e.shard_id == shard_id}
        _rests(has == given, f"shard {shard_id} and the record differ on the sectors it has")
        apart = np.abs(here.position - table.position[table.slots(here.ids)]).max(axis=1)
        far = apart > REST * books.rules.sector_size
        _rests(not far.any(), f"the record has {here.ids[far][:5]} where they are not")
        wanted = np.array(sorted(cluster.witness.ledger.lives[shard.link].unwanted), np.uint64)
        spared = wanted[here.slots(wanted) != ABSENT]
        _rests(not len(spared), f"{shard.name} has {spared[:5]}, which its game has ended")


def unaccused(cluster: "Cluster") -> None:
    """The server's own audit has found nothing."""
    if cluster.counters["audit_differences"]:
        found = cluster.manager.books.differences
        raise Violation("the audit finds nothing", f"it found {found[:3]}")


def _rests(good: object, story: str) -> None:
    if not good:
        raise Violation("everything rests", story)
