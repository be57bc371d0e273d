"""What arrives of one peer: opened as far as there is room for it, and counted.

The counterpart of the `Outbox`. The streams that frames belong to are the connection's.
"""

from typing import Any

from sidereal.limits import DATAGRAM_COST_BYTES
from sidereal.transport._intake import open_some


def cost(payloads: list[bytes]) -> int:
    """Return what datagrams count for while nobody has read them."""
    return sum(map(len, payloads)) + DATAGRAM_COST_BYTES * len(payloads)


class Intake:
    """Counters of arriving packets, and the cap of datagrams that nobody has read.

    Parameters
    ----------
    unread_max
        Bytes of unread datagrams, by `cost`: a packet that could exceed it is not opened, and
        not acknowledged, so that its sender hears the truth.
    """

    __slots__ = (
        "_unread_max",
        "bytes",
        "datagrams",
        "datagrams_lost",
        "datagrams_overtaken",
        "forged",
        "opener",
        "packets",
        "replayed",
        "unheard",
        "unread",
    )

    def __init__(self, unread_max: int) -> None:
        self._unread_max = unread_max
        self.opener: Any = None
        self.unread = 0
        """What the user has not read yet."""
        self.bytes = self.packets = self.forged = self.replayed = 0
        self.unheard = 0
        """Packets that were not opened."""
        self.datagrams = self.datagrams_overtaken = 0
        self.datagrams_lost = 0
        """Of ours, not of the peer's: it is here that notices come in."""

    def open(self, packets: list[Any], now: int, inbox: Any) -> bool:
        """Open packets into ``inbox``; say whether any was authentic."""
        unheard = open_some(self.opener, packets, now, inbox, self._unread_max - self.unread)
        if inbox.error is None:
            self.unheard += unheard
        if inbox.forged or inbox.replayed:
            self.forged += inbox.forged
            self.replayed += inbox.replayed
        if not inbox.opened:
            return False
        self.packets += inbox.opened
        self.bytes += inbox.opened_bytes
        return True
