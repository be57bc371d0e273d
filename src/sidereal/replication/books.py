"""The books: what the replication server knows, shared by the parts that decide.

`table` is the record of every entity: its version, sector and newest state,
and in its ``shard`` column who was sent it (`CUSTODY` while nobody was).
`owners` is the record of every sector with an owner; `routes` leaves out those
that are frozen, into which nothing may be sent. Decisions change the books and
append to `out`, which the caller drains.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from sidereal.ids import LinkId, Sector
from sidereal.kernel import ABSENT, EntityTable, SectorMap
from sidereal.limits import CLOCK_AHEAD_NS_MAX, CUSTODY_ENTITIES_MAX
from sidereal.replication.audit import Difference, OnlineAudit
from sidereal.replication.copies import Copy
from sidereal.replication.handles import Handles
from sidereal.replication.mail import MailRoom, Sender
from sidereal.replication.possession import Possessions
from sidereal.replication.records import AnyRecord, Began, Granted
from sidereal.replication.registry import ActiveShards, ShardInfo
from sidereal.replication.sessions import Session, Sessions
from sidereal.replication.settings import Settings
from sidereal.replication.tool_ids import ToolIds
from sidereal.wire.base import Message
from sidereal.world.columns import U32, U64
from sidereal.world.order import Order
from sidereal.world.sectors import SECTOR, SectorEvent, SectorState

CUSTODY = -1
"""In the table's ``shard`` column: the server holds the entity, nobody simulates it."""

SENT = 1
"""In the table's ``phase`` column: the holder was sent the entity's state at this version. Without
it, the holder's own shadow was acknowledged, or the server has had the entity since."""


@dataclass(slots=True)
class Awaiting:
    """Rows of one shard that crossed into a sector whose owner is not known yet."""

    shard_id: int
    ids: U64
    asked: U32
    tick: U32


@dataclass(slots=True)
class SectorEntry:
    """`SectorAssignmentState` of the seed, and what else is known of one sector."""

    coords: Sector
    state: SectorState = SectorState.UNLOADED
    shard_id: int = CUSTODY
    epoch: int = 0
    entities: int = 0
    load: float = 0.0
    occupied_ns: int = 0
    """When it was last seen to hold anything, or to be about to."""
    custody_since_ns: int | None = None
    attempt: int = 0
    frozen_ns: int = 0
    """Since when it stands still for a move to another shard; 0 where it does not."""
    target: int | None = None
    """Where it goes once it is frozen; None where it is to be unloaded."""
    asked_ns: int = 0
    """Since when its shard, or the target of its move, owes its part of the move."""
    moved_ns: int | None = None
    unmoved_ns: int | None = None
    """When a move of it was last given up that its own shard had not done its part of."""
    orphaned: bool = False
    """Its shard died, and it has not been assigned since."""
    awaiting: list[Awaiting] = field(default_factory=list)
    why: str = "never assigned"
    cause: str = "activation"
    """Of the last assignment, as `AssignSector` says it."""

    def happen(self, event: SectorEvent) -> None:
        """Go where the table of `sidereal.world.sectors` says."""
        self.state = SECTOR.after(self.state, event)


@dataclass(frozen=True, slots=True)
class Send:
    """One reliable message to one peer."""

    link: LinkId
    message: Message


@dataclass(frozen=True, slots=True)
class SendDatagrams:
    """Datagrams to one peer, in no order and without a promise."""

    link: LinkId
    payloads: list[bytes]


@dataclass(frozen=True, slots=True)
class CloseLink:
    """End a link, with the reason that the peer is told."""

    link: LinkId
    reason: str


Output = Send | SendDatagrams | CloseLink


