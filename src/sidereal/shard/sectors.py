"""The sectors that a shard has: assigned, loaded, frozen, released or resumed.

A frozen sector stays frozen until it is released or resumed with the attempt
that froze it; the shard never resumes it by itself.
"""

from dataclasses import dataclass, field

import numpy as np

from sidereal.errors import ProtocolError
from sidereal.ids import Sector
from sidereal.kernel import ABSENT, SectorMap, counts
from sidereal.limits import CHUNK_BYTES_MAX, PARCEL_BYTES_MAX, PLACES_MAX
from sidereal.shard import events as ev
from sidereal.shard.copies import HeardCopies, HeardCopy, SaidCopy
from sidereal.shard.holdings import Holdings
from sidereal.shard.lives import SECTOR_HERE, Place, PlaceEvent
from sidereal.shard.mailbox import Mailbox
from sidereal.shard.phase import DESTROYING, MOVED, PENDING, SHADOW, SPAWNING, STILL
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import Message
from sidereal.world.columns import U32
from sidereal.world.entities import EntityRows, gather, install
from sidereal.world.life import LifeError


@dataclass(slots=True)
class Held:
    """One sector at this shard."""

    epoch: int
    first_time: bool
    cause: str
    chunks_open: int
    arrived: list[EntityRows] = field(default_factory=list)
    attempt: int | None = None
    """Of the freeze that it is in; None while it runs."""
    empty_since_ns: int | None = None
    proposed: bool = False
    place: Place = SECTOR_HERE.start
    heard: HeardCopy | None = None
    """Of what is in it, from before it was this shard's; until all of it is here."""
    said: SaidCopy | None = None
    """Of what is in it, if it is about to move away."""

    def happen(self, event: PlaceEvent) -> None:
        """Go where the table of `sidereal.shard.lives` says; the server may not say else."""
        try:
            self.place = SECTOR_HERE.after(self.place, event)
        except LifeError as error:
            raise ProtocolError(str(error)) from None

    @property
    def still(self) -> bool:
        """Whether its entities stand still: not all here yet, or frozen."""
        return self.place is not Place.RUNNING


