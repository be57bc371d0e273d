"""A small set of rows by id, to be read: the same as ``_rowset.pyx``, which the recorder uses.

It holds the few entities that are on their way in or out, and is asked, tick after tick, about all
that a shard simulates; so a table of 16 bits of the id rules almost all of them out before anything
is searched.
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
        self.maybe: npt.NDArray[np.uint8] = np.zeros(1 << 16, np.uint8)
        """1 for each low half of an id that is here: `sidereal.demo._eye.look` asks it."""

    def __len__(self) -> int:
        return len(self.ids)

    def put(self, ids: U64, rows: npt.NDArray[Any]) -> None:
        """Add rows (n,); an id that is there is replaced, the last of equal ids stays."""
        if len(ids) != len(rows):
            raise ValueError("ids and rows differ in length")
        if not len(ids):
            return
        # `take` moves a structured row in one piece; an index moves it field by field.
        every = np.concatenate((self.ids, ids))
        order = np.argsort(every, kind="stable")
        every = every.take(order)
        last = np.flatnonzero(np.append(every[1:] != every[:-1], True))
        self.ids = every.take(last)
        self.rows = np.concatenate((self.rows, rows)).take(order.take(last))
        self.maybe[ids & _LOW_BITS] = 1

    def drop(self, ids: U64) -> None:
        """Remove these ids, where they are there."""
        if len(ids) and len(self.ids):
            gone = self.match(ids)[1]
            if not len(gone):
                return
            keep = np.ones(len(self.ids), np.bool_)
            keep[gone] = False
            self.maybe[self.ids[gone] & _LOW_BITS] = 0
            left = np.flatnonzero(keep)
            self.ids, self.rows = self.ids.take(left), self.rows.take(left)
            # Another id may have the low bits of one that went.
            self.maybe[self.ids & _LOW_BITS] = 1

    def find(self, ids: U64) -> Index:
        """Indices of the rows whose id is among these, rising, each once."""
        return np.unique(self.match(ids)[1])

    def match(self, ids: U64) -> tuple[Index, Index]:
        """Pairs (index in ``ids``, index of the row), by rising index in ``ids``."""
        if not len(self.ids) or not len(ids):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return self.match_among(ids, np.flatnonzero(self.maybe.take(ids.astype(np.uint16))))

    def match_among(self, ids: U64, likely: Index) -> tuple[Index, Index]:
        """As `match`, where only these of `ids` can be here: rising indices."""
        if not len(self.ids) or not len(likely):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        wanted = ids.take(likely)
        place = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        same = np.flatnonzero(self.ids.take(place) == wanted)
        return likely.take(same), place.take(same)
