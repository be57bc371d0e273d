# cython: language_level=3
"""What one batch of packets held, as the compiled code shares it."""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t

from ._sizes cimport PLAIN_MAX


cdef class Inbox:
    cdef public list datagrams
    cdef public list sequenced
    cdef public Py_ssize_t overtaken
    cdef public list segments
    cdef public list acks
    cdef public list credits
    cdef public object close
    cdef public object error
    cdef public Py_ssize_t opened
    cdef public Py_ssize_t eliciting
    cdef public Py_ssize_t opened_bytes
    cdef public Py_ssize_t forged
    cdef public Py_ssize_t replayed
    cdef public bint gap
    cdef uint64_t _cuts[2]           # offsets on bulk where a segment ends
    cdef uint8_t scratch[PLAIN_MAX]  # where packets are decrypted whose bytes have no other place
    cdef Py_ssize_t following        # bytes of packets that are still to come in this batch, about
    cdef PyObject* _run              # bytes of one stream, of frames that go on from each other
    cdef Py_ssize_t _run_bytes
    cdef Py_ssize_t _run_room
    cdef int _run_channel            # -1 where there is none
    cdef uint64_t _run_end
    cdef bint _in_step               # whether the last packet was one frame of the run and nothing else

    cdef uint8_t* ahead(self, Py_ssize_t n) except? NULL
    cdef bint goes_on(self, const uint8_t* plain, Py_ssize_t n) noexcept
    cpdef cut_at(self, uint64_t first, uint64_t second)
    cdef segment(self, int channel, uint64_t offset, const uint8_t* data, Py_ssize_t n, bint alone)
    cdef bint _at_cut(self) noexcept
    cdef Py_ssize_t _up_to_cut(self, Py_ssize_t n) noexcept
    cdef _reserve(self, Py_ssize_t n)
    cdef _forget_run(self)
    cdef end_run(self)
    cpdef clear(self)
