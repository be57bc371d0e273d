"""`SectorManager`: the coordinator, as a state machine.

Messages, datagrams and time go in; `poll` drains what is to be sent. Nothing in
here knows a socket, a file or a clock. What it decides lives in topics of its
own: `transitions`, `lifecycle`, `leases`, `activation`, `balance`, `operators`.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sidereal.errors import ProtocolError
from sidereal.ids import LinkId
from sidereal.kernel import ABSENT, apply_states, apply_updates
from sidereal.limits import BATCH_ROWS_MAX, GRANTS_PER_SHARD_MAX
from sidereal.replication import (
    activation,
    leases,
    lifecycle,
    operators,
    records,
    transitions,
)
from sidereal.replication.admission import Admission, grant, trust_clock
from sidereal.replication.books import CloseLink, Output
from sidereal.replication.clients import Clients, Rng
from sidereal.replication.ghosts import GhostFeed
from sidereal.replication.interest import Interest
from sidereal.replication.mail import Sender, is_new
from sidereal.replication.rebalance import Rebalancer
from sidereal.replication.registry import ShardInfo
from sidereal.replication.replay import Moment, image_of, restore
from sidereal.replication.settings import Settings
from sidereal.wire import operator_messages as om
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import Message
from sidereal.wire.datagrams import ENTITY_STATE, ENTITY_UPDATE
from sidereal.world.columns import U64
from sidereal.world.sectors import SectorState

ROLE_SHARD = "shard:"
ROLE_OPERATOR = "admin"
ROLE_CLIENT = "clients"


class Step(NamedTuple):
    """What is to be committed; and what is to be sent, but not before that is durable."""

    records: list[bytes]
    outputs: list[Output]


class SectorManager:
    """The replication server's core.

    Parameters
    ----------
    settings
        Leases, intervals, weights and the rules of the world.
    term
        Which leadership this is; one higher at each takeover.
    now
        The present, in ns of a clock that counts suspended time. In a new world, tick 0.
    rng
        ``rng(n)`` gives n random bytes, for clients' tokens; without it, clients are refused.
    clock, wall_ns
        The name of the clock that `now` is of, and the time since 1970, for a successor.
    history
        What the journal holds: the newest image, if there is one, and the records after it.

    Raises
    ------
    StoreDamaged, ConfigError
        The history makes no sense, or is of a world with other rules.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        term: int = 1,
        now: int = 0,
        rng: Rng | None = None,
        clock: str = "",
        wall_ns: int = 0,
        history: Iterable[bytes] = (),
    ) -> None:
        decoded = (records.decode(data) for data in history)
        self.books = restore(settings, term, Moment(now, clock, wall_ns), decoded)
        self.rebalancer = Rebalancer()
        self._ghosts = GhostFeed()
        self._admission = Admission()
        self._clients = Clients(rng)
        self._interest = Interest()
        self._roles: dict[LinkId, str] = {}
        self._ticked_ns: int | None = None
        self._survey_ns = now

    # --- links ---------------------------------------------------------------

    def connected(self, link: LinkId, key_name: str) -> None:
        """Note a new link; the key with which it was made says what it may do."""
        self._roles[link] = key_name

    def disconnected(self, link: LinkId, now: int) -> None:
        """Note the end of a link. Its shard's sectors stay its own until its lease is over; until
        then it may resume in another session.
        """
        self._roles.pop(link, None)
        self._clients.disconnected(self.books, link, now)
        self._admission.disconnected(link)
        shard = self.books.shards.end_session(link)
        if shard is not None:
            self.books.audit.ended(shard.shard_id)
            lifecycle.abort_moves_to(self.books, shard, "went away")

    def receive(self, link: LinkId, message: Message, now: int) -> None:
        """Take one message; what its sender did wrong ends that link, with the reason."""
        role = self._roles.get(link)
        if role is None:
            return
        try:
            if role.startswith(ROLE_SHARD):
                self._from_shard(link, role.removeprefix(ROLE_SHARD), message, now)
            elif role == ROLE_OPERATOR:
                self._from_operator(link, message, now)
            elif role == ROLE_CLIENT:
                self._clients.receive(self.books, link, message, now)
            else:
                raise ProtocolError(f"key {role!r} may not send {type(message).__name__}")
        except ProtocolError as error:
            self.books.counters["links_ended_for_errors"] += 1
            self.books.out.append(CloseLink(link, str(error)))
            self.disconnected(link, now)

    def receive_datagrams(self, link: LinkId, payloads: Sequence[bytes], now: int) -> None:
        """Take `EntityUpdate` datagrams; rows that match the record count, others are tallied."""
        shard = self.books.shards.by_link(link)
        counters = self.books.counters
        if shard is None:
            counters["datagrams_unexpected"] += len(payloads)
            return
        books = self.books
        updates: Sequence[bytes] = payloads
        others = [p for p in payloads if not p or p[0] != ENTITY_UPDATE]
        states = [p for p in others if p and p[0] == ENTITY_STATE]
        if others:
            updates = [p for p in payloads if p and p[0] == ENTITY_UPDATE]
            counters["datagrams_malformed"] += len(others) - len(states)
        if updates:
            tally = apply_updates(
                books.table,
                updates,
                shard.shard_id,
                books.owners,
                books.rules.sector_size,
                books.last_tick(now),
            )
            counters["updates"] += tally.applied
            counters["updates_stale"] += tally.stale_tick
            counters["updates_fenced"] += tally.wrong_owner + tally.wrong_handle
            counters["datagrams_malformed"] += tally.malformed
            counters["datagrams_ahead"] += tally.ahead
        if states:
            tally = apply_states(books.table, states, shard.shard_id)
            counters["states"] += tally.applied
            counters["datagrams_malformed"] += tally.malformed

    def sent_datagrams(self, link: LinkId, first_token: int) -> None:
        """Say which token the transport gave the first of one `SendDatagrams`; -1 for none."""
        session = self.books.sessions.by_link(link)
        if session is not None:
            session.view.sent(first_token)

    def notice(self, link: LinkId, acked: Sequence[int], lost: Sequence[int]) -> None:
        """Take the fate of datagrams that this server sent; the newest values go next."""
        self.books.counters["datagrams_lost"] += len(lost)
        session = self.books.sessions.by_link(link)
        if session is not None:
            session.view.notice(acked, lost)

    # --- time ----------------------------------------------------------------

    def tick(self, now: int) -> None:
        """Do what is due: fences, surveys, activation, deactivation, rebalancing."""
        books = self.books
        before, self._ticked_ns = self._ticked_ns, now
        if before is None:
            leases.begin(books, now)
        elif now - before > books.settings.stall_ns:
            leases.spare(books, now - before, now)
            lifecycle.stood_still(books, now - before)
        self._admission.tick(books, now)
        for shard in leases.dead(books, now):
            lifecycle.abort_moves_to(books, shard, "went away")
            if shard.link is not None:
                self._roles.pop(shard.link, None)
            leases.fence(books, shard, now)
        trust_clock(books)
        if now - self._survey_ns >= books.settings.survey_ns:
            self._survey_ns = now
            books.order.keep()
            activation.survey(books, now)
            self.rebalancer.observe(books, now)
            lifecycle.give_up_overdue(books, now)
            lifecycle.unload_idle(books, now)
            lifecycle.forget_unloaded(books, now)
            self.rebalancer.round(books, now)
        lifecycle.activate_wanted(books, now)
        books.audit.tick(books, now)
        self._clients.tick(books, now)
        self._ghosts.round(books, now)
        self._interest.round(books, now)

    def poll(self) -> Step:
        """Return, and forget, what is to be committed and what is to be sent then, in order."""
        books = self.books
        out, books.out = books.out, []
        journal, books.journal = books.journal, []
        for output in out:
            if isinstance(output, CloseLink):
                self._roles.pop(output.link, None)
        return Step([records.encode(record) for record in journal], out)

    def image(self) -> bytes:
        """Return the whole record as of the last `poll`, for a snapshot of the journal there."""
        assert not self.books.journal, "poll first: a snapshot is of what was polled"
        return records.encode(image_of(self.books))

    # --- shards --------------------------------------------------------------

    def _from_shard(self, link: LinkId, name: str, message: Message, now: int) -> None:
        books = self.books
        shard = books.shards.by_link(link)
        if isinstance(message, sm.RegisterShard):
            if shard is not None:
                raise ProtocolError("RegisterShard twice in one session")
            self._admission.register(books, link, name, message, now)
            return
        if isinstance(message, sm.ResumeShard):
            if shard is not None:
                raise ProtocolError("ResumeShard in the middle of a session")
            self._admission.resume(books, link, name, message, now)
            return
        if shard is None:
            raise ProtocolError(f"{type(message).__name__} before RegisterShard")
        match message:
            case sm.Heartbeat():
                leases.heartbeat(books, shard, message, now)
            case sm.ShardLoadUpdate():
                shard.load = message.stats
                shard.assigned_since_report = 0.0
            case sm.EntityTransitionRequest():
                if len(message.entities) > BATCH_ROWS_MAX and not message.entities.group.any():
                    raise ProtocolError(
                        f"{len(message.entities)} rows in one request; at most {BATCH_ROWS_MAX}"
                    )
                transitions.request(
                    books, shard, message.entities, now, message.mail_seen, message.mail_held
                )
            case sm.SendMail():
                if is_new(shard, message.number):
                    sender = Sender(f"{ROLE_SHARD}{name}", shard_id=shard.shard_id)
                    books.mail.post(books, sender, message)
            case sm.EntityStates():
                transitions.take_states(books, shard, message.states, now)
            case sm.EntityPlaces():
                transitions.take_places(books, shard, message.places, now)
            case sm.DestroyEntities():
                self._destroy(shard, message)
            case sm.AuditDigests():
                books.audit.digests(books, shard, message, now)
            case sm.AuditRows():
                books.audit.rows(books, shard, message, now)
            case sm.SectorReady():
                lifecycle.ready(books, shard, message, now)
            case sm.SectorCopy():
                lifecycle.copy_came(books, shard, message, now)
            case sm.SectorCopied():
                lifecycle.copied(books, shard, message, now)
            case sm.SectorLastStates():
                lifecycle.last_states(books, shard, message, now)
            case sm.SectorRemoved():
                lifecycle.removed(books, shard, message, now)
            case sm.ProposeSectorDeactivation():
                self._proposed(shard, message, now)
            case om.RequestIds():
                if len(shard.grants) >= GRANTS_PER_SHARD_MAX:
                    raise ProtocolError(
                        f"{len(shard.grants)} blocks of ids are unused: spawn from those first"
                    )
                shard.grants.append(grant(books, link, message.count, shard))
            case _:
                raise ProtocolError(f"a shard may not send {type(message).__name__}")

    def _destroy(self, shard: ShardInfo, message: sm.DestroyEntities) -> None:
        """The holder destroys; claims that are out of date have no effect but their outcome."""
        table, claims = self.books.table, message.claims
        slots = table.slots(claims.ids)
        held = slots != ABSENT
        held[held] = (table.version[slots[held]] == claims.version[held]) & (
            table.shard[slots[held]] == shard.shard_id
        )
        gone: U64 = claims.ids[held]
        self.books.mail.withdraw(shard, gone, message.mail_seen, message.mail_held)
        operators.forget(self.books, gone)
        if not held.all():
            self.books.counters["destroys_outdated"] += int((~held).sum())
            self.books.send(shard, sm.ConfirmTransitionExit(claims.take(~held)))

    def _proposed(self, shard: ShardInfo, message: sm.ProposeSectorDeactivation, now: int) -> None:
        entry = self.books.sectors.get(message.sector)
        if entry is None or (entry.shard_id, entry.epoch) != (shard.shard_id, message.epoch):
            self.books.counters["stale_sector_messages"] += 1
        elif entry.state is SectorState.ACTIVE and lifecycle.is_idle(self.books, entry, now):
            lifecycle.unassign(self.books, entry, None, f"shard {shard.name} proposed it", now)

    # --- operators -----------------------------------------------------------

    def _from_operator(self, link: LinkId, message: Message, now: int) -> None:
        books = self.books
        match message:
            case om.RequestIds():
                grant(books, link, message.count)
            case om.SpawnEntities():
                operators.spawn(books, link, message, now)
                lifecycle.activate_wanted(books, now)
            case om.DestroyByOperator():
                operators.destroy(books, link, message)
            case om.Command():
                operators.command(books, link, message, now)
            case om.StatusRequest():
                operators.status(books, link, message, now)
            case om.Why():
                operators.why(books, link, message)
            case _:
                raise ProtocolError(f"an operator may not send {type(message).__name__}")
