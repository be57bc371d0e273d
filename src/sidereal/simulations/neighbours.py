"""Who is near whom: pairs within a radius, by a grid of cells and one sort.

Cells are as wide as the radius, so that a neighbour lies in the same cell or one
of the eight around it; with the cells numbered row by row, these are three runs
of consecutive numbers, hence three slices of the sorted points.
"""

import numpy as np
import numpy.typing as npt

CANDIDATES_MAX = 16
"""Candidates looked at per row of three cells. A denser crowd is sampled evenly, so
the cost stays linear in the points whatever they do."""


def near_pairs(
    position: npt.NDArray[np.float64], others: npt.NDArray[np.float64], radius: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pairs ``(i, j)`` with ``others[j]`` within ``radius`` of ``position[i]``.

    Parameters
    ----------
    position : (n, 2) float64
    others : (m, 2) float64
    radius : float

    Returns
    -------
    i, j : (pairs,) int64
        A point that is in both arrays is its own neighbour. No order is promised.
    """
    empty = np.empty(0, np.int64)
    if len(position) == 0 or len(others) == 0:
        return empty, empty
    low = others.min(axis=0) - radius
    wide = int((others[:, 0].max() - low[0]) // radius) + 3
    cell = np.floor((others - low) / radius).astype(np.int64)
    key = cell[:, 1] * wide + cell[:, 0]
    order = np.argsort(key, kind="stable")
    key = key[order]
    mine = np.floor((position - low) / radius)
    # A point beyond all others meets nobody; clipped, its cell number cannot overflow.
    column = np.clip(mine[:, 0], -2, wide).astype(np.int64)
    row = np.clip(mine[:, 1], -2, key[-1] // wide + 2).astype(np.int64)
    found_i, found_j = [], []
    for up in (-1, 0, 1):
        base = (row + up) * wide
        start = np.searchsorted(key, base + np.clip(column - 1, 0, wide), side="left")
        stop = np.searchsorted(key, base + np.clip(column + 2, 0, wide), side="left")
        have = np.maximum(stop - start, 0)
        take = np.minimum(have, CANDIDATES_MAX)
        i = np.repeat(np.arange(len(position)), take)
        nth = np.arange(len(i)) - np.repeat(np.cumsum(take) - take, take)
        j = order[start[i] + nth * have[i] // np.maximum(take[i], 1)]
        close = ((others[j] - position[i]) ** 2).sum(axis=1) <= radius * radius
        found_i.append(i[close])
        found_j.append(j[close])
    return np.concatenate(found_i), np.concatenate(found_j)
