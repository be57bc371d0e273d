# cython: language_level=3
"""A buffer that is moved instead of made anew."""

from libc.stdint cimport uint8_t


cdef class Place:
    cdef uint8_t* at
    cdef Py_ssize_t size
    cdef bint writable

    cdef inline Place put(self, uint8_t* at, Py_ssize_t size):
        """Be these bytes from now on: whoever was handed this before must be done with it."""
        self.at = at
        self.size = size
        return self
