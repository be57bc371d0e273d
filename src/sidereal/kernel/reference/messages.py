"""Bulk messages by `struct`: updates, states, ghosts."""

import itertools
import math
import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import space
from .sector_map import SectorMap
from .table import ABSENT, NO_HANDLE, STATE_BYTES_MAX, EntityTable

U8 = NDArray[np.uint8]
I32 = NDArray[np.int32]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
F64 = NDArray[np.float64]
Packed = tuple[U8, U32, U32, U32, U32]

HEADER = struct.Struct("<BBHI")
GROUP = struct.Struct("<iiIHH")
UPDATE = struct.Struct("<Iiiff")
STATE = struct.Struct("<IIH")
GHOST = struct.Struct("<QddffI")
CELLS = 2**30


class UpdateTally(NamedTuple):
    """What became of the rows that arrived; payloads in ``malformed`` and ``ahead``."""

    applied: int
    stale_tick: int
    wrong_owner: int
    wrong_handle: int
    malformed: int
    ahead: int


def cell_of(k: int, x: float, size: float) -> int | None:
    """The cell of x counted from sector k, or None beyond two sectors."""
    here = space.coordinate(x, size)
    if here is None or not -2 <= here - k <= 1:
        return None
    offset = float(Fraction(x) - k * Fraction(size))
    cell = math.floor(Fraction(offset) / (Fraction(size) / CELLS))
    first = (here - k) * CELLS
    return min(max(cell, first), first + CELLS - 1)


def position_of(k: int, q: int, size: float) -> float | None:
    """The position of a cell, in the sector that the cell lies in."""
    sector = k + q // CELLS
    if abs(sector) > space.COORDINATE_MAX:
        return None
    x = float(q * Fraction(size) / CELLS + Fraction(k * size))
    for _ in range(8):
        here = space.coordinate(x, size)
        if here == sector:
            return x
        below = x < 0 if here is None else here < sector
        x = math.nextafter(x, math.inf if below else -math.inf)
    return None


def _single(value: float) -> float | None:
    """The value as float32 holds it, or None where it is not finite there."""
    with np.errstate(over="ignore", invalid="ignore"):
        single = float(np.float32(value))
    return single if math.isfinite(single) else None


def pack_updates(
    table: EntityTable,
    slots: U32,
    size: float,
    tick: int,
    epochs: SectorMap,
    kind: int,
    payload_bytes: int,
) -> Packed:
    """Rows as datagrams, grouped by sector."""
    packed: list[tuple[tuple[int, int], int, bytes]] = []
    skipped = []
    for slot in slots.tolist():
        row = table.rows[slot]
        x, y = row.sector
        cells = [cell_of(k, p, size) for k, p in zip(row.sector, row.position, strict=True)]
        speed = [_single(v) for v in row.velocity]
        known = row.handle != NO_HANDLE and (x, y) in epochs.owners and row.tick == tick
        if not known or None in cells or None in speed:
            skipped.append(slot)
            continue
        packed.append(((y, x), slot, UPDATE.pack(row.handle, *cells, *speed)))
    packed.sort(key=lambda entry: entry[0])

    datagrams: list[list[tuple[tuple[int, int], list[bytes]]]] = []
    room = 0
    row_offsets = [0]
    for done, (sector, _, body) in enumerate(packed):
        new_group = room == 0 or datagrams[-1][-1][0] != sector
        need = UPDATE.size + (GROUP.size if new_group else 0)
        if room < need:
            if datagrams:
                row_offsets.append(done)
            datagrams.append([])
            room = payload_bytes - HEADER.size
            new_group, need = True, UPDATE.size + GROUP.size
        if new_group:
            datagrams[-1].append((sector, []))
        datagrams[-1][-1][1].append(body)
        room -= need
    if datagrams:
        row_offsets.append(len(packed))

    payloads = []
    for groups in datagrams:
        parts = [HEADER.pack(kind, 0, len(groups), tick)]
        for (y, x), rows in groups:
            parts += [GROUP.pack(x, y, epochs.owners[x, y][1], len(rows), 0), *rows]
        payloads.append(b"".join(parts))
    return _columns(payloads, [slot for _, slot, _ in packed], row_offsets, skipped)


def cut(data: U8, offsets: U32) -> list[bytes]:
    """The datagrams of `data`, told apart by `offsets`."""
    return [data[start:end].tobytes() for start, end in itertools.pairwise(offsets.tolist())]


def collect_updates(
    table: EntityTable,
    size: float,
    tick: int,
    epochs: SectorMap,
    mark: int,
    kind: int,
    payload_bytes: int,
) -> tuple[U8, U32, U32]:
    """The rows of a tick that are marked, as datagrams; their marks are taken away."""
    marked = [
        slot
        for slot, row in enumerate(table.rows)
        if row.phase == 0 and row.tick == tick and row.dirty & mark
    ]
    slots = np.array(marked, dtype=np.uint32)
    data, offsets, _, _, skipped = pack_updates(
        table, slots, size, tick, epochs, kind, payload_bytes
    )
    for slot in marked:
        table.rows[slot].dirty &= ~mark
    return data, offsets, skipped


