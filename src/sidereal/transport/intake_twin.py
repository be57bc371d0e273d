"""How much of a batch may be opened, to be read: the same as ``_intake.pyx``."""

from typing import Any

from sidereal.limits import DATAGRAM_COST_BYTES
from sidereal.transport.settings import DATAGRAM_COST_MAX


def open_some(opener: Any, packets: list[bytes], now: int, inbox: Any, room: int) -> int:
    """Open packets for as long as the next one's datagrams surely fit into ``room`` bytes.

    A datagram counts with its bytes and `limits.DATAGRAM_COST_BYTES`. Stops at a frame that is
    wrong. Returns how many packets were looked at; the others were not opened.
    """
    at = datagrams = sequenced = 0
    while at < len(packets) and inbox.error is None:
        left, start = room, at
        while at < len(packets) and left >= DATAGRAM_COST_MAX * len(packets[at]):
            left -= DATAGRAM_COST_MAX * len(packets[at])
            at += 1
        if at == start:
            break
        opener.open_batch(packets[start:at], now, inbox)
        fresh = [*inbox.datagrams[datagrams:], *(p for _, p in inbox.sequenced[sequenced:])]
        room -= sum(map(len, fresh)) + DATAGRAM_COST_BYTES * len(fresh)
        datagrams, sequenced = len(inbox.datagrams), len(inbox.sequenced)
    return at
