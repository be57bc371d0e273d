"""The server's answers about entities: who enters, who stays, who is gone.

An answer has effect only for exactly the version that asked; anything else is
left alone. There are no tombstones.
"""

import numpy as np

from sidereal.errors import ProtocolError
from sidereal.kernel import ABSENT
from sidereal.shard import events as ev
from sidereal.shard.holdings import Holdings
from sidereal.shard.phase import CHANGED, DESTROYING, MOVED, PENDING, SHADOW, SPAWNING, STILL
from sidereal.shard.sectors import Sectors
from sidereal.world.columns import U32, all_of
from sidereal.world.entities import ClaimRows, EnterRows, EntityRows, OutcomeRows
from sidereal.world.entities import install as write


class Answers:
    """Applies answers to a shard's holdings."""

    def __init__(self, holdings: Holdings, sectors: Sectors) -> None:
        self._holdings = holdings
        self._sectors = sectors

    def install(self, rows: EntityRows, phase: int) -> U32:
        """Write rows into the table in one phase; return their slots."""
        table = self._holdings.table
        slots = write(table, rows, 0)
        self._holdings.order.strayed += len(slots)
        table.phase[slots] = phase
        table.dirty[slots] = MOVED | CHANGED if phase == 0 else 0
        # Spread over the interval when their states are sent, or all would be at once.
        interval = self._holdings.rules.state_interval_ticks
        table.state_tick[slots] = rows.tick - np.minimum(
            rows.tick, (rows.ids % np.uint64(interval)).astype(np.uint32)
        )
        return slots

    def enter(self, rows: EnterRows, out: list[ev.Event]) -> None:
        """Install arrivals whose sector is owned at their epoch, and that are not here newer."""
        table = self._holdings.table
        owner, epoch = self._holdings.own.get(rows.sector)
        if not all_of((owner >= 0) & (epoch == rows.epoch)):
            raise ProtocolError("EntityEnterSector for a sector that this shard does not own")
        slots = table.slots(rows.ids)
        known = slots != ABSENT
        fresh = ~known
        fresh[known] = table.version[slots[known]] < rows.version[known]
        rows = rows.take(fresh)
        if not len(rows):
            return
        runs = self._sectors.runs(rows.sector)
        slots = self.install(rows, 0)
        table.phase[slots[~runs]] = STILL
        out.append(ev.EntitiesEntered(rows))

    def acknowledge(self, rows: OutcomeRows, out: list[ev.Event]) -> None:
        """The shadow, as it is now, is the entity."""
        table = self._holdings.table
        slots = self._asking(rows.ids, rows.asked, SHADOW)
        good = slots != ABSENT
        rows, slots = rows.take(good), slots[good]
        if not len(rows):
            return
        at = slots.astype(np.intp)  # once, and not for each column
        table.version[at] = rows.version
        table.sector[at] = rows.sector
        self._holdings.order.strayed += len(slots)
        table.bind(slots, rows.handle)
        runs = self._sectors.runs(rows.sector)
        table.phase[at] = np.where(runs, 0, STILL).astype(np.uint8)
        table.dirty[at] = MOVED | CHANGED
        out.append(ev.EntitiesKept(rows.ids, rows.version, table.tick[at], rows.tick))

    def exit(self, rows: ClaimRows, out: list[ev.Event]) -> None:
        """For exactly the version asked for: no longer here."""
        slots = self._asking(rows.ids, rows.version, SHADOW | DESTROYING)
        gone = rows.take(slots != ABSENT)
        if len(gone):
            self._holdings.table.remove(gone.ids)
            out.append(ev.EntitiesExited(gone.ids, gone.version))

    def refuse(self, rows: OutcomeRows, out: list[ev.Event]) -> None:
        """The shadow, as it is now, is the entity again; a spawn that was refused never was."""
        table = self._holdings.table
        slots = self._asking(rows.ids, rows.asked, SHADOW)
        good = slots != ABSENT
        rows, slots = rows.take(good), slots[good]
        spawned = table.phase[slots] & SPAWNING != 0
        back = slots[~spawned]
        table.phase[back] &= ~np.uint8(PENDING)
        table.dirty[back] = MOVED | CHANGED
        if len(back):
            out.append(
                ev.EntitiesKept(
                    table.ids[back], table.version[back], table.tick[back], rows.tick[~spawned]
                )
            )
        never = rows.ids[spawned]
        if len(never):
            table.remove(never)
            out.append(ev.EntitiesDestroyed(never))

    def destroyed(self, rows: ClaimRows, out: list[ev.Event]) -> None:
        """They no longer exist, whatever was asked for them."""
        slots = self._holdings.table.slots(rows.ids)
        ids = rows.ids[slots != ABSENT]
        if len(ids):
            self._holdings.table.remove(ids)
            out.append(ev.EntitiesDestroyed(ids))

    def _asking(self, ids: np.ndarray, version: U32, bits: int) -> U32:
        """Return the slots of rows in one of these phases at this version; else `ABSENT`."""
        table = self._holdings.table
        slots = table.slots(ids)
        known = (slots != ABSENT).nonzero()[0]
        rows = slots[known].astype(np.intp)
        other = (table.version[rows] != version[known]) | (table.phase[rows] & bits == 0)
        slots[known[other]] = ABSENT
        return slots
