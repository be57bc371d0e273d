# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""What one batch of packets held, compiled; the readable twin is in ``packet_twin.py``.

Frames of a stream that go on from each other become one segment. Most packets of a bulk transfer
are one such frame each: they are decrypted where the segment's next bytes belong, so that these are
not copied at all before the user has them.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, _PyBytes_Resize
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from ._bytes cimport get16, get64
from ._sizes cimport STREAM_HEAD

from sidereal.transport import layout

cdef uint8_t STREAM = layout.FRAME_STREAM
cdef int BULK = layout.BULK

assert layout.STREAM.size == STREAM_HEAD


cdef class Inbox:
    """What one batch of packets held, sorted by kind; emptied by `clear`."""

    def __cinit__(self):
        self.clear()

    def __dealloc__(self):
        Py_XDECREF(self._run)

    cdef uint8_t* ahead(self, Py_ssize_t n) except? NULL:
        """Where to decrypt ``n`` bytes of frames so that a stream frame's lie in their place.

        NULL where they are not expected to go on from the last. The frame's head covers the last
        STREAM_HEAD bytes of the run: the caller keeps them, and puts them back.
        """
        cdef Py_ssize_t more = n - STREAM_HEAD
        if not self._in_step or more <= 0 or self._run_bytes < STREAM_HEAD:
            return NULL
        self._reserve(more)
        return <uint8_t*>PyBytes_AS_STRING(<object>self._run) + self._run_bytes - STREAM_HEAD

    cdef bint goes_on(self, const uint8_t* plain, Py_ssize_t n) noexcept:
        """Whether these frames are one stream frame that goes on from the run; counts it if so."""
        cdef Py_ssize_t size = n - STREAM_HEAD
        if (
            plain[0] != STREAM or plain[1] != self._run_channel
            or get64(plain + 2) != self._run_end or get16(plain + 10) != size
            or self._at_cut() or self._up_to_cut(size) != size
        ):
            self._in_step = False
            return False
        self._run_bytes += size
        self._run_end += <uint64_t>size
        return True

    cdef segment(self, int channel, uint64_t offset, const uint8_t* data, Py_ssize_t n, bint alone):
        """Keep a stream frame's bytes; neighbours become one segment, but for cuts.

        ``alone`` says that it is all that its packet holds.
        """
        cdef Py_ssize_t part
        while True:
            if channel != self._run_channel or offset != self._run_end or self._at_cut():
                self.end_run()
                self._run_channel = channel
                self._run_end = offset
            part = self._up_to_cut(n)
            self._reserve(part)
            memcpy(PyBytes_AS_STRING(<object>self._run) + self._run_bytes, data, part)
            self._run_bytes += part
            self._run_end += <uint64_t>part
            if part == n:
                break
            data += part
            offset += <uint64_t>part
            n -= part
        self._in_step = alone

    cdef bint _at_cut(self) noexcept:
        return self._run_channel == BULK and self._run_end in (self._cuts[0], self._cuts[1])

    cdef Py_ssize_t _up_to_cut(self, Py_ssize_t n) noexcept:
        """How many of ``n`` bytes that follow the run come before the next cut."""
        cdef int i
        if self._run_channel == BULK:
            for i in range(2):
                if self._run_end < self._cuts[i] < self._run_end + <uint64_t>n:
                    return <Py_ssize_t>(self._cuts[i] - self._run_end)
        return n

    cdef _reserve(self, Py_ssize_t n):
        """Have room for ``n`` bytes more; where there is none, for all that may follow."""
        cdef Py_ssize_t room = self._run_bytes + n
        cdef bytes larger
        if self._run != NULL and room <= self._run_room:
            return
        if self._run_bytes:
            room += self.following
        larger = PyBytes_FromStringAndSize(NULL, room)
        if self._run_bytes:
            memcpy(PyBytes_AS_STRING(larger), PyBytes_AS_STRING(<object>self._run), self._run_bytes)
        Py_XDECREF(self._run)
        Py_INCREF(larger)
        self._run = <PyObject*>larger
        self._run_room = room

    cdef end_run(self):
        """What came of a stream so far is a segment."""
        if self._run_channel < 0:
            return
        if self._run_bytes < self._run_room:
            self._run_room = self._run_bytes
            _PyBytes_Resize(&self._run, self._run_bytes)
        self.segments.append((
            self._run_channel, self._run_end - <uint64_t>self._run_bytes, <object>self._run
        ))
        self._forget_run()

    cdef _forget_run(self):
        Py_XDECREF(self._run)
        self._run = NULL
        self._run_room = self._run_bytes = 0
        self._run_channel = -1
        self._in_step = False

    cpdef cut_at(self, uint64_t first, uint64_t second):
        """End segments of bulk at these offsets, ``first`` not being the larger, until `clear`.

        They are where a message ends and where the next one's length does: what is handed on as
        it came need not be cut out of what came before and after it, which is to copy it.
        """
        self._cuts[0] = first
        self._cuts[1] = second

    cpdef clear(self):
        """Empty it for the next batch."""
        self.datagrams = []
        self.sequenced = []
        self.overtaken = 0
        self.segments = []
        self.acks = []
        self.credits = []
        self.close = None
        self.error = None
        self.opened = self.eliciting = self.opened_bytes = 0
        self.forged = self.replayed = 0
        self.gap = False
        self.following = 0
        self._cuts[0] = self._cuts[1] = 0
        self._forget_run()
