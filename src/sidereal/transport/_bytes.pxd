# cython: language_level=3
"""Little-endian integers at an address, for the compiled codec."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef inline uint16_t get16(const uint8_t* p) noexcept:
    return <uint16_t>(p[0] | (p[1] << 8))


cdef inline uint32_t get32(const uint8_t* p) noexcept:
    return p[0] | (<uint32_t>p[1] << 8) | (<uint32_t>p[2] << 16) | (<uint32_t>p[3] << 24)


cdef inline uint64_t get64(const uint8_t* p) noexcept:
    return <uint64_t>get32(p) | (<uint64_t>get32(p + 4) << 32)


cdef inline void put32(uint8_t* p, uint32_t v) noexcept:
    p[0] = v & 255
    p[1] = (v >> 8) & 255
    p[2] = (v >> 16) & 255
    p[3] = (v >> 24) & 255


cdef inline void put64(uint8_t* p, uint64_t v) noexcept:
    put32(p, <uint32_t>v)
    put32(p + 4, <uint32_t>(v >> 32))
