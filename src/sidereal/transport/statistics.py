"""What a link tells of itself: counters, and rates from how they grow."""

from typing import Any

from sidereal.transport.events import ChannelStats
from sidereal.transport.reliable import ReceiveStream, SendStream
from sidereal.transport.settings import SECOND


class Rates:
    """How fast counters grow, over the last whole second or more."""

    __slots__ = ("_at", "_before", "per_s")

    def __init__(self, now: int, count: int) -> None:
        self._at = now
        self._before = (0,) * count
        self.per_s = (0.0,) * count

    def due(self, now: int) -> bool:
        """Whether a second has passed since the last `update`."""
        return now - self._at >= SECOND

    def update(self, now: int, counters: tuple[int, ...]) -> None:
        """Take the counters as they are now."""
        elapsed_s = max(1, now - self._at) / SECOND
        self.per_s = tuple(
            (count - before) / elapsed_s
            for count, before in zip(counters, self._before, strict=True)
        )
        self._at, self._before = now, counters


def of_channel(
    send: SendStream, receive: ReceiveStream[Any], sent_per_s: float, received_per_s: float
) -> ChannelStats:
    """Return one channel's snapshot."""
    return ChannelStats(
        messages_sent=send.messages,
        messages_received=receive.messages,
        bytes_sent=send.next,
        bytes_received=receive.next,
        retransmitted_bytes=send.retransmitted,
        send_queue_bytes=send.queued_bytes,
        blocked_by_peer=send.limit <= send.next < send.end,
        early_bytes=receive.waiting_bytes,
        unread_bytes=receive.unread,
        sent_bytes_per_s=sent_per_s,
        received_bytes_per_s=received_per_s,
    )