def mark_updates(table: EntityTable, payloads: Sequence[Any], mark: int) -> None:
    """Mark the rows that payloads carry."""
    for payload in payloads:
        rest = bytes(payload)
        _, _, groups, _ = HEADER.unpack_from(rest)
        rest = rest[HEADER.size :]
        for _ in range(groups):
            *_, rows, _ = GROUP.unpack_from(rest)
            rest = rest[GROUP.size :]
            handles = [UPDATE.unpack_from(rest, i * UPDATE.size)[0] for i in range(rows)]
            rest = rest[rows * UPDATE.size :]
            slots = table.resolve(np.array(handles, dtype=np.uint32))
            for slot in slots[slots != ABSENT].tolist():
                table.rows[slot].dirty |= mark


def _columns(
    payloads: list[bytes], order: list[int], row_offsets: list[int], skipped: list[int]
) -> Packed:
    offsets = [0, *itertools.accumulate(map(len, payloads))]
    return (
        np.frombuffer(b"".join(payloads), dtype=np.uint8),
        np.array(offsets, dtype=np.uint32),
        np.array(order, dtype=np.uint32),
        np.array(row_offsets, dtype=np.uint32),
        np.array(skipped, dtype=np.uint32),
    )


class _Malformed(Exception):
    pass


def _require(condition: bool) -> None:
    if not condition:
        raise _Malformed


def _take(layout: struct.Struct, data: bytes, at: int) -> tuple[Any, ...]:
    _require(at + layout.size <= len(data))
    return layout.unpack_from(data, at)


_Update = tuple[tuple[int, int], int, int, tuple[float, float], tuple[float, float]]


def _read_updates(data: bytes, size: float) -> tuple[int, list[_Update]]:
    _, zero, groups, tick = _take(HEADER, data, 0)
    _require(zero == 0 and groups > 0)
    at = HEADER.size
    rows: list[_Update] = []
    for _ in range(groups):
        x, y, epoch, count, zero = _take(GROUP, data, at)
        at += GROUP.size
        _require(space.NO_COORDINATE not in (x, y) and count > 0 and zero == 0)
        for _ in range(count):
            handle, qx, qy, vx, vy = _take(UPDATE, data, at)
            at += UPDATE.size
            px, py = position_of(x, qx, size), position_of(y, qy, size)
            _require(math.isfinite(vx) and math.isfinite(vy))
            if px is None or py is None:
                raise _Malformed
            rows.append(((x, y), epoch, handle, (px, py), (vx, vy)))
    _require(at == len(data))
    return tick, rows


def apply_updates(
    table: EntityTable,
    payloads: Sequence[bytes],
    shard: int,
    epochs: SectorMap,
    size: float,
    last_tick: int = 2**32 - 1,
) -> UpdateTally:
    """Write the rows that ``shard`` may speak for, and that are newer, up to ``last_tick``."""
    tally = dict.fromkeys(UpdateTally._fields, 0)
    for payload in payloads:
        if len(payload) >= HEADER.size and HEADER.unpack_from(payload)[3] > last_tick:
            tally["ahead"] += 1
            continue
        try:
            tick, rows = _read_updates(payload, size)
        except _Malformed:
            tally["malformed"] += 1
            continue
        for sector, epoch, handle, position, velocity in rows:
            slot = int(table.resolve(np.array([handle], dtype=np.uint32))[0])
            row = table.rows[slot] if slot != ABSENT else None
            if shard == -1 or epochs.owners.get(sector) != (shard, epoch):
                tally["wrong_owner"] += 1
            elif row is None:
                tally["wrong_handle"] += 1
            elif row.sector != sector or row.shard != shard:
                tally["wrong_owner"] += 1
            elif tick <= row.tick:
                tally["stale_tick"] += 1
            else:
                row.position, row.velocity, row.tick = position, velocity, tick
                tally["applied"] += 1
    return UpdateTally(**tally)


def pack_states(table: EntityTable, slots: U32, kind: int, payload_bytes: int) -> Packed:
    """State blobs as datagrams."""
    datagrams: list[list[bytes]] = []
    room = 0
    order: list[int] = []
    skipped = []
    row_offsets = [0]
    for slot in slots.tolist():
        row = table.rows[slot]
        body = STATE.pack(row.handle, row.state_tick, len(row.state)) + row.state
        if row.handle == NO_HANDLE or HEADER.size + len(body) > payload_bytes:
            skipped.append(slot)
            continue
        if room < len(body):
            if datagrams:
                row_offsets.append(len(order))
            datagrams.append([])
            room = payload_bytes - HEADER.size
        datagrams[-1].append(body)
        room -= len(body)
        order.append(slot)
    if datagrams:
        row_offsets.append(len(order))
    payloads = [HEADER.pack(kind, 0, len(rows), 0) + b"".join(rows) for rows in datagrams]
    return _columns(payloads, order, row_offsets, skipped)


