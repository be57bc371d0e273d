"""How much of a batch may be opened, to be read: the same as ``_intake.pyx``."""

from typing import Any

from sidereal.limits import DATAGRAM_COST_BYTES
from sidereal.transport.settings import DATAGRAM_COST_MAX
from sidereal.transport.transmits import apart


def open_some(opener: Any, packets: list[Any], now: int, inbox: Any, room: int) -> int:
    """Open packets for as long as the next one's datagrams surely fit into ``room`` bytes.

    A datagram counts with its bytes and `limits.DATAGRAM_COST_BYTES`. Stops at a frame that is
    wrong. Runs are cut. Returns how many packets there was no room for.
    """
    runs: list[Any] = [(one, None) if isinstance(one, bytes) else one for one in packets]
    single = [data for data, _ in apart(runs)]
    at = taken = sequenced = 0
    while at < len(single) and inbox.error is None:
        left, start = room, at
        while at < len(single) and left >= DATAGRAM_COST_MAX * len(single[at]):
            left -= DATAGRAM_COST_MAX * len(single[at])
            at += 1
        if at == start:
            break
        opener.open_batch(single[start:at], now, inbox)
        fresh = [*inbox.datagrams[taken:], *(p for _, p in inbox.sequenced[sequenced:])]
        room -= sum(map(len, fresh)) + DATAGRAM_COST_BYTES * len(fresh)
        taken, sequenced = len(inbox.datagrams), len(inbox.sequenced)
    return len(single) - at