class Books:
    """The record, the shards, and what waits to be sent."""

    def __init__(self, settings: Settings, term: int, origin_ns: int) -> None:
        self.settings = settings
        self.rules = settings.rules
        self.term = term
        self.custody_max = CUSTODY_ENTITIES_MAX
        self.origin_ns = origin_ns
        self.began: Began | None = None
        """This server's beginning, as the journal has it."""
        self.by_wall = False
        """Whether world time goes on by the wall, since the last server had another clock, and
        shards of that one have not come yet: they may know it better."""
        self.table = EntityTable(self.rules.sector_size)
        self.owners = SectorMap()
        self.routes = SectorMap()
        self.sectors: dict[Sector, SectorEntry] = {}
        self.copies: dict[Sector, Copy] = {}
        """Of what is in sectors that are about to move, on its way there; until that is decided."""
        self.resting: dict[Sector, int] = {}
        """Epochs of sectors that nobody owns and nothing is in: all that is to be remembered."""
        self.shards = ActiveShards()
        self.handles = Handles()
        self.mail = MailRoom()
        self.sessions = Sessions()
        self.possessions = Possessions()
        self.counters: Counter[str] = Counter()
        self.out: list[Output] = []
        self.audit = OnlineAudit()
        self.differences: list[Difference] = []
        """Faults that the audit found, the first of them."""
        self.journal: list[AnyRecord] = []
        """Decisions that are not committed yet: nothing of `out` leaves before they are."""
        self.freezes_ns: list[int] = []
        self.rehomed_age_ticks_max = 0
        self.crossed: list[tuple[np.ndarray, np.ndarray]] = []
        """Accepted crossings since the last survey: from, to (i32 (n, 2) each)."""
        self.order = Order(self.table)
        self.wanted: dict[Sector, None] = {}
        """Unloaded sectors that something is in or about to enter, in order of first mention."""
        self.next_id = 1
        self.tool_ids = ToolIds()

    def note(self, record: AnyRecord) -> None:
        """Write a decision down."""
        self.journal.append(record)

    def tick_at(self, now: int) -> int:
        """Return the world tick at `now`."""
        return max(0, (now - self.origin_ns) // self.rules.tick_ns)

    def last_tick(self, now: int) -> int:
        """Return the last tick that an honest shard's clock may have come to at `now`."""
        return self.tick_at(now + CLOCK_AHEAD_NS_MAX)

    def entry(self, coords: Sector) -> SectorEntry:
        """Return what is known of a sector, from now on at least that it exists."""
        found = self.sectors.get(coords)
        if found is None:
            found = self.sectors[coords] = SectorEntry(coords, epoch=self.resting.pop(coords, 0))
        return found

    def forget_asked(self, shard_id: int) -> None:
        """A shard is dead, or begins a session: it awaits nothing of what it asked for before."""
        for entry in self.sectors.values():
            if entry.awaiting:
                entry.awaiting = [a for a in entry.awaiting if a.shard_id != shard_id]

    def rest(self, entry: SectorEntry) -> None:
        """Remember no more of a sector than its epoch, until something is about to be in it."""
        del self.sectors[entry.coords]
        if entry.epoch:
            self.resting[entry.coords] = entry.epoch

    def owned(self) -> list[tuple[Sector, int, int]]:
        """Return every sector that ever had an owner, with its epoch and owner, or `CUSTODY`."""
        known = [(e.coords, e.epoch, e.shard_id) for e in self.sectors.values() if e.epoch]
        return [*known, *((coords, epoch, CUSTODY) for coords, epoch in self.resting.items())]

    def send(self, shard: ShardInfo | None, message: Message) -> None:
        """Queue `message` for a shard; one without a session hears of it when it is fenced."""
        if shard is not None and shard.link is not None:
            self.out.append(Send(shard.link, message))

    def end_session(self, shard: ShardInfo, reason: str) -> None:
        """Close a shard's link; it will come back, and its inventory be judged."""
        if shard.link is not None:
            self.out.append(CloseLink(shard.link, reason))
            self.shards.end_session(shard.link)
            self.audit.ended(shard.shard_id)

    def tell(self, sender: Sender, message: Message) -> None:
        """Queue `message` for a sender of mail, if it is still there."""
        if sender.shard_id is not None:
            self.send(self.shards.get(sender.shard_id), message)
        elif sender.session is not None:
            self.tell_session(self.sessions.get(sender.session), message)

    def tell_session(self, session: Session | None, message: Message) -> None:
        """Queue `message` for a client, if it is there."""
        if session is not None and session.link is not None:
            self.out.append(Send(session.link, message))

    def slot_of(self, entity: int) -> int | None:
        """Return the slot of one entity, or None where the record has none of that id."""
        if not 0 <= entity < 1 << 64:
            return None
        slot = int(self.table.slots(np.array([entity], np.uint64))[0])
        return None if slot == ABSENT else slot

    def arrived(self, slots: U32, kept_by: int | None = None) -> None:
        """The rows `slots` were just sent to their shards, or kept by one: what follows them."""
        self.possessions.arrived(self, slots, kept_by)
        self.mail.arrived(self, slots, kept_by)

    def destroyed(self, ids: U64) -> None:
        """Entities were taken out of the record: what hung on them ends."""
        self.possessions.destroyed(self, ids)
        self.mail.destroyed(self, ids)

    def grant_ids(self, count: int, shard_id: int = CUSTODY) -> tuple[int, int]:
        """Return the first id and the count of a block that nobody had or will have."""
        first = self.next_id
        self.next_id += count
        if shard_id == CUSTODY:
            self.tool_ids.grant(first, count)
        self.note(Granted(shard_id, first, count))
        return first, count

    def give(self, entry: SectorEntry, shard_id: int) -> None:
        """Write down a new owner, one epoch higher."""
        entry.epoch += 1
        entry.shard_id = shard_id
        coords = np.array([entry.coords], np.int32)
        self.owners.set(coords, shard_id, entry.epoch)
        self.routes.set(coords, shard_id, entry.epoch)
        info = self.shards.get(shard_id)
        assert info is not None
        info.sectors.add(entry.coords)

    def touch(self, entry: SectorEntry) -> None:
        """Something is decided in a sector: the audit looks at it another time."""
        self.audit.touch(np.array([entry.coords], np.int32))

    def freeze(self, entry: SectorEntry) -> None:
        """Nothing may be sent into this sector any more."""
        self.routes.remove(np.array([entry.coords], np.int32))

    def thaw(self, entry: SectorEntry) -> None:
        """Arrivals may be sent again."""
        coords = np.array([entry.coords], np.int32)
        self.routes.set(coords, entry.shard_id, entry.epoch)

    def take(self, entry: SectorEntry) -> None:
        """Write down that nobody owns the sector."""
        coords = np.array([entry.coords], np.int32)
        self.owners.remove(coords)
        self.routes.remove(coords)
        info = self.shards.get(entry.shard_id)
        if info is not None:
            info.sectors.discard(entry.coords)
        entry.shard_id = CUSTODY

    def rows_of(self, shard_id: int) -> U32:
        """Return the slots of what was sent to a shard, or (`CUSTODY`) to nobody."""
        return np.flatnonzero(self.table.shard == shard_id).astype(np.uint32)

    def rows_in(self, shard_id: int, coords: Sector) -> U32:
        """Return the slots of what was sent to a shard (or `CUSTODY`: to nobody) in a sector."""
        return self.table.find(coords, shard_id)

    def hold(self, coords: Sector, now: int) -> SectorEntry:
        """Note that something is in custody in a sector, and that the sector is wanted."""
        entry = self.entry(coords)
        if entry.custody_since_ns is None:
            entry.custody_since_ns = now
        entry.occupied_ns = now
        if entry.state is SectorState.UNLOADED:
            self.wanted.setdefault(coords)
        return entry
