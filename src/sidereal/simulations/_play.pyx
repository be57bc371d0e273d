# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""One tick of recorded movement, compiled: each row's account, and what its track moved.

The readable twins are `blob.account` and `Replay.moved`, which a recording too long for a table of
its steps still takes; one test runs over both. Copies and steps lie anywhere in memory: a block of
rows asks for all of them before any is needed.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

import numpy as np

from sidereal.simulations import blob
from sidereal.simulations.replay import COPY

cdef extern from *:
    """
    #define FETCH(p) __builtin_prefetch(p)
    #define FETCH_WRITE(p) __builtin_prefetch(p, 1)
    """
    void FETCH(const void*) noexcept nogil
    void FETCH_WRITE(const void*) noexcept nogil

cdef enum:
    BLOCK = 64

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


def play(
    object states, const uint32_t[::1] since, double[:, ::1] position, double[:, ::1] velocity,
    object copies, const double complex[::1] points, uint32_t tick, double tick_hz,
):
    """Move rows by what their tracks moved since their states, and count the tick.

    Parameters
    ----------
    states : (n,) `blob.STATE`, written
    since : (n,) uint32
        The tick of each row's state.
    position, velocity : (n, 2) float64, written
    copies : (entities,) `replay.COPY`
    points : (steps,) complex128
        All tracks' positions at each of their steps.

    Returns
    -------
    dead : (m,) uint32
        Rows that do not live in this tick.
    stranger : int
        The first row whose copy there is not, at which it stopped; -1: there is none.
    """
    cdef uint8_t[::1] state_bytes = states.view(np.uint8)
    cdef const uint8_t[::1] copy_bytes = copies.view(np.uint8)
    cdef Py_ssize_t n = since.shape[0], begin, i, end, dead = 0, stranger = -1
    cdef uint32_t of_all = <uint32_t>len(copies)
    if not len(states) == position.shape[0] == velocity.shape[0] == n:
        raise ValueError("states, since, position and velocity differ in length")
    gone = np.empty(n, np.uint32)
    if n == 0:
        return gone, -1
    if of_all == 0:
        return gone[:0], 0
    cdef uint32_t[::1] ended = gone
    cdef State* row = <State*>&state_bytes[0]
    cdef const Copy* copy = <const Copy*>&copy_bytes[0]
    cdef const Copy* its
    cdef const double complex* at = &points[0]
    cdef int64_t age, start, steps
    cdef Py_ssize_t before[BLOCK]
    cdef Py_ssize_t after[BLOCK]
    cdef double x, y, move_x, move_y, rate
    with nogil:
        for i in range(min(n, <Py_ssize_t>BLOCK)):
            FETCH(&copy[row[i].copy])
        begin = 0
        while begin < n and stranger < 0:
            end = min(n, begin + BLOCK)
            for i in range(end, min(n, end + BLOCK)):
                FETCH(&copy[row[i].copy])
            for i in range(begin, end):
                if row[i].copy >= of_all:
                    stranger = i
                    break
                its = &copy[row[i].copy]
                start = its.phase if row[i].loop == 0 else 0
                age = <int64_t>since[i] - row[i].birth
                before[i - begin] = its.first + min(max(age, 0) + start, <int64_t>its.last)
                age = <int64_t>tick - row[i].birth
                after[i - begin] = its.first + min(max(age, 0) + start, <int64_t>its.last)
                FETCH(&at[before[i - begin]])
                FETCH(&at[after[i - begin]])
            if stranger >= 0:
                break
            for i in range(begin, end):
                its = &copy[row[i].copy]
                x = at[after[i - begin]].real - at[before[i - begin]].real
                y = at[after[i - begin]].imag - at[before[i - begin]].imag
                move_x = x * its.turn_x - y * its.turn_y
                move_y = x * its.turn_y + y * its.turn_x
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
    return gone[:dead], stranger
