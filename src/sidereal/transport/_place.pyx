# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""A buffer that is moved instead of made anew, for the ciphers: they take objects, not addresses.

A memoryview of each packet's bytes was made and thrown away for each, an eighth of what sealing one
cost. A cipher is done with a buffer when its call returns, so one object can stand for any bytes.
"""

from cpython.buffer cimport PyBuffer_FillInfo


cdef class Place:
    """Bytes somewhere, which outlive the call that this is handed to."""

    def __cinit__(self, bint writable):
        self.writable = writable

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.at, self.size, not self.writable, flags)
