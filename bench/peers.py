"""What a user would otherwise write: the same work by NumPy and by numba.

numba's functions need the rectangle that holds all rows; the kernel is not told of it.
"""

import math
from typing import Any

import numba
import numpy as np


@numba.njit(cache=False)
def sectors(pos: Any, size: float, out: Any) -> None:
    for i in range(len(pos)):
        for a in range(2):
            x = float(pos[i, a])
            q = math.floor(x / size)
            if q * size > x:
                q -= 1
            out[i, a] = q


@numba.njit(cache=False)
def crossings(pos: Any, prev: Any, size: float, index: Any) -> int:
    found = 0
    for i in range(len(pos)):
        x = math.floor(float(pos[i, 0]) / size)
        y = math.floor(float(pos[i, 1]) / size)
        if x != prev[i, 0] or y != prev[i, 1]:
            index[found] = i
            found += 1
    return found


@numba.njit(cache=False)
def counts(where: Any, side: int) -> Any:
    n = np.zeros(side * side, np.uint32)
    for i in range(len(where)):
        n[where[i, 1] * side + where[i, 0]] += 1
    return n


@numba.njit(cache=False)
def group(where: Any, side: int) -> Any:
    offsets = np.zeros(side * side + 1, np.uint32)
    for i in range(len(where)):
        offsets[where[i, 1] * side + where[i, 0] + 1] += 1
    for s in range(side * side):
        offsets[s + 1] += offsets[s]
    following = offsets[:-1].copy()
    order = np.empty(len(where), np.uint32)
    for i in range(len(where)):
        s = where[i, 1] * side + where[i, 0]
        order[following[s]] = i
        following[s] += 1
    return order


def numpy_sectors(pos: Any, size: float) -> Any:
    """Exact: what `floor_divide` of float64 gives but for the last place."""
    return np.floor_divide(pos.astype(np.float64), size).astype(np.int32)


def numpy_crossings(pos: Any, where: Any, size: float) -> Any:
    return np.flatnonzero((numpy_sectors(pos, size) != where).any(axis=1))


def flat(where: Any, side: int) -> Any:
    return where[:, 1].astype(np.int64) * side + where[:, 0]
