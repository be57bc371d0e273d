"""Copies of sectors that are about to move: caches without rights, at the source and the target.

The source keeps what it said of a running sector, so that once it is frozen it says
again only what has changed. The target keeps what it was told, out of the table:
nothing of it is simulated, shown or counted before `SectorInitialState` names it.
"""

from dataclasses import dataclass, field

import numpy as np

from sidereal.errors import ProtocolError
from sidereal.ids import Sector
from sidereal.limits import COPY_BYTES_MAX
from sidereal.wire.shard_messages import NO_PLACES, DropCopy, SectorCopy
from sidereal.world.columns import U32, search
from sidereal.world.entities import EntityRows, PlaceRows, nbytes, placed


class SaidCopy:
    """What a source said of a running sector.

    Parameters
    ----------
    attempt
        Of the move that it is for.
    rows
        Each with its whole state.
    sent
        u32 (n,): when the state of each was last sent, as the table's ``state_tick`` has it.
    """

    def __init__(self, attempt: int, rows: EntityRows, sent: U32) -> None:
        self.attempt = attempt
        self._rows = rows
        self._sent = sent

    def split(self, rows: EntityRows, sent: U32) -> tuple[EntityRows, PlaceRows]:
        """Return which of the frozen `rows` have to be said whole, and where the others are.

        A state that was sent since is said again although it may be the copy's once more: the
        server has the one in between.
        """
        old = self._rows
        if not len(old):
            return rows, NO_PLACES
        sent_then = self._sent
        same = np.ones(len(rows), bool)
        if len(old) != len(rows) or (old.ids != rows.ids).any():
            order = np.argsort(old.ids)
            at, same = search(old.ids[order], rows.ids)
            old, sent_then = old.take(order[at]), sent_then[order[at]]
        for name in ("version", "flags", "sensor", "lengths"):
            same &= getattr(old, name) == getattr(rows, name)
        same &= sent_then == sent
        index = np.flatnonzero(same)
        before, after = old.take(same), rows.take(same)
        changed = np.flatnonzero(before.states != after.states)
        if len(changed):
            ends = np.cumsum(after.lengths, dtype=np.int64)
            same[index[np.searchsorted(ends, changed, "right")]] = False
        if not same.any():
            return rows, NO_PLACES
        return rows.take(~same), placed(rows.take(same))


@dataclass(slots=True)
class HeardCopy:
    """What a target was told of a sector that may come to it."""

    epoch: int
    attempt: int
    parts: list[EntityRows] = field(default_factory=list)
    whole: bool = False
    left: int | None = None
    """How many more parts will come; None before the first."""
    bytes: int = 0
    """About what it takes."""

    def close(self) -> None:
        """Everything is here: put it in the order of ids."""
        rows = EntityRows.concat(self.parts)
        self.parts = [rows.take(np.argsort(rows.ids))]
        self.whole = True

    def moved(self, places: PlaceRows) -> EntityRows:
        """Return the rows that `places` names, there; `ProtocolError` where they are not known."""
        rows = self.parts[0] if self.whole else EntityRows.empty()
        at, known = search(rows.ids, places.ids)
        known &= rows.version[at] == places.version if len(rows) else False
        if not known.all():
            entity = int(places.ids[~known][0])
            raise ProtocolError(f"entity {entity} comes without a state, and no copy has it")
        there = rows.take(at)
        columns = {name: getattr(places, name) for name in PlaceRows.LAYOUT}
        return EntityRows.of({**there.__dict__, **columns})


class HeardCopies:
    """All copies that a target was told."""

    def __init__(self) -> None:
        self._copies: dict[Sector, HeardCopy] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._copies)

    def take(self, message: SectorCopy) -> bool:
        """Keep some of a copy; whether that is all of it. A new attempt ousts an older one."""
        copy = self._copies.get(message.sector)
        if copy is None or (copy.epoch, copy.attempt) != (message.epoch, message.attempt):
            self._forget(message.sector)
            copy = self._copies[message.sector] = HeardCopy(message.epoch, message.attempt)
        if copy.whole:
            raise ProtocolError(f"more of the copy of {message.sector}, which was whole")
        copy.left = message.left_after(copy.left)
        copy.parts.append(message.entities)
        size = nbytes(message.entities)
        copy.bytes += size
        self._bytes += size
        if self._bytes > COPY_BYTES_MAX:
            raise ProtocolError(f"copies of more than {COPY_BYTES_MAX} bytes")
        if message.left == 0:
            copy.close()
        return copy.whole

    def drop(self, message: DropCopy) -> None:
        """Forget a copy, if it is that attempt's."""
        copy = self._copies.get(message.sector)
        if copy is not None and (copy.epoch, copy.attempt) == (message.epoch, message.attempt):
            self._forget(message.sector)

    def claim(self, sector: Sector, epoch: int) -> HeardCopy | None:
        """Return, and forget, the copy of a sector that now comes at the epoch after the copy's."""
        copy = self._forget(sector)
        return copy if copy is not None and copy.epoch + 1 == epoch else None

    def clear(self) -> None:
        """The session has ended: no copy is of use any more."""
        self._copies.clear()
        self._bytes = 0

    def _forget(self, sector: Sector) -> HeardCopy | None:
        copy = self._copies.pop(sector, None)
        if copy is not None:
            self._bytes -= copy.bytes
        return copy
