# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""Whom each datagram of a batch is for, compiled.

The readable twin is in ``packet_twin.py``; what is for nobody goes to ``_sieve.pyx``.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t

from ._bytes cimport get32

from sidereal.transport import layout
from sidereal.transport.transmits import apart

cdef uint8_t DATA_BYTE = (layout.VERSION << 4) | layout.DATA
cdef Py_ssize_t OVERHEAD_BYTES = layout.OVERHEAD_BYTES


def route(object batch, dict routes, list strays):
    """Sort a batch of ``(data, address)`` or ``(data, address, step)`` by the connection of each.

    ``routes`` maps a connection id to ``(address, connection)``. Data packets that
    come from their connection's own address are grouped; everything else
    (handshakes, unknown ids, other addresses, garbage) goes to ``strays``.
    Returns ``{connection id: (connection, [packet, …])}`` in order of first arrival; a packet is
    ``bytes``, or a run of them all for that connection, as it came.
    """
    cdef dict groups = {}
    cdef bytes data
    cdef const uint8_t* p
    cdef uint32_t cid, last_cid = 0
    cdef list last = None
    cdef object last_address = None, address, raw, known, entry, whole
    for entry in _whole_or_apart(batch):
        raw, address = entry[0], entry[1]
        if type(raw) is bytes:
            data = raw
        else:
            data = bytes(raw)
            entry = (data, address)
        p = <const uint8_t*>PyBytes_AS_STRING(data)
        if PyBytes_GET_SIZE(data) < OVERHEAD_BYTES + 1 or p[0] != DATA_BYTE:
            _stray(entry, strays)
            continue
        cid = get32(p + 1)
        if last is not None and cid == last_cid and address is last_address:
            last.append(data if len(entry) == 2 else entry)
            continue
        known = routes.get(cid)
        if known is None or known[0] != address:
            _stray(entry, strays)
            continue
        last_cid = cid
        last_address = address
        whole = groups.get(cid)
        if whole is None:
            whole = groups[cid] = (known[1], [])
        last = whole[1]
        last.append(data if len(entry) == 2 else entry)
    return groups


cdef _stray(object entry, list strays):
    if len(entry) == 2:
        strays.append(entry)
    else:
        strays.extend(apart([entry]))


cdef object _whole_or_apart(object batch):
    """The batch, but for runs that are not of one connection's data packets throughout."""
    cdef object entry
    cdef list cut
    for entry in batch:
        if len(entry) == 3 and not _of_one(entry[0], entry[2]):
            break
    else:
        return batch
    cut = []
    for entry in batch:
        cut += apart([entry]) if len(entry) == 3 and not _of_one(entry[0], entry[2]) else [entry]
    return cut


cdef bint _of_one(object run, Py_ssize_t step) except -1:
    """Whether all packets of a run have the first one's head, up to their numbers."""
    cdef const uint8_t* p
    cdef Py_ssize_t at, size
    if type(run) is not bytes or step <= 0:
        return False
    p = <const uint8_t*>PyBytes_AS_STRING(<bytes>run)
    size = PyBytes_GET_SIZE(<bytes>run)
    if size == 0:
        return False
    for at in range(0, size, step):
        if size - at <= OVERHEAD_BYTES or p[at] != p[0] or get32(p + at + 1) != get32(p + 1):
            return False
    return True
