"""Where positions lie: sectors, crossings, borders, reach.

A float is an integer times a power of two, so the sector of a coordinate is a
floor division of integers: nothing is rounded.
"""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .sector_map import SectorMap

Real = NDArray[np.floating[Any]]
I32 = NDArray[np.int32]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]

COORDINATE_MAX = 2**31 - 1
NO_COORDINATE = -(2**31)
MOTION_SECTORS_MAX = 4.0
RADIUS_SECTORS_MAX = 16.0


def coordinate(x: float, size: float) -> int | None:
    """The exact floor of x/size, or None where no sector has it."""
    if not np.isfinite(x):
        return None
    xn, xd = float(x).as_integer_ratio()
    sn, sd = float(size).as_integer_ratio()
    k = (xn * sd) // (sn * xd)
    return k if abs(k) <= COORDINATE_MAX else None


def coordinates(x: Real, size: float) -> I32:
    """`coordinate` of many finite or other values; `NO_COORDINATE` where there is none."""
    wide = x.astype(np.float64)
    good = np.isfinite(wide)
    mantissa, exponent = np.frexp(np.where(good, wide, 0.0))
    whole = np.ldexp(mantissa, 53).astype(np.int64).astype(object)
    size_mantissa, size_exponent = np.frexp(np.float64(size))
    shift = exponent.astype(np.int64) - int(size_exponent)
    up = np.left_shift(np.ones_like(whole), np.maximum(shift, 0).astype(object))
    down = np.left_shift(np.ones_like(whole), np.maximum(-shift, 0).astype(object))
    k = (whole * up) // (int(np.ldexp(size_mantissa, 53)) * down)
    good &= (k >= -COORDINATE_MAX) & (k <= COORDINATE_MAX)
    return np.where(good, k, NO_COORDINATE).astype(np.int32)


def sectors(pos: Real, size: float) -> tuple[I32, U32]:
    """The sector of each position, and the rows that have none."""
    out = coordinates(pos.reshape(-1), size).reshape(-1, 2)
    bad = np.any(out == NO_COORDINATE, axis=1)
    out[bad] = NO_COORDINATE
    return out, np.flatnonzero(bad).astype(np.uint32)


def crossings(
    pos: Real,
    prev: I32,
    size: float,
    margin: float = 0.0,
    shard_of: SectorMap | None = None,
) -> tuple[U32, I32]:
    """The rows whose sector is not ``prev`` any more, and where they are."""
    now, _ = sectors(pos, size)
    wide = pos.astype(np.float64)
    none_before = np.any(prev == NO_COORDINATE, axis=1)
    none_now = now[:, 0] == NO_COORDINATE
    low = prev * size - margin
    high = (prev + 1.0) * size + margin
    outside = np.any((wide < low) | (wide >= high), axis=1)
    tempered = np.full(len(pos), margin > 0.0)
    if shard_of is not None:
        tempered &= shard_of.get(prev)[0] != shard_of.get(now)[0]
    moved = np.any(now != prev, axis=1) & (none_before | none_now | ~tempered | outside)
    return np.flatnonzero(moved).astype(np.uint32), now[moved]


def near_border(pos: Real, sectors: I32, size: float, margin: float) -> U32:
    """The rows within ``margin`` of a border of their sector, or beyond it."""
    wide = pos.astype(np.float64)
    near = (wide < sectors * size + margin) | (wide >= (sectors + 1.0) * size - margin)
    there = np.all(sectors != NO_COORDINATE, axis=1) & np.all(np.isfinite(wide), axis=1)
    return np.flatnonzero(np.any(near, axis=1) & there).astype(np.uint32)


def reach(
    pos: Real,
    velocity: Real,
    radius: float | Real,
    size: float,
    horizon_s: float,
) -> I32:
    """Every sector that the box around a moving disc touches."""
    where, _ = sectors(pos, size)
    found: set[tuple[int, int]] = set()
    radii = np.broadcast_to(np.asarray(radius, dtype=np.float64), len(pos))
    for row, (p, v, r) in enumerate(zip(pos, velocity, radii, strict=True)):
        if where[row, 0] == NO_COORDINATE or not np.all(np.isfinite(v)) or not r >= 0.0:
            continue
        spans = [_touched(float(p[a]), float(v[a]), float(r), size, horizon_s) for a in (0, 1)]
        found |= {(y, x) for y in spans[1] for x in spans[0]}
    ordered = [(x, y) for y, x in sorted(found)]
    return np.array(ordered, dtype=np.int32).reshape(-1, 2)


def _touched(start: float, speed: float, radius: float, size: float, horizon_s: float) -> range:
    most = MOTION_SECTORS_MAX * size
    end = start + min(max(speed * horizon_s, -most), most)
    far = min(radius, RADIUS_SECTORS_MAX * size)
    return range(
        _clamped(min(start, end) - far, size),
        _clamped(max(start, end) + far, size) + 1,
    )


def _clamped(x: float, size: float) -> int:
    most = sys.float_info.max
    k = coordinate(min(max(x, -most), most), size)
    if k is None:
        return COORDINATE_MAX if x > 0 else -COORDINATE_MAX
    return k


def hash_ids(ids: U64) -> int:
    """The sum of SplitMix64 over ids, modulo 2^64."""
    total, ones = 0, 2**64 - 1
    for number in ids.tolist():
        z = (number + 0x9E3779B97F4A7C15) & ones
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & ones
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & ones
        total += z ^ (z >> 31)
    return total & ones
