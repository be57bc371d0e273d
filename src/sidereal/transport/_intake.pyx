# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""How much of a batch may be opened, compiled; the readable twin is ``intake_twin.py``.

One test runs over both.
"""

from cpython.bytes cimport PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from sidereal import limits
from sidereal.transport import settings
from sidereal.transport.transmits import apart, datagrams

cdef int64_t DATAGRAM_COST_MAX = settings.DATAGRAM_COST_MAX
cdef int64_t DATAGRAM_COST_BYTES = limits.DATAGRAM_COST_BYTES


def open_some(object opener, list packets, int64_t now, object inbox, int64_t room):
    """Open packets for as long as the next one's datagrams surely fit into ``room`` bytes.

    A datagram counts with its bytes and `limits.DATAGRAM_COST_BYTES`. Stops at a frame that is
    wrong. A run of packets that does not fit is cut. Returns how many packets there was no room for.
    """
    cdef Py_ssize_t at = 0, start, i, taken = 0, sequenced = 0
    cdef int64_t left, most
    cdef list held
    cdef object packet = None
    while at < len(packets) and inbox.error is None:
        left = room
        start = at
        while at < len(packets):
            packet = packets[at]
            most = DATAGRAM_COST_MAX * PyBytes_GET_SIZE(
                packet if type(packet) is bytes else (<tuple>packet)[0]
            )
            if left < most:
                break
            left -= most
            at += 1
        if at > start:
            opener.open_batch(packets[start:at], now, inbox)
        elif type(packet) is bytes:
            break
        else:
            packets = [*packets[:at], *[data for data, _ in apart([packet])], *packets[at + 1:]]
            continue
        held = inbox.datagrams
        for i in range(taken, len(held)):
            room -= PyBytes_GET_SIZE(<bytes>held[i]) + DATAGRAM_COST_BYTES
        taken = len(held)
        held = inbox.sequenced
        for i in range(sequenced, len(held)):
            room -= PyBytes_GET_SIZE(<bytes>(<tuple>held[i])[1]) + DATAGRAM_COST_BYTES
        sequenced = len(held)
    return sum([1 if type(packet) is bytes else datagrams([packet]) for packet in packets[at:]])
