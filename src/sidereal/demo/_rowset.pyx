# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""A small set of rows by id, compiled: found by hashing, and moved in place.

The readable twin is in ``rowset.py``, whose rows are sorted; here they are in no order. One test
runs over both.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ._idhash cimport mixed

import numpy as np

cdef enum:
    LOW_HALVES = 65536
    ROOM_FIRST = 64


cdef class RowSet:
    """Rows of one dtype by their ids: see `sidereal.demo.rowset.RowSet`."""

    cdef object _dtype
    cdef Py_ssize_t _item
    cdef Py_ssize_t _count
    cdef Py_ssize_t _room         # of rows; twice as many places for their hashes, or more
    cdef uint64_t _mask
    cdef object _id_column
    cdef object _row_bytes
    cdef uint64_t[::1] _ids
    cdef uint8_t[::1] _rows
    cdef int32_t[::1] _places     # by hash: the row that is there, or -1
    cdef uint32_t[::1] _low       # rows by the low half of their ids
    cdef uint8_t[::1] _maybe
    cdef readonly object maybe
    """1 for each low half of an id that is here: `sidereal.demo._eye.look` asks it."""

    def __init__(self, object dtype):
        self._dtype = np.dtype(dtype)
        self._item = self._dtype.itemsize
        self.maybe = np.zeros(LOW_HALVES, np.uint8)
        self._maybe = self.maybe
        self._low = np.zeros(LOW_HALVES, np.uint32)
        self._id_column = np.empty(0, np.uint64)
        self._row_bytes = np.empty(0, np.uint8)
        self._grow(ROOM_FIRST)

    def __len__(self):
        return self._count

    @property
    def ids(self):
        """(n,) uint64, in the order of the rows."""
        return self._id_column[:self._count]

    @property
    def rows(self):
        """(n,) of the dtype; to be written to as well."""
        return self._row_bytes[:self._count * self._item].view(self._dtype)

    cdef int _grow(self, Py_ssize_t room) except -1:
        """Make room for so many rows, and find a new place for each."""
        cdef Py_ssize_t row
        cdef uint64_t at
        ids, rows = np.empty(room, np.uint64), np.empty(room * self._item, np.uint8)
        ids[:self._count] = self._id_column[:self._count]
        rows[:self._count * self._item] = self._row_bytes[:self._count * self._item]
        self._id_column, self._row_bytes = ids, rows
        self._ids, self._rows = ids, rows
        self._places = np.full(2 * room, -1, np.int32)
        self._room = room
        self._mask = 2 * room - 1
        for row in range(self._count):
            at = mixed(self._ids[row]) & self._mask
            while self._places[at] >= 0:
                at = (at + 1) & self._mask
            self._places[at] = <int32_t>row
        return 0

    cdef inline uint64_t _at(self, uint64_t id) noexcept nogil:
        """Where an id's row is named, or would be."""
        cdef uint64_t at = mixed(id) & self._mask
        while self._places[at] >= 0 and self._ids[self._places[at]] != id:
            at = (at + 1) & self._mask
        return at

    def put(self, ids, rows):
        """Add rows (n,); an id that is there is replaced, the last of equal ids stays."""
        cdef const uint64_t[::1] new = np.ascontiguousarray(ids, np.uint64)
        cdef const uint8_t[::1] bytes_ = np.ascontiguousarray(rows, self._dtype).view(np.uint8)
        cdef Py_ssize_t i, row
        cdef uint64_t at
        if bytes_.shape[0] != new.shape[0] * self._item:
            raise ValueError("ids and rows differ in length")
        if self._count + new.shape[0] > self._room:
            self._grow(1 << int(self._count + new.shape[0]).bit_length())
        for i in range(new.shape[0]):
            at = self._at(new[i])
            row = self._places[at]
            if row < 0:
                row = self._count
                self._count += 1
                self._places[at] = <int32_t>row
                self._ids[row] = new[i]
                self._low[new[i] & 0xFFFF] += 1
                self._maybe[new[i] & 0xFFFF] = 1
            memcpy(&self._rows[row * self._item], &bytes_[i * self._item], self._item)

    def drop(self, ids):
        """Remove these ids, where they are there."""
        cdef const uint64_t[::1] gone = np.ascontiguousarray(ids, np.uint64)
        cdef Py_ssize_t i
        for i in range(gone.shape[0]):
            if self._maybe[gone[i] & 0xFFFF]:
                self._drop(gone[i])

    cdef void _drop(self, uint64_t id) noexcept:
        cdef uint64_t at = self._at(id), next_at, home
        cdef Py_ssize_t row = self._places[at], last = self._count - 1
        if row < 0:
            return
        # Those behind it move up, as far as they may, so that none is cut off from its hash.
        next_at = (at + 1) & self._mask
        while self._places[next_at] >= 0:
            home = mixed(self._ids[self._places[next_at]]) & self._mask
            if ((next_at - home) & self._mask) >= ((next_at - at) & self._mask):
                self._places[at] = self._places[next_at]
                at = next_at
            next_at = (next_at + 1) & self._mask
        self._places[at] = -1
        if row != last:
            self._places[self._at(self._ids[last])] = <int32_t>row
            self._ids[row] = self._ids[last]
            memcpy(&self._rows[row * self._item], &self._rows[last * self._item], self._item)
        self._count = last
        self._low[id & 0xFFFF] -= 1
        self._maybe[id & 0xFFFF] = self._low[id & 0xFFFF] > 0

    def find(self, ids):
        """Indices of the rows whose id is among these, rising, each once."""
        return np.unique(self.match(ids)[1])

    def match(self, ids):
        """Pairs (index in ``ids``, index of the row), by rising index in ``ids``."""
        return self.match_among(ids, np.arange(len(ids)))

    def match_among(self, ids, likely):
        """As `match`, where only these of `ids` can be here: rising indices."""
        cdef const uint64_t[::1] asked = np.ascontiguousarray(ids, np.uint64)
        cdef const int64_t[::1] those = np.ascontiguousarray(likely, np.int64)
        cdef Py_ssize_t i, found = 0
        cdef int32_t row
        # One more than are asked for: a pair is written before it is known whether it stays.
        pairs = np.empty((2, those.shape[0] + 1), np.int64)
        cdef int64_t[:, ::1] out = pairs
        for i in range(those.shape[0]):
            if not self._maybe[asked[those[i]] & 0xFFFF]:
                continue
            row = self._places[self._at(asked[those[i]])]
            out[0, found] = those[i]
            out[1, found] = row
            found += row >= 0
        return pairs[0, :found], pairs[1, :found]