def _read_states(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    _, zero, count, reserved = _take(HEADER, data, 0)
    _require(zero == 0 and count > 0 and reserved == 0)
    at = HEADER.size
    for _ in range(count):
        handle, tick, length = _take(STATE, data, at)
        at += STATE.size
        _require(length <= STATE_BYTES_MAX and at + length <= len(data))
        yield handle, tick, data[at : at + length]
        at += length
    _require(at == len(data))


def apply_states(table: EntityTable, payloads: Sequence[bytes], shard: int) -> UpdateTally:
    """Write the blobs that ``shard`` may speak for, and that are newer."""
    tally = dict.fromkeys(UpdateTally._fields, 0)
    for payload in payloads:
        try:
            rows = list(_read_states(payload))
        except _Malformed:
            tally["malformed"] += 1
            continue
        for handle, tick, blob in rows:
            slot = int(table.resolve(np.array([handle], dtype=np.uint32))[0])
            if slot == ABSENT:
                tally["wrong_handle"] += 1
                continue
            row = table.rows[slot]
            if row.shard != shard or shard == -1:
                tally["wrong_owner"] += 1
            elif tick <= row.state_tick and (tick, row.state_tick) != (0, 0):
                tally["stale_tick"] += 1
            else:
                row.state, row.state_tick = blob, tick
                tally["applied"] += 1
    return UpdateTally(**tally)


def ghosts(
    position: F64, sectors: I32, shard: I32, size: float, radius: float, owners: SectorMap
) -> tuple[I32, U32]:
    """Each (other shard, row) where the row lies within ``radius`` of that shard's sectors."""
    where, _ = space.sectors(position, size)
    pairs: set[tuple[int, int]] = set()
    for row, (x, y) in enumerate(position.astype(np.float64).tolist()):
        if space.NO_COORDINATE in where[row] or space.NO_COORDINATE in sectors[row]:
            continue
        kx, ky = where[row].tolist()
        for sx, sy in itertools.product((kx - 1, kx, kx + 1), (ky - 1, ky, ky + 1)):
            dx, dy = _distance(sx, x, size), _distance(sy, y, size)
            target, _ = owners.owners.get((sx, sy), (-1, 0))
            if target not in (-1, shard[row]) and dx * dx + dy * dy <= radius * radius:
                pairs.add((target, row))
    ordered = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    return ordered[:, 0].astype(np.int32), ordered[:, 1].astype(np.uint32)


def _distance(k: int, v: float, size: float) -> float:
    low, high = k * size, (k + 1) * size
    return low - v if v < low else v - high if v >= high else 0.0


def pack_ghosts(
    ids: U64,
    position: F64,
    velocity: F64,
    flags: U32,
    kind: int,
    tick: int,
    payload_bytes: int,
) -> tuple[U8, U32]:
    """Copies as datagrams."""
    rows = [
        GHOST.pack(i, *p, *v, f)
        for i, p, v, f in zip(
            ids.tolist(), position.tolist(), velocity.tolist(), flags.tolist(), strict=True
        )
    ]
    most = (payload_bytes - HEADER.size) // GHOST.size
    batches = [rows[at : at + most] for at in range(0, len(rows), most)]
    payloads = [HEADER.pack(kind, 0, len(batch), tick) + b"".join(batch) for batch in batches]
    data, offsets, *_ = _columns(payloads, [], [], [])
    return data, offsets


def unpack_ghosts(payload: bytes) -> tuple[int, U64, F64, F64, U32]:
    """Read a payload of copies; ValueError if it is not one."""
    if len(payload) < HEADER.size:
        raise ValueError("shorter than its header")
    _, zero, count, tick = HEADER.unpack_from(payload)
    if zero != 0 or len(payload) != HEADER.size + count * GHOST.size:
        raise ValueError("not the length of its rows")
    rows = list(GHOST.iter_unpack(payload[HEADER.size :]))
    position = np.array([row[1:3] for row in rows], dtype=np.float64).reshape(-1, 2)
    velocity = np.array([row[3:5] for row in rows], dtype=np.float64).reshape(-1, 2)
    if not (np.isfinite(position).all() and np.isfinite(velocity).all()):
        raise ValueError("a position or velocity is not finite")
    ids = np.array([row[0] for row in rows], dtype=np.uint64)
    return tick, ids, position, velocity, np.array([row[5] for row in rows], dtype=np.uint32)
