"""What arrives of one peer: opened as far as there is room for it, and counted.

The counterpart of the `Outbox`. The streams that frames belong to are the connection's.
"""

from typing import Any

from sidereal.limits import DATAGRAM_COST_BYTES
from sidereal.transport.settings import DATAGRAM_COST_MAX


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

    def open(self, packets: list[bytes], now: int, inbox: Any) -> bool:
        """Open packets into ``inbox``; say whether any was authentic."""
        if DATAGRAM_COST_MAX * sum(map(len, packets)) <= self._unread_max - self.unread:
            self.opener.open_batch(packets, now, inbox)
        else:
            self._open_some(packets, now, inbox)
        if inbox.forged or inbox.replayed:
            self.forged += inbox.forged
            self.replayed += inbox.replayed
        if not inbox.opened:
            return False
        self.packets += inbox.opened
        self.bytes += inbox.opened_bytes
        return True

    def _open_some(self, packets: list[bytes], now: int, inbox: Any) -> None:
        """Open as many as surely fit, see what they were, and so on."""
        room = self._unread_max - self.unread
        at = datagrams = sequenced = 0
        while at < len(packets) and inbox.error is None:
            left, start = room, at
            while at < len(packets):
                left -= DATAGRAM_COST_MAX * len(packets[at])
                if left < 0:
                    break
                at += 1
            if at == start:
                self.unheard += len(packets) - at
                return
            self.opener.open_batch(packets[start:at], now, inbox)
            room -= cost(inbox.datagrams[datagrams:])
            room -= cost([payload for _, payload in inbox.sequenced[sequenced:]])
            datagrams, sequenced = len(inbox.datagrams), len(inbox.sequenced)
