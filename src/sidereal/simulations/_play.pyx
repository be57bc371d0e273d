# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""One tick of recorded movement, compiled: each row's account, and what its track moved.

The readable twins are `blob.account` and `Replay.moved`, which a recording too long for a table of
its steps still takes; one test runs over both. Steps lie anywhere in memory: a block of rows asks
for all of them before any is needed.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, realloc

import numpy as np

from sidereal.simulations import blob
from sidereal.simulations.replay import COPY

cdef extern from *:
    """
    #define FETCH(p) __builtin_prefetch(p)
    """
    void FETCH(const void*) noexcept nogil

cdef enum:
    BLOCK = 64
    NEAR = 8  # rows that may have gone from one place between two ticks, and the next is still found

cdef packed struct State:
    uint32_t copy
    uint32_t loop
    uint32_t birth
    uint32_t end
    uint32_t simulated
    uint32_t skipped
    uint32_t repeated
    uint32_t last

cdef packed struct Copy:
    double turn_x
    double turn_y
    int64_t first
    uint32_t last
    uint32_t phase

assert blob.STATE.itemsize == sizeof(State)
assert COPY.itemsize == sizeof(Copy)


cdef inline bint _account(State* state, uint32_t since, uint32_t tick) noexcept nogil:
    """Count this tick in a row's blob; whether it is alive in it."""
    cdef int64_t now = tick, birth = state.birth, last = state.last, end = state.end, before
    if end == 0:
        end = 0xFFFFFFFF
    cdef bint alive = birth <= now <= end
    if alive and last == now - 1 and since == now - 1:
        state.simulated += 1
        state.last = tick
        return True
    before = max(<int64_t>since, max(birth, 1) - 1)
    before = min(now - 1, end) - before
    if before > 0:
        state.skipped += <uint32_t>before
    if alive:
        if now <= last:
            state.repeated += 1
        else:
            state.simulated += 1
        state.last = tick
    return alive


cdef class Player:
    """Plays a recording, tick after tick.

    Copies lie anywhere in memory, and rows come in much the same order each time: what the last
    tick needed of them is kept beside one another, in the order of its rows.

    Parameters
    ----------
    copies : (entities,) `replay.COPY`
    points : (steps,) complex128
        All tracks' positions at each of their steps.
    """

    cdef object _copies
    cdef const double complex[::1] _points
    cdef Copy* _kept[2]
    cdef uint32_t* _numbers[2]
    cdef Py_ssize_t _room
    cdef Py_ssize_t _rows
    cdef int _turn

    def __init__(self, object copies, const double complex[::1] points):
        self._copies = copies
        self._points = points

    def __dealloc__(self):
        for side in range(2):
            free(self._kept[side])
            free(self._numbers[side])

    cdef int _fit(self, Py_ssize_t n) except -1:
        """Make room for what n rows need; what is kept stays."""
        cdef Py_ssize_t room = n + n // 4 + BLOCK
        cdef void* grown
        if n <= self._room:
            return 0
        for side in range(2):
            grown = realloc(self._kept[side], room * sizeof(Copy))
            if grown == NULL:
                raise MemoryError
            self._kept[side] = <Copy*>grown
            grown = realloc(self._numbers[side], room * sizeof(uint32_t))
            if grown == NULL:
                raise MemoryError
            self._numbers[side] = <uint32_t*>grown
        self._room = room
        return 0

    def play(
        self, object states, const uint32_t[::1] since, double[:, ::1] position,
        double[:, ::1] velocity, uint32_t tick, double tick_hz,
    ):
        """Move rows by what their tracks moved since their states, and count the tick.

        Parameters
        ----------
        states : (n,) `blob.STATE`, written
        since : (n,) uint32
            The tick of each row's state.
        position, velocity : (n, 2) float64, written

        Returns
        -------
        dead : (m,) uint32
            Rows that do not live in this tick.
        stranger : int
            The first row whose copy there is not, at which it stopped; -1: there is none.
        """
        cdef uint8_t[::1] state_bytes = states.view(np.uint8)
        cdef const uint8_t[::1] copy_bytes = self._copies.view(np.uint8)
        cdef Py_ssize_t n = since.shape[0], begin = 0, i, j = 0, k, end, dead = 0, stranger = -1
        cdef Py_ssize_t misses, known = self._rows
        cdef uint32_t of_all = <uint32_t>len(self._copies), number
        if not len(states) == position.shape[0] == velocity.shape[0] == n:
            raise ValueError("states, since, position and velocity differ in length")
        gone = np.empty(n, np.uint32)
        if n == 0:
            return gone, -1
        if of_all == 0:
            return gone[:0], 0
        self._fit(n)
        cdef uint32_t[::1] ended = gone
        cdef State* row = <State*>&state_bytes[0]
        cdef const Copy* copy = <const Copy*>&copy_bytes[0]
        cdef const double complex* at = &self._points[0]
        cdef const Copy* old = self._kept[self._turn]
        cdef const uint32_t* old_numbers = self._numbers[self._turn]
        cdef Copy* its = self._kept[1 - self._turn]
        cdef uint32_t* numbers = self._numbers[1 - self._turn]
        cdef int64_t age, start, steps
        cdef Py_ssize_t before[BLOCK]
        cdef Py_ssize_t after[BLOCK]
        cdef Py_ssize_t missing[BLOCK]
        cdef double x, y, move_x, move_y, rate
        with nogil:
            while begin < n and stranger < 0:
                end = min(n, begin + BLOCK)
                misses = 0
                for i in range(begin, end):
                    number = row[i].copy
                    if number >= of_all:
                        stranger = i
                        break
                    numbers[i] = number
                    # A few rows may have gone since, and others come.
                    k = j
                    while k < known and k < j + NEAR and old_numbers[k] != number:
                        k += 1
                    if k < known and k < j + NEAR:
                        its[i] = old[k]
                        j = k + 1
                    else:
                        FETCH(&copy[number])
                        missing[misses] = i
                        misses += 1
                if stranger >= 0:
                    break
                for k in range(misses):
                    its[missing[k]] = copy[numbers[missing[k]]]
                for i in range(begin, end):
                    start = its[i].phase if row[i].loop == 0 else 0
                    age = <int64_t>since[i] - row[i].birth
                    before[i - begin] = its[i].first + min(max(age, 0) + start, <int64_t>its[i].last)
                    age = <int64_t>tick - row[i].birth
                    after[i - begin] = its[i].first + min(max(age, 0) + start, <int64_t>its[i].last)
                    FETCH(&at[before[i - begin]])
                    FETCH(&at[after[i - begin]])
                for i in range(begin, end):
                    x = at[after[i - begin]].real - at[before[i - begin]].real
                    y = at[after[i - begin]].imag - at[before[i - begin]].imag
                    move_x = x * its[i].turn_x - y * its[i].turn_y
                    move_y = x * its[i].turn_y + y * its[i].turn_x
                    position[i, 0] += move_x
                    position[i, 1] += move_y
                    rate = tick_hz
                    steps = <int64_t>tick - since[i]
                    if steps > 1:
                        rate /= steps
                    velocity[i, 0] = move_x * rate
                    velocity[i, 1] = move_y * rate
                    if not _account(&row[i], since[i], tick):
                        ended[dead] = <uint32_t>i
                        dead += 1
                begin = end
        self._turn = 1 - self._turn
        self._rows = begin
        return gone[:dead], stranger
