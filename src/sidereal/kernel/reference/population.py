"""Who is where: counts, groups, the census, range queries."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import space

I32 = NDArray[np.int32]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
Real = NDArray[np.floating[Any]]


def counts(sectors: I32) -> tuple[I32, U32]:
    """The sectors that occur, by y, then x, and how often."""
    _, offsets, found = group(sectors)
    return found, np.diff(offsets)


def group(sectors: I32) -> tuple[U32, U32, I32]:
    """Rows by sector: order, offsets, sectors; ascending within a sector."""
    order = np.lexsort((sectors[:, 0], sectors[:, 1]))
    found = sectors[order]
    first = np.ones(len(found), dtype=bool)
    first[1:] = np.any(found[1:] != found[:-1], axis=1)
    offsets = np.append(np.flatnonzero(first), len(found))
    return order.astype(np.uint32), offsets.astype(np.uint32), found[first]


def flux(old: I32, new: I32) -> tuple[I32, I32, U32]:
    """How many rows cross from each sector to each other, by source, then target."""
    there = np.all((old != space.NO_COORDINATE) & (new != space.NO_COORDINATE), axis=1)
    crossed = there & np.any(old != new, axis=1)
    edges = np.hstack([old[:, ::-1], new[:, ::-1]])[crossed]
    found, n = np.unique(edges, axis=0, return_counts=True)
    return (
        np.ascontiguousarray(found[:, 1::-1]),
        np.ascontiguousarray(found[:, :1:-1]),
        n.astype(np.uint32),
    )


class Census:
    """Rows kept by sector; leaving swaps the sector's last row into the gap."""

    def __init__(self, size: float) -> None:
        self._size = size
        self._rows: dict[tuple[int, int], list[int]] = {}

    def rebuild(self, pos: Real) -> None:
        """Start again from these positions."""
        self._rows = {}
        for row, (x, y) in enumerate(space.sectors(pos, self._size)[0].tolist()):
            self._rows.setdefault((y, x), []).append(row)

    def move(self, index: U32, old: I32 | None, new: I32) -> None:
        """Move rows from the sectors they are in to others."""
        for at, (row, (nx, ny)) in enumerate(zip(index.tolist(), new.tolist(), strict=True)):
            (y, x), bucket = next((key, rows) for key, rows in self._rows.items() if row in rows)
            if old is not None and old[at].tolist() != [x, y]:
                raise ValueError(f"row {row} is not in the sector that old says")
            bucket[bucket.index(row)] = bucket[-1]
            bucket.pop()
            self._rows.setdefault((ny, nx), []).append(row)

    def csr(self) -> tuple[U32, U32, I32]:
        """As `group`, in order of arrival within a sector."""
        occupied = [(key, rows) for key, rows in sorted(self._rows.items()) if rows]
        order = [row for _, rows in occupied for row in rows]
        offsets = np.cumsum([0, *(len(rows) for _, rows in occupied)])
        found = np.array([(x, y) for (y, x), _ in occupied], dtype=np.int32).reshape(-1, 2)
        return np.array(order, dtype=np.uint32), offsets.astype(np.uint32), found

    def counts(self) -> tuple[I32, U32]:
        """The sectors that are occupied, and by how many."""
        _, offsets, found = self.csr()
        return found, np.diff(offsets)


class Snapshot:
    """Positions that stand still, asked for by disc."""

    def __init__(self, pos: Real, size: float) -> None:
        where, invalid = space.sectors(pos, size)
        order, _, _ = group(where)
        self._order = order[~np.isin(order, invalid)]
        self._points = pos.astype(np.float64)[self._order]

    def query(self, centres: Real, radius: float | Real) -> tuple[U32, U64]:
        """For each centre the rows with ``dx*dx + dy*dy <= r*r``."""
        radii = np.broadcast_to(np.asarray(radius, dtype=np.float64), len(centres))
        found = []
        for centre, r in zip(centres.astype(np.float64), radii, strict=True):
            dx, dy = (self._points - centre).T
            near = (dx * dx + dy * dy <= r * r) & np.isfinite(centre).all()
            found.append(self._order[near])
        offsets = np.cumsum([0, *(len(rows) for rows in found)])
        index = np.concatenate([np.empty(0, dtype=np.uint32), *found])
        return index, offsets.astype(np.uint64)
