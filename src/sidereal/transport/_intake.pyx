# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""How much of a batch may be opened, compiled; the readable twin is ``intake_twin.py``.

One test runs over both.
"""

from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from sidereal import limits
from sidereal.transport import settings

cdef int64_t DATAGRAM_COST_MAX = settings.DATAGRAM_COST_MAX
cdef int64_t DATAGRAM_COST_BYTES = limits.DATAGRAM_COST_BYTES


def open_some(object opener, list packets, int64_t now, object inbox, int64_t room):
    """Open packets for as long as the next one's datagrams surely fit into ``room`` bytes.

    A datagram counts with its bytes and `limits.DATAGRAM_COST_BYTES`. Stops at a frame that is
    wrong. Returns how many packets were looked at; the others were not opened.
    """
    cdef Py_ssize_t at = 0, end = len(packets), start, i, datagrams = 0, sequenced = 0
    cdef int64_t left, most
    cdef list held
    while at < end and inbox.error is None:
        left = room
        start = at
        while at < end:
            most = DATAGRAM_COST_MAX * PyBytes_GET_SIZE(<bytes>packets[at])
            if left < most:
                break
            left -= most
            at += 1
        if at == start:
            break
        opener.open_batch(packets if at - start == end else packets[start:at], now, inbox)
        held = inbox.datagrams
        for i in range(datagrams, len(held)):
            room -= PyBytes_GET_SIZE(<bytes>held[i]) + DATAGRAM_COST_BYTES
        datagrams = len(held)
        held = inbox.sequenced
        for i in range(sequenced, len(held)):
            room -= PyBytes_GET_SIZE(<bytes>(<tuple>held[i])[1]) + DATAGRAM_COST_BYTES
        sequenced = len(held)
    return at
