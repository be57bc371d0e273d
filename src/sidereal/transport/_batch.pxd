# cython: language_level=3
"""What the drained socket shares with the batched one."""

from libc.stdint cimport uint8_t


cdef Py_ssize_t arrived(
    list batch, const uint8_t* data, Py_ssize_t size, Py_ssize_t step, object address, bint runs
) except -1
