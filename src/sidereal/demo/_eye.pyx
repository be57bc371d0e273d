# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""The audit's eye on one tick of a shard, compiled: one pass over all that was simulated.

The readable twin is in ``eye_twin.py``; one test runs over both.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ._idhash cimport mixed

import numpy as np


def look(
    uint32_t tick, const uint64_t[::1] ids, const uint32_t[:] since, const uint32_t[:] birth,
    const uint32_t[:] end, const uint8_t[::1] pending, const uint8_t[::1] maybe,
):
    """Count the rows of a tick, and find those that something is to be said of.

    Parameters
    ----------
    ids : (n,) uint64
    since, birth, end : (n,) uint32
        The tick of each row's state, the first and the last tick of its life; an end of 0 is none.
    pending : (n,) uint8
        1 for shadows.
    maybe : (65536,) uint8
        Which low halves of ids may be looked for.

    Returns
    -------
    count, hash : int
        Rows alive that are no shadows, and the sum of their ids' hashes mod 2^64.
    shadows, late, likely : (m,) int64
        Shadows; rows, not shadows, of an earlier tick than the one before; rows whose ids may be
        looked for. Each rising.
    """
    cdef Py_ssize_t n = ids.shape[0], i, shadows = 0, late = 0, likely = 0
    cdef uint64_t total = 0, count = 0, counted
    if not since.shape[0] == birth.shape[0] == end.shape[0] == pending.shape[0] == n:
        raise ValueError("the columns differ in length")
    if maybe.shape[0] != 65536:
        raise ValueError("maybe has not 65536 entries")
    # One more than there are rows: an index is written before it is known whether it stays.
    found = np.empty((3, n + 1), np.int64)
    cdef long long[:, ::1] out = found
    with nogil:
        for i in range(n):
            counted = (birth[i] <= tick) & ((tick <= end[i]) | (end[i] == 0)) & (pending[i] == 0)
            count += counted
            total += mixed(ids[i]) & (0 - counted)
            out[0, shadows] = i
            shadows += pending[i] != 0
            out[1, late] = i
            late += (<uint64_t>since[i] + 1 < tick) & (pending[i] == 0)
            out[2, likely] = i
            likely += maybe[ids[i] & 0xFFFF] != 0
    return count, total, found[0, :shadows], found[1, :late], found[2, :likely]
