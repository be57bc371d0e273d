# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""Whom each datagram of a batch is for, compiled.

The readable twin is in ``packet_twin.py``; what is for nobody goes to ``_sieve.pyx``.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t

from ._bytes cimport get32

from sidereal.transport import layout

cdef uint8_t DATA_BYTE = (layout.VERSION << 4) | layout.DATA
cdef Py_ssize_t OVERHEAD_BYTES = layout.OVERHEAD_BYTES


def route(object batch, dict routes, list strays):
    """Sort a batch of ``(data, address)`` by the connection that each belongs to.

    ``routes`` maps a connection id to ``(address, connection)``. Data packets that
    come from their connection's own address are grouped; everything else
    (handshakes, unknown ids, other addresses, garbage) goes to ``strays``.
    Returns ``{connection id: (connection, [bytes, …])}`` in order of first arrival.
    """
    cdef dict groups = {}
    cdef bytes data
    cdef const uint8_t* p
    cdef uint32_t cid, last_cid = 0
    cdef list last = None
    cdef object last_address = None, address, raw, known, entry
    for entry in batch:
        raw, address = entry
        if type(raw) is bytes:
            data = raw
        else:
            data = bytes(raw)
            entry = (data, address)
        p = <const uint8_t*>PyBytes_AS_STRING(data)
        if PyBytes_GET_SIZE(data) < OVERHEAD_BYTES + 1 or p[0] != DATA_BYTE:
            strays.append(entry)
            continue
        cid = get32(p + 1)
        if last is not None and cid == last_cid and address is last_address:
            last.append(data)
            continue
        known = routes.get(cid)
        if known is None or known[0] != address:
            strays.append(entry)
            continue
        last_cid = cid
        last_address = address
        entry = groups.get(cid)
        if entry is None:
            last = [data]
            groups[cid] = (known[1], last)
        else:
            last = entry[1]
            last.append(data)
    return groups
