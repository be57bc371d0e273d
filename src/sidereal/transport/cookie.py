"""Stateless cookies: a peer shows that it receives at its address before anything is kept of it.

A cookie is ``stamp u32 (seconds) · SipHash-2-4-128 of stamp, address and the HELLO's
own fields (16)``. It holds for its address and its HELLO, until it expires. This is the
readable form; ``_sieve.pyx`` does the same for a flood of them.
"""

import hmac
from typing import Final

from sidereal.transport.events import Address
from sidereal.transport.settings import SECOND

COOKIE_BYTES: Final = 20
NO_COOKIE: Final = bytes(COOKIE_BYTES)
COOKIE_LIFETIME_S: Final = 10
SECRET_BYTES: Final = 16
HOST_BYTES_MAX: Final = 255
_ALL: Final = 0xFFFFFFFFFFFFFFFF


class CookieJar:
    """Makes and checks cookies with one secret; keeps nothing else."""

    __slots__ = ("_secret", "_start_ns")

    def __init__(self, secret: bytes, now: int) -> None:
        self._secret = secret
        self._start_ns = now

    def _mac(self, stamp: bytes, address: Address, bound: bytes) -> bytes:
        host = address[0].encode()[:HOST_BYTES_MAX]
        who = address[1].to_bytes(4, "little") + len(host).to_bytes(2, "little") + host
        return siphash128(self._secret, stamp + who + bound)

    def _second(self, now: int) -> int:
        # From 1, so that no valid cookie is all zeros by its stamp alone.
        return (max(0, now - self._start_ns) // SECOND + 1) & 0xFFFFFFFF

    def make(self, address: Address, bound: bytes, now: int) -> bytes:
        """Return the cookie for ``address`` and the fields ``bound``, good from ``now`` on."""
        stamp = self._second(now).to_bytes(4, "little")
        return stamp + self._mac(stamp, address, bound)

    def check(self, cookie: bytes, address: Address, bound: bytes, now: int) -> bool:
        """Say whether ``cookie`` was made here, for these, and has not expired."""
        stamp = cookie[:4]
        age_s = (self._second(now) - int.from_bytes(stamp, "little")) & 0xFFFFFFFF
        if not any(stamp) or age_s > COOKIE_LIFETIME_S:
            return False
        return hmac.compare_digest(cookie[4:], self._mac(stamp, address, bound))


def siphash128(key: bytes, data: bytes) -> bytes:
    """SipHash-2-4 with 128 bits of output (Aumasson and Bernstein 2012) under a key of 16 bytes.

    A pseudo-random function made for short inputs: who has not the key cannot tell a
    cookie from chance, nor make one.
    """
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D ^ 0xEE,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    ]
    whole = len(data) & ~7
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(0, whole, 8)]
    words.append(int.from_bytes(data[whole:], "little") | (len(data) & 255) << 56)
    for word in words:
        v[3] ^= word
        _rounds(v, 2)
        v[0] ^= word
    v[2] ^= 0xEE
    _rounds(v, 4)
    low = v[0] ^ v[1] ^ v[2] ^ v[3]
    v[1] ^= 0xDD
    _rounds(v, 4)
    high = v[0] ^ v[1] ^ v[2] ^ v[3]
    return low.to_bytes(8, "little") + high.to_bytes(8, "little")


def _rounds(v: list[int], count: int) -> None:
    for _ in range(count):
        v[0] = (v[0] + v[1]) & _ALL
        v[1] = _left(v[1], 13) ^ v[0]
        v[0] = _left(v[0], 32)
        v[2] = (v[2] + v[3]) & _ALL
        v[3] = _left(v[3], 16) ^ v[2]
        v[0] = (v[0] + v[3]) & _ALL
        v[3] = _left(v[3], 21) ^ v[0]
        v[2] = (v[2] + v[1]) & _ALL
        v[1] = _left(v[1], 17) ^ v[2]
        v[2] = _left(v[2], 32)


def _left(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & _ALL
