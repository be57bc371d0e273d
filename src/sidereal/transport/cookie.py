"""Stateless cookies: a peer shows that it receives at its address before anything is kept of it.

A cookie is ``stamp u32 (seconds) · keyed BLAKE2s of stamp, address and the
HELLO's own fields (16)``. It holds for its address and its HELLO, until it expires.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from sidereal.transport.events import Address
from sidereal.transport.settings import SECOND

COOKIE_BYTES: Final = 20
NO_COOKIE: Final = bytes(COOKIE_BYTES)
COOKIE_LIFETIME_S: Final = 10


class CookieJar:
    """Makes and checks cookies with one secret; keeps nothing else."""

    __slots__ = ("_secret", "_start_ns")

    def __init__(self, rng: Callable[[int], bytes], now: int) -> None:
        self._secret = rng(32)
        self._start_ns = now

    def _mac(self, stamp: bytes, address: Address, bound: bytes) -> bytes:
        who = repr(address).encode()
        data = stamp + len(who).to_bytes(2, "little") + who + bound
        return hashlib.blake2s(data, key=self._secret, digest_size=16).digest()

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
        age_s = self._second(now) - int.from_bytes(stamp, "little")
        if not 0 <= age_s <= COOKIE_LIFETIME_S:
            return False
        return hmac.compare_digest(cookie[4:], self._mac(stamp, address, bound))
