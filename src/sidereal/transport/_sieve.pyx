# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""What belongs to no connection, compiled: a flood of it costs a loop in C, and keeps nothing.

The readable twin is ``sieve_twin.py``, which says what is done with what; one test
suite runs over both.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ._bytes cimport get32, get64, put32, put64

from sidereal import limits
from sidereal.transport import cookie as _cookie
from sidereal.transport import handshake, layout

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object, Py_ssize_t*) except NULL

cdef enum:
    COOKIE_BYTES = 20
    MAC_BYTES = 16
    COOKIE_AT = 13
    NAME_AT = 33
    HOST_BYTES_MAX = 255
    SECOND = 1_000_000_000

assert (COOKIE_BYTES, COOKIE_AT) == (_cookie.COOKIE_BYTES, handshake.COOKIE_AT)
assert HOST_BYTES_MAX == _cookie.HOST_BYTES_MAX

cdef int VERSION = layout.VERSION
cdef int HELLO = layout.HELLO
cdef int COOKIE = layout.COOKIE
cdef int ACCEPT = layout.ACCEPT
cdef int REJECT = layout.REJECT
cdef int DATA = layout.DATA
cdef int REJECT_VERSION = handshake.REJECT_VERSION
cdef Py_ssize_t HELLO_BYTES_MIN = handshake.HELLO_BYTES_MIN
cdef Py_ssize_t NOISE_BYTES = handshake.NOISE_BYTES
cdef Py_ssize_t NAME_BYTES_MAX = handshake.KEY_NAME_BYTES_MAX
cdef int64_t LIFETIME_S = _cookie.COOKIE_LIFETIME_S
cdef int64_t ANSWERS_PER_S = limits.HELLO_ANSWERS_PER_S_MAX
cdef int64_t BURST = limits.HELLO_ANSWERS_BURST


cdef inline uint64_t rotl(uint64_t x, int bits) noexcept:
    return (x << bits) | (x >> (64 - bits))


cdef inline void sip_round(uint64_t* v) noexcept:
    v[0] += v[1]
    v[1] = rotl(v[1], 13) ^ v[0]
    v[0] = rotl(v[0], 32)
    v[2] += v[3]
    v[3] = rotl(v[3], 16) ^ v[2]
    v[0] += v[3]
    v[3] = rotl(v[3], 21) ^ v[0]
    v[2] += v[1]
    v[1] = rotl(v[1], 17) ^ v[2]
    v[2] = rotl(v[2], 32)


cdef void siphash(const uint8_t* key, const uint8_t* data, Py_ssize_t size, uint8_t* out) noexcept:
    cdef uint64_t k0 = get64(key), k1 = get64(key + 8), word
    cdef uint64_t v[4]
    cdef Py_ssize_t at
    cdef int i
    v[0] = k0 ^ <uint64_t>0x736F6D6570736575
    v[1] = k1 ^ <uint64_t>0x646F72616E646F6D ^ 0xEE
    v[2] = k0 ^ <uint64_t>0x6C7967656E657261
    v[3] = k1 ^ <uint64_t>0x7465646279746573
    for at in range(0, size - 7, 8):
        word = get64(data + at)
        v[3] ^= word
        sip_round(v)
        sip_round(v)
        v[0] ^= word
    word = <uint64_t>(size & 255) << 56
    at = size & ~<Py_ssize_t>7
    for i in range(<int>(size - at)):
        word |= <uint64_t>data[at + i] << (8 * i)
    v[3] ^= word
    sip_round(v)
    sip_round(v)
    v[0] ^= word
    v[2] ^= 0xEE
    for i in range(4):
        sip_round(v)
    put64(out, v[0] ^ v[1] ^ v[2] ^ v[3])
    v[1] ^= 0xDD
    for i in range(4):
        sip_round(v)
    put64(out + 8, v[0] ^ v[1] ^ v[2] ^ v[3])


def siphash128(bytes key, bytes data):
    """SipHash-2-4 with 128 bits of output (Aumasson and Bernstein 2012) under a key of 16 bytes."""
    cdef uint8_t out[MAC_BYTES]
    if len(key) != 16:
        raise ValueError(f"a key of SipHash has 16 bytes, not {len(key)}")
    siphash(
        <const uint8_t*>PyBytes_AS_STRING(key), <const uint8_t*>PyBytes_AS_STRING(data),
        PyBytes_GET_SIZE(data), out,
    )
    return PyBytes_FromStringAndSize(<char*>out, MAC_BYTES)


