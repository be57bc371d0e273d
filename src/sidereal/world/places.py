"""Rows and the sectors that they are in: which sectors occur, and which rows are in each."""

import numpy as np
from numpy.typing import NDArray

from sidereal.ids import Sector
from sidereal.kernel import counts, group
from sidereal.world.columns import U32


def same_sector(where: NDArray[np.int32], other: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return for each row (n, 2) whether both name one sector. For few rows two columns are
    compared in less time than one reduction takes.
    """
    equal = where == other
    same: NDArray[np.bool_] = equal[:, 0] & equal[:, 1]
    return same


def unique_sectors(where: NDArray[np.int32]) -> list[Sector]:
    """Return the distinct sectors among the rows ``where`` (n, 2), sorted by y, then x."""
    if not len(where):
        return []
    found, _ = counts(np.ascontiguousarray(where))
    return [(x, y) for x, y in found.tolist()]


def rows_by_sector(where: NDArray[np.int32]) -> list[tuple[Sector, U32]]:
    """Return each distinct sector among the rows ``where`` (n, 2) and its rows, ascending."""
    if not len(where):
        return []
    order, offsets, found = group(np.ascontiguousarray(where))
    parts = np.split(order, offsets[1:-1])
    return [((x, y), rows) for (x, y), rows in zip(found.tolist(), parts, strict=True)]


def labels(where: NDArray[np.int32]) -> tuple[NDArray[np.int64], list[Sector]]:
    """Return for each row of ``where`` (n, 2) the number of its sector, and the sectors."""
    order, offsets, found = group(np.ascontiguousarray(where))
    numbers = np.empty(len(where), np.int64)
    numbers[order] = np.repeat(np.arange(len(found)), np.diff(offsets))
    return numbers, [(x, y) for x, y in found.tolist()]
