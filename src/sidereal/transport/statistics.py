"""What a link tells of itself: counters, and rates from how they grow."""

from collections.abc import Sequence
from typing import Any

from sidereal.transport.events import ChannelStats, LinkStats
from sidereal.transport.intake import Intake
from sidereal.transport.outbox import Outbox
from sidereal.transport.reliable import ReceiveStream
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


def of_channels(
    outbox: Outbox, receive: Sequence[ReceiveStream[Any]], rates: Rates
) -> list[ChannelStats]:
    """Return the snapshot of each reliable channel."""
    per_s = rates.per_s[2:]
    return [
        ChannelStats(
            messages_sent=send.messages,
            messages_received=receive[at].messages,
            bytes_sent=send.next,
            bytes_received=receive[at].next,
            retransmitted_bytes=send.retransmitted,
            send_queue_bytes=send.queued_bytes,
            blocked_by_peer=send.limit <= send.next < send.end,
            early_bytes=receive[at].waiting_bytes,
            unread_bytes=receive[at].unread,
            sent_bytes_per_s=per_s[2 * at],
            received_bytes_per_s=per_s[2 * at + 1],
        )
        for at, send in enumerate(outbox.streams)
    ]


def of_link(
    outbox: Outbox, receive: Sequence[ReceiveStream[Any]], intake: Intake, rates: Rates
) -> LinkStats:
    """Return a link's snapshot."""
    recovery = outbox.recovery
    return LinkStats(
        sent_bytes_per_s=rates.per_s[0],
        received_bytes_per_s=rates.per_s[1],
        rtt_ns=recovery.smoothed_ns if recovery.sampled else 0,
        rtt_variation_ns=recovery.variation_ns if recovery.sampled else 0,
        window_bytes=outbox.congestion.window,
        bytes_in_flight=outbox.flight.bytes_in_flight,
        bytes_sent=outbox.bytes_sent,
        bytes_received=intake.bytes,
        packets_sent=outbox.packets_sent,
        packets_received=intake.packets,
        packets_lost=outbox.packets_lost,
        packets_lost_wrongly=outbox.packets_lost_wrongly,
        datagrams_sent=outbox.datagrams_sent,
        datagrams_received=intake.datagrams,
        datagrams_lost=intake.datagrams_lost,
        datagrams_overtaken=intake.datagrams_overtaken,
        messages_sent=sum(stream.messages for stream in outbox.streams),
        messages_received=sum(stream.messages for stream in receive),
        retransmitted_bytes=sum(stream.retransmitted for stream in outbox.streams),
        send_queue_bytes=outbox.queued_bytes,
        datagram_queue_bytes=outbox.datagrams.bytes,
        forged=intake.forged,
        replayed=intake.replayed,
        unheard=intake.unheard,
    )
