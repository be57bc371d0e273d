"""Where in the protocol a shard is, told from the messages that cross its link.

A fault matters for what it interrupts; so each strike is counted under the
phases that its victim was in, and strikes can be aimed at a phase.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sidereal.ids import Sector
from sidereal.testing.observer import Observer
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import Message

if TYPE_CHECKING:
    from sidereal.testing.cluster import Cluster
    from sidereal.testing.shards import SimulatedShard

PHASES = {
    "opening": "its session is being opened",
    "idle": "none of the others, but copying, which holds up nothing",
    "asked": "a transition request is on its way to the server",
    "custody": "the server has the request, and not answered: custody, or a commit",
    "answered": "the answer to a request is on its way",
    "arriving": "an EntityEnterSector is on its way to it",
    "loading": "a sector was assigned to it, and is not ready",
    "copying": "a copy of a sector that is to move is on its way from it, or to it",
    "freezing": "an UnassignSector for a migration is on its way to it",
    "frozen": "it stands frozen; its SectorRemoved is on its way",
    "decided": "the server has its SectorRemoved; the release is on its way",
    "unloading": "one of the last three, for a deactivation",
    "spawning": "a spawn of its is not answered",
    "destroying": "a destruction of its is not answered",
    "no lease": "its lease is over",
}
"""Each phase and what it means."""

AIMED_AT = tuple(phase for phase in PHASES if phase != "copying")
"""What strikes are aimed at; copies are so frequent that each fault meets some."""


@dataclass(slots=True)
class Session:
    """What is under way in one session of one shard."""

    opening: bool = True
    asked: dict[int, Sector] = field(default_factory=dict)
    heard: dict[int, Sector] = field(default_factory=dict)
    answered: dict[int, Sector] = field(default_factory=dict)
    spawning: dict[int, Sector] = field(default_factory=dict)
    destroying: dict[int, None] = field(default_factory=dict)
    arriving: dict[int, Sector] = field(default_factory=dict)
    loading: dict[Sector, None] = field(default_factory=dict)
    freezing: dict[Sector, bool] = field(default_factory=dict)
    """Sectors, and whether they migrate (rather than end unloaded)."""
    frozen: dict[Sector, bool] = field(default_factory=dict)
    decided: dict[Sector, bool] = field(default_factory=dict)
    copying: dict[Sector, None] = field(default_factory=dict)
    names: list[str] | None = None
    """Of the phases that it is in, but for the lease; None where they are to be looked up again."""


class Phases(Observer):
    """Follows the sessions of a cluster."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self.sessions: dict[int, Session] = {}
        self._copied_to: dict[Sector, Session] = {}
        self.changed = True
        """Whether anything has changed since somebody last set this to False."""
        for shard in cluster.shards:
            self.connected(shard)

    def of(self, shard: "SimulatedShard") -> list[str]:
        """Return the phases that a shard is in."""
        at = self.sessions[shard.link]
        if at.opening or not shard.linked:
            return ["opening"]
        found = at.names
        if found is None:
            found = at.names = self._names(at)
        if not shard.leased:
            found = [*found, "no lease"]
        found = found or ["idle"]
        return [*found, "copying"] if at.copying else found

    @staticmethod
    def _names(at: Session) -> list[str]:
        found = []
        if at.asked:
            found.append("asked")
        if at.answered:
            found.append("answered")
        if at.arriving:
            found.append("arriving")
        if at.loading:
            found.append("loading")
        if at.spawning:
            found.append("spawning")
        if at.destroying:
            found.append("destroying")
        if at.heard:
            found.append("custody")
        for name, moves in (
            ("freezing", at.freezing),
            ("frozen", at.frozen),
            ("decided", at.decided),
        ):
            if moves and True in moves.values():
                found.append(name)
            elif moves and "unloading" not in found:  # once, at however many steps it is
                found.append("unloading")
        return found

    # --- what happens --------------------------------------------------------

    def _changed(self, at: Session) -> None:
        at.names = None
        self.changed = True

    def connected(self, shard: "SimulatedShard") -> None:
        """A session begins."""
        self.sessions[shard.link] = Session()
        self.changed = True

    def shard_said(self, shard: "SimulatedShard", message: Message) -> None:
        """Requests leave."""
        at = self.sessions[shard.link]
        match message:
            case sm.EntityTransitionRequest():
                rows = message.entities
                for entity, version, target in zip(
                    rows.ids.tolist(), rows.version.tolist(), rows.target.tolist(), strict=True
                ):
                    where = at.spawning if version == 0 else at.asked
                    where[entity] = (target[0], target[1])
                self._changed(at)
            case sm.DestroyEntities():
                at.destroying.update(dict.fromkeys(message.claims.ids.tolist()))
                self._changed(at)

    def server_heard(self, shard: "SimulatedShard | None", link: int, message: Message) -> None:
        """Requests arrive."""
        at = self.sessions.get(link)
        if at is None or shard is None:
            return
        match message:
            case sm.EntityTransitionRequest():
                for entity in message.entities.ids.tolist():
                    if entity in at.asked:
                        at.heard[entity] = at.asked.pop(entity)
                self._changed(at)
            case sm.SectorReady():
                at.loading.pop(message.sector, None)
                self._changed(at)
            case sm.SectorRemoved():
                if message.sector in at.frozen:
                    at.decided[message.sector] = at.frozen.pop(message.sector)
                self._changed(at)

    def server_said(self, shard: "SimulatedShard", link: int, message: Message) -> None:
        """Answers leave."""
        at = self.sessions[link]
        self._copies(at, message)
        match message:
            case sm.EntityEnterSector():
                rows = message.entities
                for entity, sector in zip(rows.ids.tolist(), rows.sector.tolist(), strict=True):
                    at.arriving[entity] = (sector[0], sector[1])
            case sm.AssignSector():
                at.loading[message.sector] = None
            case sm.UnassignSector():
                entry = self._cluster.manager.books.sectors[message.sector]
                at.freezing[message.sector] = entry.target is not None
            case sm.AcknowledgeTransition() | sm.RefuseTransition():
                self._answer(at, message.outcomes.ids.tolist())
            case sm.ConfirmTransitionExit():
                self._answer(at, message.claims.ids.tolist())
            case _:
                return
        self._changed(at)

    def _copies(self, at: Session, message: Message) -> None:
        """Follow a copy: asked for, passed on, of no use any more. Nothing is aimed at it."""
        match message:
            case sm.CopySector():
                at.copying[message.sector] = None
            case sm.SectorCopy():
                at.copying[message.sector] = None
                self._copied_to[message.sector] = at
            case sm.DropCopy() | sm.UnassignSector():
                at.copying.pop(message.sector, None)
            case sm.AssignSector():
                target = self._copied_to.pop(message.sector, None)
                if target is not None:
                    target.copying.pop(message.sector, None)

    @staticmethod
    def _answer(at: Session, ids: list[int]) -> None:
        for entity in ids:
            if entity in at.heard:
                at.answered[entity] = at.heard.pop(entity)

    def shard_heard(self, shard: "SimulatedShard", message: Message) -> None:
        """Answers arrive."""
        at = self.sessions[shard.link]
        match message:
            case sm.RegistrationAck():
                at.opening = False
            case sm.EntityEnterSector():
                for entity in message.entities.ids.tolist():
                    at.arriving.pop(entity, None)
            case sm.UnassignSector():
                at.frozen[message.sector] = at.freezing.pop(message.sector, True)
            case sm.ResumeSector() | sm.ReleaseSector():
                for moves in (at.freezing, at.frozen, at.decided):
                    moves.pop(message.sector, None)
            case sm.AcknowledgeTransition() | sm.RefuseTransition():
                self._arrive(at, message.outcomes.ids.tolist())
            case sm.ConfirmTransitionExit():
                self._arrive(at, message.claims.ids.tolist())
            case sm.EntitiesDestroyed():
                self._arrive(at, message.claims.ids.tolist())
            case _:
                return
        self._changed(at)

    @staticmethod
    def _arrive(at: Session, ids: list[int]) -> None:
        for entity in ids:
            for where in (at.asked, at.heard, at.answered, at.spawning):
                where.pop(entity, None)
            at.destroying.pop(entity, None)

    def ended(self, shard: "SimulatedShard", end: str, reason: str) -> None:
        """A link is over."""
        self.changed = True
