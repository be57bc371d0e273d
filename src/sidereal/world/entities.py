"""Entities in transfer: whole state, exact, as columns.

`EntityRows` is what initial states, arrivals and removals carry.
`TransitionRows` adds what a transition request claims and asks for.
`gather` reads them out of a kernel table, `install` writes them into one.
"""

from itertools import pairwise
from typing import ClassVar, Self

import numpy as np

from sidereal.errors import ProtocolError
from sidereal.kernel import EntityTable
from sidereal.limits import STATE_BYTES_MAX
from sidereal.world.columns import F32, F64, I32, U32, U64, Columns, all_of, distinct

PLAYER = 1
"""Flag: a player's entity; weighs `player_weight` in a shard's load."""
SIGNIFICANT = 2
"""Flag: keeps its sector loaded as a player would."""

NO_SECTOR = -(2**31)


ROW_BYTES = 100
"""About what one entity without state takes in a message."""


class EntityRows(Columns):
    """Entities with their whole state.

    ``ids`` u64; ``group`` u64, 0 where none; ``position``, ``velocity`` f64 (n, 2), units and
    units/s; ``sector`` i32 (n, 2), where authority is; ``version`` u32; ``handle`` u32;
    ``tick`` u32, the world tick of this state; ``flags`` u32; ``sensor`` f32, units;
    ``lengths`` u32 and ``states`` u8, the games' opaque bytes one after the other.
    """

    LAYOUT: ClassVar[dict[str, tuple[str, int]]] = {
        "ids": ("<u8", 1),
        "group": ("<u8", 1),
        "position": ("<f8", 2),
        "velocity": ("<f8", 2),
        "sector": ("<i4", 2),
        "version": ("<u4", 1),
        "handle": ("<u4", 1),
        "tick": ("<u4", 1),
        "flags": ("<u4", 1),
        "sensor": ("<f4", 1),
    }
    RAGGED = True

    ids: U64
    group: U64
    position: F64
    velocity: F64
    sector: I32
    version: U32
    handle: U32
    tick: U32
    flags: U32
    sensor: F32

    def parcels(self, bytes_max: int, *, whole_groups: bool = True) -> list[Self]:
        """Return the rows in parts of about `bytes_max` at most, each in the order of the rows.

        A group is never cut, unless `whole_groups` is False; it comes where its first row is.
        """
        if nbytes(self) <= bytes_max:
            return [self] if len(self) else []
        size = self.lengths.astype(np.int64) + ROW_BYTES
        if not (whole_groups and self.group.any()):
            part = np.cumsum(size) // bytes_max
            ends = [*(np.flatnonzero(part[1:] != part[:-1]) + 1).tolist(), len(self)]
            return [self.cut(start, end) for start, end in pairwise([0, *ends])]
        unit = np.where(self.group != 0, self.group, self.ids)
        _, first, whole = np.unique(unit, return_index=True, return_inverse=True)
        rank = np.argsort(np.argsort(first))[whole.reshape(-1)]  # units as they first occur
        part = (np.cumsum(np.bincount(rank, size)) // bytes_max)[rank]
        return [self.take(np.flatnonzero(part == number)) for number in np.unique(part)]

    def check(self) -> None:
        """Refuse what no honest peer sends: infinities, no sector, ids twice, huge states."""
        name = type(self).__name__
        if not len(self):
            return
        if not _finite(self.position) or not _finite(self.velocity):
            raise ProtocolError(f"{name}: a position or velocity that is not finite")
        if np.count_nonzero(self.sector == NO_SECTOR):
            raise ProtocolError(f"{name}: a sector coordinate of {NO_SECTOR}, which means none")
        if not all_of((self.sensor >= 0) & (self.sensor < np.inf)):
            raise ProtocolError(f"{name}: a sensor range that is negative or not finite")
        _small_states(self)
        _once(self)


class TransitionRows(EntityRows):
    """Entities that ask for another sector: ``sector`` and ``epoch`` are where they are,
    ``target`` i32 (n, 2) where they want to be. Version 0 asks for a spawn.
    """

    LAYOUT: ClassVar[dict[str, tuple[str, int]]] = {
        **EntityRows.LAYOUT,
        "target": ("<i4", 2),
        "epoch": ("<u4", 1),
    }

    target: I32
    epoch: U32

    def check(self) -> None:
        """As for entities, and the target must be a sector."""
        super().check()
        if np.count_nonzero(self.target == NO_SECTOR):
            raise ProtocolError(f"TransitionRows: a target coordinate of {NO_SECTOR}: none")


class EnterRows(EntityRows):
    """Entities that arrive, with the ``epoch`` u32 of the sector that each enters."""

    LAYOUT: ClassVar[dict[str, tuple[str, int]]] = {**EntityRows.LAYOUT, "epoch": ("<u4", 1)}

    epoch: U32


class OutcomeRows(Columns):
    """Answers to transition requests.

    ``ids`` u64; ``sector`` i32 (n, 2), where the entity is now; ``asked`` u32, the version that
    asked; ``version`` u32 and ``handle`` u32, the new ones; ``tick`` u32, of the request's state.
    """

    LAYOUT: ClassVar[dict[str, tuple[str, int]]] = {
        "ids": ("<u8", 1),
        "sector": ("<i4", 2),
        "asked": ("<u4", 1),
        "version": ("<u4", 1),
        "handle": ("<u4", 1),
        "tick": ("<u4", 1),
    }

    ids: U64
    sector: I32
    asked: U32
    version: U32
    handle: U32
    tick: U32


class ClaimRows(Columns):
    """Entities by ``ids`` u64 and ``version`` u32: to destroy, or destroyed, or let go."""

    LAYOUT: ClassVar[dict[str, tuple[str, int]]] = {"ids": ("<u8", 1), "version": ("<u4", 1)}

    ids: U64
    version: U32

    def check(self) -> None:
        """Refuse an entity that is claimed twice: it would end twice."""
        _once(self)


class StateRows(Columns):
    """Changed states: ``ids`` u64, ``version`` u32, ``tick`` u32, and the bytes."""

    LAYOUT: ClassVar[dict[str, tuple[str, int]]] = {
        "ids": ("<u8", 1),
        "version": ("<u4", 1),
        "tick": ("<u4", 1),
    }
    RAGGED = True

    ids: U64
    version: U32
    tick: U32

    def check(self) -> None:
        """Refuse huge states, and an entity with two of them."""
        _small_states(self)
        _once(self)


class PlaceRows(Columns):
    """Where entities are: ``ids`` u64, ``position``, ``velocity`` f64 (n, 2), ``version`` u32,
    ``tick`` u32.
    """

    LAYOUT: ClassVar[dict[str, tuple[str, int]]] = {
        "ids": ("<u8", 1),
        "position": ("<f8", 2),
        "velocity": ("<f8", 2),
        "version": ("<u4", 1),
        "tick": ("<u4", 1),
    }

    ids: U64
    position: F64
    velocity: F64
    version: U32
    tick: U32

    def check(self) -> None:
        """Refuse infinities, and an entity in two places."""
        if not _finite(self.position) or not _finite(self.velocity):
            raise ProtocolError("PlaceRows: a position or velocity that is not finite")
        _once(self)


def _finite(column: F64) -> bool:
    return all_of(np.isfinite(column))


def nbytes(rows: EntityRows) -> int:
    """Return about what rows take in memory and in a message."""
    return len(rows) * ROW_BYTES + len(rows.states)


def placed(rows: EntityRows) -> PlaceRows:
    """Return where the rows are."""
    return PlaceRows.of({name: getattr(rows, name) for name in PlaceRows.LAYOUT})


def _once(rows: EntityRows | ClaimRows | StateRows | PlaceRows) -> None:
    if not distinct(rows.ids):
        raise ProtocolError(f"{type(rows).__name__}: an entity twice in one batch")


def _small_states(rows: EntityRows | StateRows) -> None:
    # No one of them is larger than all together, and mostly that says it.
    if len(rows.states) > STATE_BYTES_MAX and np.count_nonzero(rows.lengths > STATE_BYTES_MAX):
        raise ProtocolError(
            f"{type(rows).__name__}: a state of {rows.lengths.max()} bytes; at most"
            f" {STATE_BYTES_MAX}"
        )


_NOBODY = EntityRows.empty()


def gather(table: EntityTable, slots: U32) -> EntityRows:
    """Return the whole state of the rows `slots` of `table`, copied."""
    if not len(slots):
        return _NOBODY
    lengths, states = table.states(slots)
    rows = slots.astype(np.intp)  # once, and not for each column
    columns = {name: getattr(table, name).take(rows, 0) for name in EntityRows.LAYOUT}
    columns["lengths"], columns["states"] = lengths, states
    return EntityRows.of(columns)


def install(table: EntityTable, rows: EntityRows, shard: int) -> U32:
    """Write `rows` into `table`, new or known, held by `shard`; return their slots."""
    slots = write(table, rows)
    table.shard[slots] = shard
    table.bind(slots, rows.handle)
    return slots


def write(table: EntityTable, rows: EntityRows) -> U32:
    """Write what `rows` are into `table`, new or known, whoever holds them; return their slots."""
    table.upsert(rows.ids, rows.position, rows.velocity)
    slots = table.slots(rows.ids)
    at = slots.astype(np.intp)  # once, and not for each column
    table.group[at] = rows.group
    table.sector[at] = rows.sector
    table.version[at] = rows.version
    table.tick[at] = rows.tick
    table.state_tick[at] = rows.tick
    table.flags[at] = rows.flags
    table.sensor[at] = rows.sensor
    table.set_states(slots, rows.lengths, rows.states)
    return slots
