"""Who is in the world: `EntityTable`."""

import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from . import space

ABSENT: Final = 0xFFFFFFFF
NO_HANDLE: Final = 0xFFFFFFFF
STATE_BYTES_MAX: Final = 60_000

I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
F64 = NDArray[np.float64]


COLUMNS: Final = {
    "position": np.float64,
    "velocity": np.float64,
    "sector": np.int32,
    "version": np.uint32,
    "tick": np.uint32,
    "state_tick": np.uint32,
    "handle": np.uint32,
    "flags": np.uint32,
    "group": np.uint64,
    "sensor": np.float32,
    "shard": np.int32,
    "phase": np.uint8,
    "dirty": np.uint8,
}


@dataclass
class Row:
    """One entity."""

    id: int
    position: tuple[float, float]
    velocity: tuple[float, float]
    sector: tuple[int, int]
    version: int = 0
    tick: int = 0
    state_tick: int = 0
    handle: int = NO_HANDLE
    flags: int = 0
    group: int = 0
    sensor: float = 0.0
    shard: int = -1
    phase: int = 0
    dirty: int = 0
    state: bytes = b""


class EntityTable:
    """A list of rows; removing one moves the last into its place."""

    def __init__(self, size: float) -> None:
        self.size = size
        self.rows: list[Row] = []
        self.invalid = np.empty(0, dtype=np.uint32)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ids(self) -> U64:
        """The ids, by slot."""
        return np.array([row.id for row in self.rows], dtype=np.uint64)

    def column(self, name: str) -> NDArray[Any]:
        """A copy of a column."""
        values = np.array([getattr(row, name) for row in self.rows], dtype=COLUMNS[name])
        return values.reshape(-1, 2) if name in ("position", "velocity", "sector") else values

    def set_column(self, name: str, values: NDArray[Any]) -> None:
        """Write a column (the kernel's is a view, written in place)."""
        for row, value in zip(self.rows, values.tolist(), strict=True):
            setattr(row, name, tuple(value) if isinstance(value, list) else value)

    def slot(self, number: int) -> int:
        """The slot of an id, or `ABSENT`."""
        return next((s for s, row in enumerate(self.rows) if row.id == number), ABSENT)

    def slots(self, ids: U64) -> U32:
        """The slots of ids."""
        return np.array([self.slot(number) for number in ids.tolist()], dtype=np.uint32)

    def upsert(self, ids: U64, position: F64, velocity: F64, slots: U32 | None = None) -> U32:
        """Write rows by id; the slots of those that lie outside their sector."""
        if len(set(ids.tolist())) < len(ids):
            raise ValueError("an id comes twice")
        where, none = space.sectors(position, self.size)
        bad = set(none.tolist()) | set(np.flatnonzero(~np.isfinite(velocity).all(axis=1)).tolist())
        movers = []
        for i, number in enumerate(ids.tolist()):
            if i in bad:
                continue
            x, y = position[i].tolist()
            vx, vy = velocity[i].tolist()
            kx, ky = where[i].tolist()
            slot = self.slot(number)
            if slot == ABSENT:
                self.rows.append(Row(number, (x, y), (vx, vy), (kx, ky)))
                continue
            row = self.rows[slot]
            row.position, row.velocity = (x, y), (vx, vy)
            if row.sector != (kx, ky):
                movers.append(slot)
        self.invalid = np.array(sorted(bad), dtype=np.uint32)
        if slots is not None:
            slots[:] = self.slots(ids)
        return np.array(movers, dtype=np.uint32)

    def remove(self, ids: U64) -> int:
        """Remove ids that are there; how many."""
        before = len(self.rows)
        for number in ids.tolist():
            slot = self.slot(number)
            if slot != ABSENT:
                self.rows[slot] = self.rows[-1]
                self.rows.pop()
        return before - len(self.rows)

    def bind(self, slots: U32, handles: U32) -> None:
        """Give rows handles; whoever had the same index loses its own."""
        for slot, handle in zip(slots.tolist(), handles.tolist(), strict=True):
            for row in self.rows:
                if row.handle % 2**24 == handle % 2**24 and handle != NO_HANDLE:
                    row.handle = NO_HANDLE
            self.rows[slot].handle = handle

    def resolve(self, handles: U32) -> U32:
        """The slots that have exactly these handles."""
        by_handle = {row.handle: s for s, row in enumerate(self.rows) if row.handle != NO_HANDLE}
        return np.array([by_handle.get(h, ABSENT) for h in handles.tolist()], dtype=np.uint32)

    def states(self, slots: U32) -> tuple[U32, U8]:
        """Lengths and bytes of the rows' states."""
        blobs = [self.rows[slot].state for slot in slots.tolist()]
        lengths = np.array([len(blob) for blob in blobs], dtype=np.uint32)
        return lengths, np.frombuffer(b"".join(blobs), dtype=np.uint8)

    def set_states(self, slots: U32, lengths: U32, data: U8, mark: int = 0) -> None:
        """Replace the rows' states; mark those that differ."""
        ends = np.cumsum(lengths).tolist()
        for slot, length, end in zip(slots.tolist(), lengths.tolist(), ends, strict=True):
            state = data[end - length : end].tobytes()
            if state != self.rows[slot].state:
                self.rows[slot].dirty |= mark
            self.rows[slot].state = state

    def batch(self, slots: U32) -> tuple[NDArray[Any], ...]:
        """Copies of rows: ids, position, velocity, tick, flags, phase."""
        columns = (self.column(name) for name in ("position", "velocity", "tick", "flags", "phase"))
        return self.ids[slots], *(column[slots] for column in columns)

    def stamp(self, slots: U32, tick: int) -> None:
        """Write one tick to rows."""
        for slot in slots.tolist():
            self.rows[slot].tick = tick

    def advance(self, slots: U32, position: F64, velocity: F64, mark: int = 0) -> U32:
        """Write rows by slot; mark those that differ; where in the batch the refused ones are."""
        _, nowhere = space.sectors(position, self.size)
        bad = np.union1d(nowhere, np.flatnonzero(~np.isfinite(velocity).all(axis=1)))
        for i in np.setdiff1d(np.arange(len(slots)), bad).tolist():
            row = self.rows[slots[i]]
            new = (*position[i].tolist(), *velocity[i].tolist())
            # By their bits: 0.0 and -0.0 differ.
            if struct.pack("4d", *new) != struct.pack("4d", *row.position, *row.velocity):
                row.dirty |= mark
            row.position, row.velocity = (new[0], new[1]), (new[2], new[3])
        return bad.astype(np.uint32)

    def arrange(self) -> None:
        """Put the rows in the order of their sectors."""
        self.rows.sort(key=lambda row: (row.sector[1], row.sector[0]))

    def find(self, sector: tuple[int, int], shard: int | None = None) -> U32:
        """The slots of the rows in a sector; with `shard`, of those that it holds."""
        found = [
            slot
            for slot, row in enumerate(self.rows)
            if tuple(row.sector) == sector and shard in (None, row.shard)
        ]
        return np.array(found, dtype=np.uint32)

    @property
    def state_bytes(self) -> int:
        """The sum of all lengths."""
        return sum(len(row.state) for row in self.rows)