cdef class Sieve:
    """Sorts what belongs to no connection; see the readable twin."""

    cdef bytes _secret
    cdef int64_t _start_ns
    cdef int64_t _credit
    cdef int64_t _at
    cdef readonly uint64_t malformed
    cdef readonly uint64_t unknown
    cdef readonly uint64_t wrong_address
    cdef readonly uint64_t hellos
    cdef readonly uint64_t cookies_sent
    cdef readonly uint64_t cookies_refused
    cdef readonly uint64_t versions_refused
    cdef readonly uint64_t unanswered

    def __init__(self, object secret, int64_t now):
        if secret is not None and len(secret) != 16:
            raise ValueError(f"the secret of cookies has 16 bytes, not {len(secret)}")
        self._secret = secret
        self._start_ns = self._at = now
        self._credit = BURST * SECOND

    def sift(self, list strays, dict routes, dict attempts, int64_t now, list answers):
        """Sort ``strays``: return the HELLOs to be judged, and the replies to our own attempts."""
        cdef list good = [], replies = []
        cdef tuple entry
        cdef bytes data
        cdef object address
        cdef const uint8_t* p
        cdef Py_ssize_t size
        cdef int kind
        cdef uint32_t second = <uint32_t>(max(<int64_t>0, now - self._start_ns) // SECOND + 1)
        self._refill(now)
        for entry in strays:
            data = <bytes>entry[0]
            address = entry[1]
            size = PyBytes_GET_SIZE(data)
            if size < 9:
                self.malformed += 1
                continue
            p = <const uint8_t*>PyBytes_AS_STRING(data)
            kind = p[0] & 15
            if kind == HELLO:
                if self._secret is None:
                    self.unknown += 1
                elif self._hello(p, size, address, second, answers):
                    good.append(entry)
            elif kind == COOKIE or kind == ACCEPT or kind == REJECT:
                if attempts and get64(p + 1) in attempts:
                    replies.append(entry)
                else:
                    self.unknown += 1
            elif kind == DATA and p[0] >> 4 == VERSION:
                if get32(p + 1) in routes:
                    self.wrong_address += 1
                else:
                    self.unknown += 1
            else:
                self.malformed += 1
        return good, replies

    cdef void _refill(self, int64_t now) noexcept:
        cdef int64_t elapsed = max(<int64_t>0, min(now - self._at, <int64_t>SECOND))
        self._at = now
        self._credit = min(BURST * SECOND, self._credit + elapsed * ANSWERS_PER_S)

    cdef bint _afford(self) noexcept:
        if self._credit < SECOND:
            self.unanswered += 1
            return False
        self._credit -= SECOND
        return True

    cdef bint _hello(
        self, const uint8_t* p, Py_ssize_t size, object address, uint32_t second, list answers
    ) except -1:
        """Say whether the cookie is good; answer those without, as far as may be."""
        cdef uint8_t mac[MAC_BYTES]
        cdef uint8_t reply[9 + COOKIE_BYTES]
        cdef Py_ssize_t name
        cdef uint32_t stamp
        cdef uint8_t different = 0
        cdef int i
        self.hellos += 1
        if size < HELLO_BYTES_MIN:
            self.malformed += 1
            return False
        if p[0] >> 4 != VERSION:
            if self._afford():
                self.versions_refused += 1
                answers.append((handshake.build_reject(get64(p + 1), REJECT_VERSION), address))
            return False
        name = p[NAME_AT]
        if name == 0 or name > NAME_BYTES_MAX or size < NAME_AT + 1 + name + NOISE_BYTES:
            self.malformed += 1
            return False
        stamp = get32(p + COOKIE_AT)
        if stamp != 0 and second - stamp <= <uint32_t>LIFETIME_S:
            self._mac(p, name, address, stamp, mac)
            for i in range(MAC_BYTES):
                different |= mac[i] ^ p[COOKIE_AT + 4 + i]
            if different == 0:
                return True
        for i in range(COOKIE_BYTES):
            if p[COOKIE_AT + i] != 0:
                self.cookies_refused += 1
                break
        if self._afford():
            self.cookies_sent += 1
            reply[0] = <uint8_t>((VERSION << 4) | COOKIE)
            memcpy(reply + 1, p + 1, 8)
            put32(reply + 9, second)
            self._mac(p, name, address, second, reply + 13)
            answers.append((PyBytes_FromStringAndSize(<char*>reply, 9 + COOKIE_BYTES), address))
        return False

    cdef int _mac(
        self, const uint8_t* p, Py_ssize_t name, object address, uint32_t stamp, uint8_t* out
    ) except -1:
        cdef uint8_t data[10 + HOST_BYTES_MAX + COOKIE_AT + 65]
        cdef Py_ssize_t host_bytes, at
        cdef const char* host = PyUnicode_AsUTF8AndSize(address[0], &host_bytes)
        host_bytes = min(host_bytes, HOST_BYTES_MAX)
        put32(data, stamp)
        put32(data + 4, <uint32_t>address[1])
        data[8] = <uint8_t>host_bytes
        data[9] = 0
        memcpy(data + 10, host, host_bytes)
        at = 10 + host_bytes
        memcpy(data + at, p, COOKIE_AT)
        memcpy(data + at + COOKIE_AT, p + NAME_AT, 1 + name)
        siphash(
            <const uint8_t*>PyBytes_AS_STRING(self._secret), data, at + COOKIE_AT + 1 + name, out
        )
        return 0
