"""A small set of rows by id, looked up in large columns of ids, tick after tick.

It holds the few entities that are on their way in or out, and is asked about all
that a shard simulates; so a table of 16 bits of the id rules almost all of them
out before anything is searched.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
Index = npt.NDArray[np.int64]

_LOW_BITS = np.uint64(0xFFFF)


class RowSet:
    """Rows of one dtype, sorted by their ids.

    Attributes
    ----------
    ids : ndarray, (n,) uint64, rising
    rows : ndarray, (n,) of the dtype
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.ids: U64 = np.empty(0, np.uint64)
        self.rows: npt.NDArray[Any] = np.empty(0, dtype)
        self._maybe: npt.NDArray[np.bool_] = np.zeros(1 << 16, np.bool_)

    def __len__(self) -> int:
        return len(self.ids)

    def put(self, ids: U64, rows: npt.NDArray[Any]) -> None:
        """Add rows (n,); an id that is there is replaced, the last of equal ids stays."""
        if len(ids):
            every = np.concatenate((self.ids, ids))
            values = np.concatenate((self.rows, rows))
            order = np.argsort(every, kind="stable")
            last = np.append(every[order][1:] != every[order][:-1], True)
            self._hold(every[order][last], values[order][last])

    def drop(self, ids: U64) -> None:
        """Remove these ids, where they are there."""
        if len(ids) and len(self.ids):
            keep = np.ones(len(self.ids), np.bool_)
            keep[self.find(ids)] = False
            self._hold(self.ids[keep], self.rows[keep])

    def find(self, ids: U64) -> Index:
        """Indices of the rows whose id is among these, rising, each once."""
        return np.unique(self.match(ids)[1])

    def match(self, ids: U64) -> tuple[Index, Index]:
        """Pairs (index in ``ids``, index of the row), by rising index in ``ids``."""
        if not len(self.ids) or not len(ids):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        likely = np.flatnonzero(self._maybe[ids & _LOW_BITS])
        place = np.minimum(np.searchsorted(self.ids, ids[likely]), len(self.ids) - 1)
        same = self.ids[place] == ids[likely]
        return likely[same], place[same]

    def _hold(self, ids: U64, rows: npt.NDArray[Any]) -> None:
        self._maybe[self.ids & _LOW_BITS] = False
        self._maybe[ids & _LOW_BITS] = True
        self.ids, self.rows = ids, rows
