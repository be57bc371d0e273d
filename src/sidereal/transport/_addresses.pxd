# cython: language_level=3
"""Socket addresses, as the compiled code shares them."""

from libc.stdint cimport uint8_t


cdef class Addresses:
    cdef bint _ipv6
    cdef dict _packed
    cdef dict _unpacked
    cdef bytes _last_raw
    cdef object _last_address

    cdef bytes pack(self, object address)
    cdef object unpack(self, const uint8_t* name, Py_ssize_t size)
