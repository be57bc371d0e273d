"""How many handshakes strangers may ask for: a good cookie shows an address, and no key.

To judge a HELLO costs key exchanges, many times what its sender pays. So there is a budget
in all, and one for each host, so that one does not use up what is there for the others. Hosts
share a fixed number of buckets, by a keyed hash: nothing that is kept grows with them (after
stochastic fair queueing, McKenney 1990).
"""

from hashlib import blake2s
from ipaddress import IPv6Address
from typing import Final

from sidereal.limits import (
    HANDSHAKES_BURST,
    HANDSHAKES_OF_HOST_BURST,
    HANDSHAKES_OF_HOST_PER_S_MAX,
    HANDSHAKES_PER_S_MAX,
)
from sidereal.transport.events import Address
from sidereal.transport.settings import SECOND

BUCKETS: Final = 256
NETWORK_BYTES: Final = 8
"""Of an IPv6 address: who has one has the 2^64 beside it."""


class HandshakeBudget:
    """Token buckets, each kept as the time at which it will be full again.

    Parameters
    ----------
    secret
        Whoever does not know it cannot choose hosts that share a bucket with a given one.
    now
        Absolute nanoseconds.
    """

    __slots__ = ("_at", "_clock", "_full", "_full_by_bucket", "_secret", "postponed")

    def __init__(self, secret: bytes, now: int) -> None:
        self._secret = secret
        self._at = now
        self._clock = 0
        """Advances with `now`, and stands still where that jumps back."""
        self._full = 0
        self._full_by_bucket = [0] * BUCKETS
        self.postponed = 0
        """HELLOs with a good cookie that were not judged: they come again."""

    def afford(self, address: Address, now: int) -> bool:
        """Say whether a HELLO from ``address`` is judged, and count it if so."""
        self._clock += max(0, min(now - self._at, SECOND))
        self._at = now
        clock, bucket = self._clock, self._bucket(address[0])
        full = max(clock, self._full)
        full_of_host = max(clock, self._full_by_bucket[bucket])
        each, each_of_host = SECOND // HANDSHAKES_PER_S_MAX, SECOND // HANDSHAKES_OF_HOST_PER_S_MAX
        if (
            full - clock > (HANDSHAKES_BURST - 1) * each
            or full_of_host - clock > (HANDSHAKES_OF_HOST_BURST - 1) * each_of_host
        ):
            self.postponed += 1
            return False
        self._full = full + each
        self._full_by_bucket[bucket] = full_of_host + each_of_host
        return True

    def _bucket(self, host: str) -> int:
        who = host.encode()
        if ":" in host:
            address = IPv6Address(host.partition("%")[0])
            who = address.packed if address.ipv4_mapped else address.packed[:NETWORK_BYTES]
        return blake2s(who, key=self._secret, digest_size=1).digest()[0]
