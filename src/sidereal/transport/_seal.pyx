# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""Packets on their way out, compiled: framing, numbering, encryption.

Opening is in ``_open.pyx``. The readable twin is ``packet_twin.py``; one test suite
runs over both, and each opens what the other sealed.
"""

from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE, _PyBytes_Resize,
)
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ._bytes cimport put32, put64
from ._place cimport Place
from ._sizes cimport PLAIN_MAX, RUN_BYTES, RUN_MAX, STREAM_HEAD

from sidereal.transport import layout

cdef enum:
    SEALED_MAX = 256  # packets of datagrams that one call seals

cdef uint8_t DATA_BYTE = (layout.VERSION << 4) | layout.DATA
cdef uint8_t DATAGRAM = layout.FRAME_DATAGRAM
cdef uint8_t SEQUENCED = layout.FRAME_SEQUENCED
cdef uint8_t UNSEQUENCED = layout.UNSEQUENCED
cdef uint8_t STREAM = layout.FRAME_STREAM
cdef Py_ssize_t HEADER_BYTES = layout.HEADER_BYTES
cdef Py_ssize_t TAG_BYTES = layout.TAG_BYTES
cdef Py_ssize_t PADDING_WORTH = layout.PADDING_WORTH

assert layout.STREAM.size == STREAM_HEAD


cdef class Sealer:
    """Seals one direction's packets, each under a new number."""

    cdef object _chain
    cdef object _encrypt
    cdef int _shift
    cdef uint64_t _epoch
    cdef readonly uint64_t next_number
    cdef bytearray _nonce
    cdef bytearray _head
    cdef Place _plain
    cdef Place _sealed
    cdef readonly uint64_t sealed
    """Packets sealed so far: the numbers used, but for those left out."""
    cdef PyObject* _run  # packets of equal size, one after the other
    cdef Py_ssize_t _run_bytes
    cdef Py_ssize_t _run_room
    cdef Py_ssize_t _step

    def __init__(self, object chain, uint32_t connection_id):
        self._chain = chain
        self._shift = chain.shift
        self._encrypt = chain.encryptor(0)
        self._nonce = bytearray(12)
        self._head = bytearray(HEADER_BYTES)
        put32(<uint8_t*>(<char*>self._head) + 1, connection_id)
        self._head[0] = DATA_BYTE
        self._plain = Place(False)
        self._sealed = Place(True)

    def __dealloc__(self):
        Py_XDECREF(self._run)

    cdef bytes _seal(self, uint8_t* plain, Py_ssize_t n):
        cdef bytes packet = PyBytes_FromStringAndSize(NULL, HEADER_BYTES + n + TAG_BYTES)
        self._seal_at(<uint8_t*>PyBytes_AS_STRING(packet), plain, n)
        return packet

    cdef _seal_at(self, uint8_t* p, uint8_t* plain, Py_ssize_t n):
        """Write the next packet to ``p``."""
        cdef uint64_t number = self.next_number
        cdef uint64_t epoch = number >> self._shift
        if epoch != self._epoch:
            self._encrypt = self._chain.encryptor(epoch)
            self._epoch = epoch
        put32(<uint8_t*>(<char*>self._head) + 5, <uint32_t>number)
        memcpy(p, <char*>self._head, HEADER_BYTES)
        put64(<uint8_t*>(<char*>self._nonce) + 4, number)
        self._encrypt(
            self._nonce, self._plain.put(plain, n), self._head,
            self._sealed.put(p + HEADER_BYTES, n + TAG_BYTES),
        )
        self.next_number = number + 1
        self.sealed += 1

    cdef _begin_run(self, Py_ssize_t step, Py_ssize_t packets):
        """Have room for so many packets of so many bytes, as far as one run may hold them."""
        cdef bytes run
        self._run_room = step * max(1, min(packets, <Py_ssize_t>RUN_MAX, RUN_BYTES // step))
        run = PyBytes_FromStringAndSize(NULL, self._run_room)
        Py_INCREF(run)
        self._run = <PyObject*>run
        self._run_bytes = 0
        self._step = step

    cdef _seal_next(self, uint8_t* plain, Py_ssize_t n):
        """Seal the next packet of the run."""
        self._seal_at(
            <uint8_t*>PyBytes_AS_STRING(<object>self._run) + self._run_bytes, plain, n
        )
        self._run_bytes += HEADER_BYTES + n + TAG_BYTES

    cdef _end_run(self, object address, list out):
        """Append the run to ``out``; one packet is a datagram like any other."""
        cdef object run
        if self._run == NULL:
            return
        if self._run_bytes < self._run_room:
            _PyBytes_Resize(&self._run, self._run_bytes)
        run = <object>self._run
        out.append((run, address, self._step) if self._run_bytes > self._step else (run, address))
        self._drop_run()

    cdef _drop_run(self):
        Py_XDECREF(self._run)
        self._run = NULL

    def skip(self):
        """Leave a number out; return it."""
        self.next_number += 1
        return self.next_number - 1

    def seal(self, bytes frames):
        """One packet of these frames."""
        return self._seal(<uint8_t*>PyBytes_AS_STRING(frames), PyBytes_GET_SIZE(frames))

    def seal_message(self, bytes ack, int channel, uint64_t offset, bytes data):
        """One packet of an ack (or b"") and one stream frame."""
        cdef uint8_t plain[PLAIN_MAX]
        cdef Py_ssize_t n = PyBytes_GET_SIZE(ack), size = PyBytes_GET_SIZE(data)
        memcpy(plain, PyBytes_AS_STRING(ack), n)
        plain[n] = STREAM
        plain[n + 1] = <uint8_t>channel
        put64(plain + n + 2, offset)
        plain[n + 10] = size & 255
        plain[n + 11] = (size >> 8) & 255
        memcpy(plain + n + STREAM_HEAD, PyBytes_AS_STRING(data), size)
        return self._seal(plain, n + STREAM_HEAD + size)

    def seal_datagrams(
        self, list payloads, bytearray sequences, Py_ssize_t start, uint64_t token, Py_ssize_t packet_bytes,
        Py_ssize_t budget, Py_ssize_t packets_max, int64_t now, object flight, object address,
        list out,
    ):
        """Pack ``payloads[start:]`` into packets of at most ``packet_bytes``, seal and record them.

        Stops after ``packets_max`` packets (256 at most) or once ``budget`` bytes are used up.
        ``sequences[i]`` is that of ``payloads[i]``, or UNSEQUENCED.
        ``payloads[start]`` has ``token``. Appends to ``out`` what `transmits.Transmit` says: equal
        packets in runs.
        Returns the index of the first payload that was not sent.
        """
        cdef uint8_t plain[PLAIN_MAX]
        cdef Py_ssize_t room = packet_bytes - HEADER_BYTES - TAG_BYTES
        cdef Py_ssize_t n, size, head, at = start, end = len(payloads), first, sent = 0
        cdef const uint8_t* sequence = <const uint8_t*>(<char*>sequences)
        cdef bytes payload
        cdef uint64_t number = self.next_number
        cdef uint32_t[SEALED_MAX] sizes
        cdef uint32_t[SEALED_MAX] tokens
        self._drop_run()
        while at < end and sent < min(packets_max, <Py_ssize_t>SEALED_MAX) and budget > 0:
            n = 0
            first = at
            while at < end:
                payload = <bytes>payloads[at]
                size = PyBytes_GET_SIZE(payload)
                head = 3 if sequence[at] == UNSEQUENCED else 4
                if n + head + size > room:
                    break
                plain[n] = DATAGRAM
                if head == 4:
                    plain[n] = SEQUENCED
                    plain[n + 1] = sequence[at]
                n += head
                plain[n - 2] = size & 255
                plain[n - 1] = (size >> 8) & 255
                memcpy(plain + n, PyBytes_AS_STRING(payload), size)
                n += size
                at += 1
            if at < end and room - n <= PADDING_WORTH:
                memset(plain + n, 0, room - n)
                n = room
            size = HEADER_BYTES + n + TAG_BYTES
            if self._run != NULL and (
                size > self._step or self._run_bytes + size > self._run_room
            ):
                self._end_run(address, out)
            if self._run == NULL:
                self._begin_run(size, 1 + min(end - at, packets_max - sent - 1, budget // size))
            self._seal_next(plain, n)
            if size < self._step:
                self._end_run(address, out)  # the system knows a shorter one as the last
            sizes[sent] = <uint32_t>size
            tokens[sent] = <uint32_t>(at - first)
            budget -= size
            sent += 1
        self._end_run(address, out)
        if sent:
            flight.record_datagram_run(
                number, now, <uint32_t[:sent]>sizes, token, <uint32_t[:sent]>tokens
            )
        return at

    def seal_stream(
        self, bytes block, Py_ssize_t start, Py_ssize_t end, int channel, uint64_t offset,
        Py_ssize_t packet_bytes, Py_ssize_t budget, Py_ssize_t packets_max, int64_t now,
        object flight, object address, list out,
    ):
        """Seal full packets of one stream frame each, from ``block[start:end]`` on.

        Stops before a packet that would not be full, after ``packets_max`` packets, or
        once ``budget`` bytes are used up. ``block[start]`` has ``offset`` in the stream.
        Returns the index of the first byte that was not sent.
        """
        cdef uint8_t plain[PLAIN_MAX]
        cdef Py_ssize_t piece = packet_bytes - HEADER_BYTES - TAG_BYTES - STREAM_HEAD
        cdef Py_ssize_t sent = 0
        cdef Py_ssize_t packets = min(
            max(0, end - start) // piece, packets_max, max(0, budget + packet_bytes - 1) // packet_bytes
        )
        cdef const uint8_t* data = <const uint8_t*>PyBytes_AS_STRING(block)
        cdef uint64_t number = self.next_number, from_offset = offset
        self._drop_run()
        plain[0] = STREAM
        plain[1] = <uint8_t>channel
        plain[10] = piece & 255
        plain[11] = (piece >> 8) & 255
        while sent < packets:
            if self._run == NULL:
                self._begin_run(packet_bytes, packets - sent)
            put64(plain + 2, offset)
            memcpy(plain + STREAM_HEAD, data + start, piece)
            self._seal_next(plain, STREAM_HEAD + piece)
            start += piece
            offset += piece
            sent += 1
            if self._run_bytes == self._run_room:
                self._end_run(address, out)
        flight.record_pieces(number, sent, now, packet_bytes, channel, from_offset, piece)
        return start