class Sectors:
    """Follows the sector messages; the entities themselves are in `holdings`."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self.held: dict[Sector, Held] = {}
        self._stopped = SectorMap()
        """Those that stand still: few beside all, and each batch of arrivals asks for them."""
        self.copies = HeardCopies()

    def receive(
        self, message: Message, mailbox: Mailbox, send: list[Message], out: list[ev.Event]
    ) -> bool:
        """Take a message about a sector; False where it is about something else."""
        match message:
            case sm.AssignSector():
                self.assign(message, send, out)
            case sm.SectorInitialState():
                self.initial_state(message, send, out)
            case sm.CopySector():
                self.copy(message, send)
            case sm.SectorCopy():
                self.copied(message, send)
            case sm.DropCopy():
                self.drop_copy(message)
            case sm.UnassignSector():
                self.freeze(message, mailbox, send, out)
            case sm.ResumeSector():
                self.resume(message, out)
            case _:
                return False
        return True

    def assign(self, message: sm.AssignSector, send: list[Message], out: list[ev.Event]) -> None:
        """Own a sector from here on; it runs once all its chunks are here."""
        if message.sector in self.held and self.held[message.sector].epoch >= message.epoch:
            raise ProtocolError(f"sector {message.sector} assigned again at {message.epoch}")
        held = Held(message.epoch, message.first_time, message.cause, message.chunks)
        self._happen(message.sector, held, PlaceEvent.ASSIGN)
        held.heard = self.copies.claim(message.sector, message.epoch)
        self.held[message.sector] = held
        self._holdings.own.set(np.array([message.sector], np.int32), 0, message.epoch)
        if message.chunks == 0:
            self._run(message.sector, held, send, out)

    def initial_state(
        self, message: sm.SectorInitialState, send: list[Message], out: list[ev.Event]
    ) -> None:
        """Install one chunk."""
        held = self.held.get(message.sector)
        if held is None or held.epoch != message.epoch or held.chunks_open < 1:
            raise ProtocolError(f"an initial state for {message.sector}, which awaits none")
        arrived = message.entities
        if len(message.places):
            copy = held.heard or HeardCopy(0, 0)
            arrived = EntityRows.concat([arrived, copy.moved(message.places)])
        slots = install(self._holdings.table, arrived, 0)
        self._holdings.order.strayed += len(slots)
        self._holdings.table.phase[slots] = STILL
        self._holdings.table.dirty[slots] = 0
        held.arrived.append(arrived)
        held.chunks_open -= 1
        if held.chunks_open == 0:
            self._run(message.sector, held, send, out)

    def _happen(self, coords: Sector, held: Held, event: PlaceEvent) -> None:
        held.happen(event)
        where = np.array([coords], np.int32)
        if held.place in (Place.LOADING, Place.FROZEN):
            self._stopped.set(where, 0, 0)
        else:
            self._stopped.remove(where)

    def _run(self, sector: Sector, held: Held, send: list[Message], out: list[ev.Event]) -> None:
        self._happen(sector, held, PlaceEvent.LOADED)
        entities = EntityRows.concat(held.arrived)
        held.arrived = []
        held.heard = None  # what it has beside those that were named is not in the sector any more
        # Their states came from the server, which has no use for them: what changes is marked.
        self._holdings.start(self._holdings.rows_in(sector), news=MOVED)
        send.append(sm.SectorReady(sector, held.epoch))
        out.append(ev.SectorAssigned(sector, held.first_time, held.cause, entities))

    def copy(self, message: sm.CopySector, send: list[Message]) -> None:
        """Say what is there, as it runs; pending too, as when it is frozen."""
        held = self._fenced(message)
        if held.place is not Place.RUNNING:
            raise ProtocolError(f"a copy of {message.sector}, which is {held.place.value}")
        table = self._holdings.table
        slots = self._listed(message.sector)
        rows = gather(table, slots)
        held.said = SaidCopy(message.attempt, rows, table.state_tick[slots])
        parts = rows.parcels(CHUNK_BYTES_MAX, whole_groups=False) or [rows]
        fence = message.sector, message.epoch, message.attempt
        left = range(len(parts) - 1, -1, -1)
        send += [sm.SectorCopy(*fence, n, part) for n, part in zip(left, parts, strict=True)]

    def copied(self, message: sm.SectorCopy, send: list[Message]) -> None:
        """Keep a part of a copy of what another shard has."""
        if self.copies.take(message):
            send.append(sm.SectorCopied(message.sector, message.epoch, message.attempt))

    def drop_copy(self, message: sm.DropCopy) -> None:
        """A move was given up: forget what was said, or heard, for it."""
        self.copies.drop(message)
        held = self.held.get(message.sector)
        if held is not None and held.said is not None and held.said.attempt == message.attempt:
            held.said = None

    def forget_copies(self) -> None:
        """The session has ended, and all moves with it that were not decided."""
        self.copies.clear()
        for held in self.held.values():
            held.said = held.heard = None

    def _listed(self, sector: Sector) -> U32:
        """Return the slots of what a sector holds for the server: not what awaits its spawn."""
        slots = self._holdings.rows_in(sector)
        listed: U32 = slots[self._holdings.table.phase[slots] & (SPAWNING | DESTROYING) == 0]
        return listed

    def freeze(
        self,
        message: sm.UnassignSector,
        mailbox: Mailbox,
        send: list[Message],
        out: list[ev.Event],
    ) -> None:
        """Stand still, and list all that is there: pending too, not what awaits its spawn. States
        that are as in the copy of this attempt are not said again.
        """
        held = self._fenced(message)
        self._happen(message.sector, held, PlaceEvent.FREEZE)
        held.attempt = message.attempt
        table = self._holdings.table
        table.phase[self._holdings.rows_in(message.sector)] |= STILL
        listed = self._listed(message.sector)
        rows, places = gather(table, listed), sm.NO_PLACES
        mail = mailbox.seen, mailbox.held(rows.ids)
        if held.said is not None and held.said.attempt == message.attempt:
            rows, places = held.said.split(rows, table.state_tick[listed])
        held.said = None
        held_rows = listed[table.phase[listed] & PENDING == 0]
        columns = table.ids[held_rows], table.version[held_rows], table.tick[held_rows]
        fence = message.sector, message.epoch, message.attempt
        parts = rows.parcels(PARCEL_BYTES_MAX) or [rows]
        send += [sm.SectorLastStates(*fence, part) for part in parts[:-1]]
        *most, last = places.split(4 * PLACES_MAX)
        send += [sm.SectorLastStates(*fence, EntityRows.empty(), part) for part in most]
        send.append(sm.SectorRemoved(*fence, parts[-1], *mail, last))
        out.append(ev.SectorFrozen(message.sector, *columns))

    def release(self, message: sm.ReleaseSector, out: list[ev.Event]) -> None:
        """It is decided: drop the frozen copy, but for shadows, whose answers are on the way."""
        held = self._fenced(message)
        if held.attempt != message.attempt:
            raise ProtocolError(f"release of {message.sector}: attempt {message.attempt} unknown")
        self._happen(message.sector, held, PlaceEvent.RELEASE)
        table = self._holdings.table
        slots = self._holdings.rows_in(message.sector)
        ids = table.ids[slots[table.phase[slots] & SHADOW == 0]]
        table.remove(ids)
        del self.held[message.sector]
        self._holdings.own.remove(np.array([message.sector], np.int32))
        out.append(ev.SectorUnassigned(message.sector, ids))

    def resume(self, message: sm.ResumeSector, out: list[ev.Event]) -> None:
        """Go on, if this very attempt froze it."""
        held = self._fenced(message)
        if held.attempt != message.attempt:
            raise ProtocolError(f"resume of {message.sector}: attempt {message.attempt} unknown")
        self._happen(message.sector, held, PlaceEvent.RESUME)
        held.attempt = None
        table = self._holdings.table
        slots = self._holdings.rows_in(message.sector)
        self._holdings.start(slots)
        running = slots[table.phase[slots] == 0]
        columns = table.ids[running], table.version[running], table.tick[running]
        out.append(ev.SectorResumed(message.sector, *columns))

    def only(self, wanted: frozenset[Sector], out: list[ev.Event]) -> None:
        """A session resumed: of the sectors here, these are still this shard's."""
        for coords in [c for c in self.held if c not in wanted]:
            self._happen(coords, self.held.pop(coords), PlaceEvent.DROP)
            self._holdings.own.remove(np.array([coords], np.int32))
            out.append(ev.SectorUnassigned(coords, np.empty(0, np.uint64)))

    def go_on(self, send: list[Message], out: list[ev.Event]) -> None:
        """A session resumed: what was loading is as whole as it gets, what was frozen runs."""
        table = self._holdings.table
        for coords, held in self.held.items():
            was = held.place
            self._happen(coords, held, PlaceEvent.KEEP)
            if was is Place.LOADING:
                arrived = EntityRows.concat(held.arrived)
                held.arrived = []
                held.chunks_open = 0
                there = arrived.take(table.slots(arrived.ids) != ABSENT)
                send.append(sm.SectorReady(coords, held.epoch))
                out.append(ev.SectorAssigned(coords, held.first_time, held.cause, there))
            elif was is Place.FROZEN:
                held.attempt = None
                slots = self._holdings.rows_in(coords)
                running = slots[table.phase[slots] == 0]
                columns = table.ids[running], table.version[running], table.tick[running]
                out.append(ev.SectorResumed(coords, *columns))

    def owns(self, sectors: np.ndarray) -> np.ndarray:
        """Return for each row of sectors (i32 (n, 2)) whether it is this shard's."""
        shard, _ = self._holdings.own.get(sectors)
        return np.asarray(shard >= 0)

    def runs(self, sectors: np.ndarray) -> np.ndarray:
        """Return for each row of sectors (i32 (n, 2)) whether its entities may move here."""
        moving = self.owns(sectors)
        if len(self._stopped) and len(sectors):
            moving &= self._stopped.get(sectors)[0] < 0
        return moving

    def propose(self, idle_ns: int, now: int) -> list[Message]:
        """Return a proposal for each sector that has been empty for `idle_ns`, once each time."""
        sectors, sizes = counts(self._holdings.table.sector)
        full = {(int(x), int(y)) for (x, y), size in zip(sectors, sizes, strict=True) if size}
        proposals: list[Message] = []
        for coords, held in self.held.items():
            if coords in full or held.still:
                held.empty_since_ns = None
                held.proposed = False
            elif held.empty_since_ns is None:
                held.empty_since_ns = now
            elif now - held.empty_since_ns >= idle_ns and not held.proposed:
                held.proposed = True
                proposals.append(sm.ProposeSectorDeactivation(coords, held.epoch))
        return proposals

    def _fenced(
        self, message: sm.CopySector | sm.UnassignSector | sm.ReleaseSector | sm.ResumeSector
    ) -> Held:
        held = self.held.get(message.sector)
        if held is None or held.epoch != message.epoch:
            raise ProtocolError(
                f"{type(message).__name__} for {message.sector} at epoch {message.epoch},"
                " which is not held"
            )
        return held


def running_rows(sectors: Sectors, table_sector: np.ndarray, slots: U32) -> U32:
    """Return those of `slots` whose sector runs here."""
    running: U32 = slots[sectors.runs(table_sector[slots])]
    return running
