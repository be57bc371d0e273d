"""An independent ledger of who may simulate what, kept from what crosses the links.

It never looks into the server's books. The server's messages are claims; the
ledger lets a claim stand only where the messages of the shards, or the end of a
lease, give the server the right to make it:

- a sector goes to another only once its shard listed it frozen, for the very
  attempt that was asked for, or once that shard's own lease is over;
- an entity goes to another only once its holder asked for that at the version
  held, or its sector went;
- an entity ends only where its holder or an operator said so.

What a shard simulates is held against it at every step.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sidereal.ids import Sector
from sidereal.testing.lives import Known, Life, may_step
from sidereal.testing.observer import Violation
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import Message
from sidereal.world.columns import U32, U64
from sidereal.world.entities import EntityRows
from sidereal.world.inventory import Verdict

if TYPE_CHECKING:
    from sidereal.testing.shards import SimulatedShard


class Ledger:
    """Who holds what; raises `Violation` where a claim has no ground."""

    def __init__(self) -> None:
        self.lives: dict[int, Life] = {}
        """By link: a life has one for each of its sessions."""
        self._by_incarnation: dict[tuple[str, int], Life] = {}
        self.known: dict[int, Known] = {}
        self.handoffs = 0
        """How often an entity went from one shard to another because it asked to."""
        self._owner: dict[Sector, tuple[int, Life]] = {}
        self._wished: set[int] = set()
        self._born: set[int] = set()
        """What this server's record is known to have had."""
        self._told_ended: set[int] = set()
        """What somebody was told has ended, which is durable by then."""

    # --- what it is told -----------------------------------------------------

    def connected(self, shard: "SimulatedShard") -> None:
        """A session begins, of a new life or of one that is known."""
        name = (shard.name, shard.core.incarnation)
        life = self._by_incarnation.get(name)
        if life is None:
            life = self._by_incarnation[name] = Life(shard.name, shard.clock)
        self.lives[shard.link] = life

    def wished(self, ids: list[int]) -> None:
        """An operator asks for these entities."""
        self._wished.update(ids)

    def may_exist(self, entity: int) -> bool:
        """Whether somebody asked for an entity of this id."""
        return entity in self._wished

    def doom(self, ids: list[int]) -> None:
        """An operator ends these entities."""
        for entity in ids:
            known = self.known.get(entity)
            if known is not None:
                known.early &= known.version == 0
                known.doomed = True
            elif entity in self._wished:
                early = entity not in self._born
                self.known[entity] = Known(None, 0, (0, 0), doomed=True, early=early)

    def born(self, entity: int) -> Known | None:
        """An entity is new in the record: what is known of it, if anything.

        An operator may have ended what was wished for before the record had it, to no effect; by
        now it may have been given to a shard.
        """
        self._born.add(entity)
        known = self.known.get(entity)
        if known is not None and known.early and entity not in self._told_ended:
            known.early = known.doomed = False
            if known.version == 0:
                del self.known[entity]
                return None
        return known

    def heard(self, message: Message, life: Life) -> None:
        """The server took a message of a shard's."""
        take = _HEARD.get(type(message))
        if take is not None:
            take(self, message, life)

    def _asked(self, message: sm.EntityTransitionRequest, life: Life) -> None:
        rows = message.entities
        for entity, version in zip(rows.ids.tolist(), rows.version.tolist(), strict=True):
            if version == 0:
                self._wished.add(entity)
            life.asked[entity] = version

    def _ended(self, message: sm.DestroyEntities, life: Life) -> None:
        rows = message.claims
        for entity, version in zip(rows.ids.tolist(), rows.version.tolist(), strict=True):
            known = self.known.get(entity)
            if known is not None and known.life is life and known.version == version:
                known.doomed, known.early = True, False

    def _listed(self, message: sm.SectorRemoved, life: Life) -> None:
        mine = life.owned.get(message.sector) == message.epoch
        if mine and life.attempt.get(message.sector) == message.attempt:
            life.removed.add(message.sector)

    def said(self, message: Message, life: Life) -> None:
        """The server let a message to a shard out."""
        take = _SAID.get(type(message))
        if take is not None:
            take(self, message, life)

    def _registered(self, message: sm.RegistrationAck, life: Life) -> None:
        life.lease_ns = message.lease_ns
        life.granted_until = max(life.granted_until, message.sent_ns + message.lease_ns)

    def _judged(self, message: sm.SessionVerdict, life: Life) -> None:
        """A session resumes: what was in flight is decided, and what was frozen goes on."""
        for sector in message.sectors:
            life.attempt.pop(sector, None)
            life.removed.discard(sector)
        for sector in sorted(set(life.owned) - set(message.sectors)):
            del life.owned[sector]
            life.removed.discard(sector)
        rows = message.entities
        for entity, version, sector, verdict in zip(
            rows.ids.tolist(),
            rows.version.tolist(),
            rows.sector.tolist(),
            rows.verdict.tolist(),
            strict=True,
        ):
            known = self.known.get(entity)
            if known is not None and known.doomed:
                continue
            if verdict == Verdict.ACK:
                self._give(entity, version, None, (sector[0], sector[1]), life)
            elif verdict in (Verdict.KEEP, Verdict.BACK):
                if known is None or known.life is not life or known.version != version:
                    raise Violation(
                        "agrees with the record",
                        f"{life.name} is told to go on with {entity} at version {version}, which"
                        f" {'nobody knows' if known is None else 'is not its own'}",
                        [entity],
                    )
            elif verdict == Verdict.DROP and version == 0 and known is not None:
                raise Violation(
                    "nothing is dropped",
                    f"{life.name} is told that {entity} is no more, and nobody ended it",
                    [entity],
                )
            elif verdict == Verdict.DROP and known is not None and known.life is life:
                known.life = None
            elif verdict == Verdict.WAIT and known is not None:
                known.life, known.version, known.sector = None, version, (sector[0], sector[1])
            if verdict not in (Verdict.RESEND, Verdict.WAIT):
                life.asked.pop(entity, None)

    def _answered(self, message: sm.HeartbeatAck, life: Life) -> None:
        if message.extends:
            life.granted_until = max(life.granted_until, message.sent_ns + life.lease_ns)

    def _assigned(self, message: sm.AssignSector, life: Life) -> None:
        sector, epoch = message.sector, message.epoch
        before, owner = self._owner.get(sector, (0, None))
        if epoch == before and owner is life:
            life.owned[sector] = epoch  # told again in a new session
            return
        if epoch <= before:
            raise Violation(
                "one owner per epoch",
                f"sector {sector} goes to {life.name} at epoch {epoch}; {before} was given"
                f" {'to ' + owner.name if owner else 'before'}",
                sectors=[sector],
            )
        if owner is not None and owner.owned.get(sector) == before:
            self._lets_go(owner, sector, f"sector {sector} goes to {life.name}")
            owner.owned.pop(sector, None)
        self._owner[sector] = (epoch, life)
        life.owned[sector] = epoch
        life.removed.discard(sector)
        life.attempt.pop(sector, None)

    def _stated(self, message: sm.SectorInitialState, life: Life) -> None:
        self._given(message.entities, life)
        rows = message.places
        for entity, version, tick in zip(
            rows.ids.tolist(), rows.version.tolist(), rows.tick.tolist(), strict=True
        ):
            self._give(entity, version, tick, message.sector, life)

    def _entered(self, message: sm.EntityEnterSector, life: Life) -> None:
        self._given(message.entities, life)

    def _frozen(self, message: sm.UnassignSector, life: Life) -> None:
        life.attempt[message.sector] = message.attempt
        life.removed.discard(message.sector)

    def _resumed(self, message: sm.ResumeSector, life: Life) -> None:
        life.attempt.pop(message.sector, None)
        life.removed.discard(message.sector)

    def _released(self, message: sm.ReleaseSector, life: Life) -> None:
        sector = message.sector
        if sector not in life.removed and not life.lapsed:
            raise Violation(
                "agrees with the record",
                f"{life.name} is to release sector {sector}, which it has not listed frozen"
                f" for attempt {message.attempt}",
                sectors=[sector],
            )
        for known in self.known.values():
            if known.life is life and known.sector == sector:
                known.life = None
        life.owned.pop(sector, None)
        life.removed.discard(sector)

    def _acknowledged(self, message: sm.AcknowledgeTransition, life: Life) -> None:
        rows = message.outcomes
        for entity, asked, version, sector in zip(
            rows.ids.tolist(),
            rows.asked.tolist(),
            rows.version.tolist(),
            rows.sector.tolist(),
            strict=True,
        ):
            self._give(entity, version, None, (sector[0], sector[1]), life)
            if life.asked.pop(entity, None) != asked:
                raise Violation(
                    "agrees with the record",
                    f"{life.name} is told that {entity} is its own, for which it did not ask"
                    f" at version {asked}",
                    [entity],
                )

    def _left(self, message: sm.ConfirmTransitionExit, life: Life) -> None:
        rows = message.claims
        for entity, version in zip(rows.ids.tolist(), rows.version.tolist(), strict=True):
            asked = life.asked.pop(entity, None)
            known = self.known.get(entity)
            if known is not None and known.life is life and known.version == version == asked:
                # Given to one whose link is over, to whom nothing can be said: nobody has it.
                known.life, known.version = None, version + 1

    def _refused(self, message: sm.RefuseTransition, life: Life) -> None:
        rows = message.outcomes
        for entity, asked in zip(rows.ids.tolist(), rows.asked.tolist(), strict=True):
            life.asked.pop(entity, None)
            known = self.known.get(entity)
            if known is not None and (known.version != asked or known.life is not life):
                raise Violation(
                    "agrees with the record",
                    f"{life.name} is refused {entity} at version {asked}: as if it were its own"
                    f" still, and it is at version {known.version}"
                    f" {'with ' + known.life.name if known.life else 'in custody'}",
                    [entity],
                )

    def _destroyed(self, message: sm.EntitiesDestroyed, life: Life) -> None:
        ids = message.claims.ids.tolist()
        for entity in ids:
            life.asked.pop(entity, None)
        self.gone(ids)

    def gone(self, ids: list[int]) -> None:
        """A shard or an operator is told that these have ended: they stay so, whoever leads."""
        for entity in ids:
            known = self.known.get(entity)
            if known is None or not known.doomed:
                raise Violation(
                    "nothing is dropped",
                    f"{entity} is destroyed, which neither its holder nor an operator wanted",
                    [entity],
                )
        self._told_ended.update(ids)

    # --- rights --------------------------------------------------------------

    def _lets_go(self, owner: Life, sector: Sector, story: str) -> None:
        if sector in owner.removed or owner.lapsed:
            return
        left_ms = (owner.granted_until - owner.clock.now) / 1e6
        raise Violation(
            "no takeover within a lease",
            f"{story}, while {owner.name} may simulate it for {left_ms:.1f} ms more and has not"
            " listed it frozen",
            sectors=[sector],
        )

    def _given(self, rows: EntityRows, life: Life) -> None:
        for entity, version, tick, sector in zip(
            rows.ids.tolist(),
            rows.version.tolist(),
            rows.tick.tolist(),
            rows.sector.tolist(),
            strict=True,
        ):
            self._give(entity, version, tick, (sector[0], sector[1]), life)

    def _give(
        self, entity: int, version: int, tick: int | None, sector: Sector, life: Life
    ) -> None:
        """A shard is given an entity: with its state of `tick`, or (None) as it has it."""
        known = self.known.get(entity)
        if known is None:
            if entity not in self._wished:
                raise Violation(
                    "nothing is dropped",
                    f"{life.name} is given {entity}, for which nobody asked",
                    [entity],
                )
            self.known[entity] = Known(life, version, sector)
            return
        if known.doomed:
            # It is on its way while it ends: its end is told behind it, or was never durable.
            known.life, known.version, known.sector = life, version, sector
            return
        if version < known.version:
            raise Violation(
                "versions only rise",
                f"{life.name} is given {entity} at version {version} after {known.version}",
                [entity],
                [sector],
            )
        holder = known.life
        if holder is not None and not (
            (version > known.version and holder.asked.get(entity) == known.version)
            or known.sector in holder.removed
            or holder.lapsed
            or (holder is life and version == known.version)
        ):
            raise Violation(
                "no takeover within a lease",
                f"{life.name} is given {entity} at version {version}, which {holder.name} holds at"
                f" {known.version} and has not asked to hand over",
                [entity],
                [sector],
            )
        stepped_version, stepped_tick = known.stepped
        alive = holder is None or not holder.lapsed
        moves = tick is not None and holder is not life and stepped_version == known.version
        if alive and moves and tick is not None and tick < stepped_tick:
            raise Violation(
                "no tick is lost",
                f"{life.name} is given {entity} at version {version} as of tick {tick}; it was"
                f" simulated until {stepped_tick}",
                [entity],
                [sector],
            )
        if holder is not None and holder is not life and version > known.version:
            self.handoffs += 1
        if holder is not life and version == known.version:
            # The last steps of a dead shard never arrived: they are simulated again.
            known.stepped = (version, -1)
        known.life, known.version, known.sector = life, version, sector

    # --- what is simulated ---------------------------------------------------

    def stepped(self, shard: "SimulatedShard", tick: int, ids: U64, versions: U32) -> None:
        """Hold a step against what is held."""
        life = self.lives[shard.link]
        known_of = self.known
        for entity, version in zip(ids.tolist(), versions.tolist(), strict=True):
            known = known_of.get(entity)
            now = (version, tick)
            if (
                known is None
                or known.life is not life
                or known.version != version
                or now <= known.stepped
            ):
                known = may_step(known, shard.name, entity, now, life)
            known.stepped = now

    def restored(self, version: dict[int, int]) -> None:
        """A server begins with a record of these versions: of all that was ever visible."""
        self._born = set(version)
        back = sorted(self._told_ended & self._born)
        if back:
            raise Violation(
                "durable before visible",
                f"somebody was told that {back[:5]} have ended, and a new server has them",
                back,
            )
        for entity, known in self.known.items():
            found = version.get(entity)
            if found is None:
                known.early = known.version == 0  # it may be asked for again
                if not known.doomed:
                    raise Violation(
                        "durable before visible",
                        f"{entity} was given to {known.life.name if known.life else 'somebody'},"
                        " and a new server does not know it",
                        [entity],
                    )
                continue
            known.doomed = False  # whoever ended it has to do so again
            if found < known.version:
                raise Violation(
                    "durable before visible",
                    f"{entity} was at version {known.version}, and a new server has it at {found}",
                    [entity],
                )

    def alive(self) -> set[int]:
        """Return the ids that were given to somebody, and that nobody ended."""
        return {entity for entity, known in self.known.items() if not known.doomed}


_Take = Callable[[Ledger, Any, Life], None]

_HEARD: dict[type[Message], _Take] = {
    sm.EntityTransitionRequest: Ledger._asked,
    sm.DestroyEntities: Ledger._ended,
    sm.SectorRemoved: Ledger._listed,
}
_SAID: dict[type[Message], _Take] = {
    sm.RegistrationAck: Ledger._registered,
    sm.HeartbeatAck: Ledger._answered,
    sm.SessionVerdict: Ledger._judged,
    sm.AssignSector: Ledger._assigned,
    sm.SectorInitialState: Ledger._stated,
    sm.EntityEnterSector: Ledger._entered,
    sm.UnassignSector: Ledger._frozen,
    sm.ResumeSector: Ledger._resumed,
    sm.ReleaseSector: Ledger._released,
    sm.AcknowledgeTransition: Ledger._acknowledged,
    sm.ConfirmTransitionExit: Ledger._left,
    sm.RefuseTransition: Ledger._refused,
    sm.EntitiesDestroyed: Ledger._destroyed,
}
