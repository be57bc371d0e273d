"""One connection: its life, what arrives on it, and the clock's part.

The handshake is elsewhere (`initiator`, `acceptor`), and so is sending
(`outbox`). A connection moves packets from `open` on, when both secrets are known.
"""

from collections.abc import Callable
from typing import Any

from sidereal.errors import ProtocolError
from sidereal.ids import LinkId
from sidereal.limits import DATAGRAM_COST_BYTES
from sidereal.transport.acks import AckSchedule
from sidereal.transport.bulk import ReceiveBulk
from sidereal.transport.codec import Codec
from sidereal.transport.events import (
    Address,
    BulkReceived,
    ChannelStats,
    Connected,
    DatagramNotice,
    DatagramsReceived,
    Event,
    LinkClosed,
    LinkStats,
    MessageReceived,
)
from sidereal.transport.handshake import Parameters
from sidereal.transport.initiator import Initiator
from sidereal.transport.keys import KeyChain
from sidereal.transport.layout import (
    BULK,
    CHANNELS,
    CLOSE,
    CONTROL,
    FRAME_CLOSE,
    REASON_BYTES_MAX,
)
from sidereal.transport.lifecycle import State, Trigger, after
from sidereal.transport.outbox import Outbox
from sidereal.transport.reliable import ReceiveMessages, ReceiveStream, joined
from sidereal.transport.settings import SECOND, Cipher, TransportSettings
from sidereal.transport.statistics import Rates, of_channel
from sidereal.transport.tracking import Out

DRAIN_NS = 3 * SECOND
"""How long the side that heard a farewell still acknowledges repeats of it."""


def cost(payloads: list[bytes]) -> int:
    """Return what datagrams count for while nobody has read them."""
    return sum(map(len, payloads)) + DATAGRAM_COST_BYTES * len(payloads)


class Connection:
    """One connection, either role; its events go into the endpoint's list."""

    __slots__ = (
        "_acks",
        "_bulk",
        "_bytes_received",
        "_close_reason",
        "_codec",
        "_datagrams_lost",
        "_datagrams_overtaken",
        "_datagrams_received",
        "_events",
        "_forged",
        "_idle_at",
        "_messages",
        "_opener",
        "_over_at",
        "_packets_received",
        "_rates",
        "_receive",
        "_replayed",
        "_settings",
        "_started_ns",
        "_unheard",
        "_unread_datagrams",
        "address",
        "attempt",
        "due_at",
        "initiator",
        "key_name",
        "link",
        "local_id",
        "outbox",
        "reply",
        "scheduled",
        "state",
    )

    def __init__(
        self,
        *,
        link: LinkId,
        address: Address,
        key_name: str,
        local_id: int,
        settings: TransportSettings,
        codec: Codec,
        events: list[Event],
        rng: Callable[[int], bytes],
        now: int,
        initiator: Initiator | None = None,
        reply: bytes = b"",
    ) -> None:
        self.link = link
        self.address = address
        self.key_name = key_name
        self.local_id = local_id
        self.state = State.HELLO if initiator is not None else State.HALF_OPEN
        self.initiator = initiator
        self.reply = reply
        """The server's ACCEPT, kept until the client has shown that it got it."""
        self.attempt: tuple[Address, int] | None = None
        """The endpoint's: which HELLO this half-open connection answers."""
        self.scheduled: int | None = None
        """The endpoint's: the earliest entry for this connection in its heap of timers."""
        self.due_at = now
        """The endpoint's: its `deadline` as it was when that was last asked."""
        self.outbox = Outbox(settings, codec, rng)
        self._settings = settings
        self._codec = codec
        self._events = events
        self._opener: Any = None
        self._acks: AckSchedule | None = None
        self._messages = ReceiveMessages(CONTROL, settings.receive_window_bytes)
        self._bulk = ReceiveBulk(BULK, settings.receive_window_bytes)
        self._receive: list[ReceiveStream[Any]] = [self._messages, self._bulk]
        self._started_ns = now
        self._close_reason = ""
        self._idle_at: int | None = None
        self._over_at: int | None = now + settings.handshake_timeout_ns
        self._bytes_received = self._packets_received = 0
        self._datagrams_received = self._datagrams_lost = self._datagrams_overtaken = 0
        self._unread_datagrams = self._unheard = 0
        self._rates = Rates(now, 2 + 2 * CHANNELS)
        self._forged = self._replayed = 0

    # -- opening -------------------------------------------------------------------------

    def open(
        self, send_secret: bytes, receive_secret: bytes, cipher: Cipher, peer: Parameters, now: int
    ) -> None:
        """Both secrets are known: packets can flow."""
        self._opener = self._codec.opener(KeyChain(receive_secret, cipher))
        self._acks = AckSchedule(self._opener, self._settings)
        self.outbox.open(
            send_secret,
            cipher,
            peer.connection_id,
            peer.datagram_bytes,
            peer.receive_window_bytes,
            peer.ack_delay_us * 1000,
            self._acks,
            self._receive,
            now,
        )
        if self.initiator is not None:
            self.state = after(self.state, Trigger.ACCEPTED)
            if self.initiator.rtt_ns:
                self.outbox.recovery.sample(self.initiator.rtt_ns, 0)
            self.initiator = None
            self.outbox.ping()  # shows the server that we can decrypt
            self._opened(incoming=False, now=now)

    def _opened(self, *, incoming: bool, now: int) -> None:
        self._over_at = None
        self._idle_at = now + self._settings.idle_timeout_ns
        self._events.append(Connected(self.link, self.key_name, self.address, incoming))

    @property
    def heard_ns(self) -> int | None:
        """When a packet of the peer's last came; None before the connection is open."""
        idle_at = self._idle_at
        return None if idle_at is None else idle_at - self._settings.idle_timeout_ns

    @property
    def opened(self) -> bool:
        """Whether data packets flow, if only to say farewell."""
        return self._opener is not None

    @property
    def usable(self) -> bool:
        """Whether the user may send on it."""
        return self.state is State.OPEN or self.state is State.HELLO

    # -- arriving ------------------------------------------------------------------------

    def receive(self, packets: list[bytes], inbox: Any, now: int) -> None:
        """Take packets that carry this connection's id and came from its address."""
        inbox.clear()
        if self._opener is None or self._acks is None:
            return
        if self._unread_datagrams >= self._settings.datagrams_unread_bytes:
            self._unheard += len(packets)
            return
        self._opener.open_batch(packets, now, inbox)
        self._forged += inbox.forged
        self._replayed += inbox.replayed
        if not inbox.opened:
            return
        if self._rates.due(now):
            self._measure(now)
        self._packets_received += inbox.opened
        self._bytes_received += inbox.opened_bytes
        if self.state is State.HALF_OPEN:
            self.state = after(self.state, Trigger.CONFIRMED)
            self._opened(incoming=True, now=now)
        self._idle_at = now + self._settings.idle_timeout_ns
        if inbox.eliciting:
            self._acks.received(inbox.eliciting, inbox.gap, now)
        try:
            if inbox.acks:
                self._notice(*self.outbox.acknowledge(inbox.acks, now))
            for channel, limit in inbox.credits:
                stream = self.outbox.streams[channel]
                stream.limit = max(stream.limit, limit)
            if self.state is State.OPEN:
                self._take(inbox)
            if inbox.error is not None:
                raise ProtocolError(inbox.error)
        except ProtocolError as error:
            self._fail(str(error), now)
        if inbox.close is not None:
            self._peer_closed(inbox.close, now)
        if self.state is not State.OPEN:
            self._flushed_yet(now)

    def _take(self, inbox: Any) -> None:
        """Hand on what the peer sent."""
        events = self._events
        for channel, offset, data in joined(inbox.segments):
            if channel == CONTROL:
                for message in self._messages.receive(offset, data):
                    events.append(MessageReceived(self.link, message))
            else:
                for part, start, size in self._bulk.receive(offset, data):
                    events.append(BulkReceived(self.link, part, start, size))
            if self._receive[channel].credit_due:
                self.outbox.credit_due[channel] = True
        if inbox.datagrams:
            self._datagrams_received += len(inbox.datagrams)
            self._unread_datagrams += cost(inbox.datagrams)
            events.append(DatagramsReceived(self.link, inbox.datagrams))
        if inbox.sequenced or inbox.overtaken:
            self._datagrams_received += len(inbox.sequenced)
            self._datagrams_overtaken += inbox.overtaken
            sequences: dict[int, list[bytes]] = {}
            for sequence, payload in inbox.sequenced:
                sequences.setdefault(sequence, []).append(payload)
            for sequence, payloads in sequences.items():
                self._unread_datagrams += cost(payloads)
                events.append(DatagramsReceived(self.link, payloads, sequence))

    def _notice(self, acked: list[int], lost: list[int]) -> None:
        dropped = self.outbox.dropped
        if dropped:
            lost = lost + dropped
            self.outbox.dropped = []
        if (acked or lost) and self.state is State.OPEN:
            self._datagrams_lost += len(lost)
            self._events.append(DatagramNotice(self.link, acked, lost))

    def read(self) -> bool:
        """The user drained the events; return whether the peer is to hear of more room."""
        due = False
        self._unread_datagrams = 0
        if self.state is not State.OPEN:
            return due
        for stream in self._receive:
            if stream.unread:
                stream.unread = 0
                if stream.credit_due:
                    self.outbox.credit_due[stream.channel] = due = True
        return due

    # -- ending --------------------------------------------------------------------------

    def close(self, reason: str, now: int) -> None:
        """End it from this side: what is queued is delivered, then the peer hears the reason."""
        self.state = after(self.state, Trigger.CLOSE_CALLED)
        self._end(reason, by_peer=False)
        self._over_at = now + self._settings.linger_ns
        self._close_reason = reason
        self._flushed_yet(now)

    def refused(self, reason: str) -> None:
        """The server said no."""
        self.state = after(self.state, Trigger.REJECTED)
        self._end(reason, by_peer=True)

    def _fail(self, reason: str, now: int) -> None:
        """The peer broke the protocol."""
        if self.state is State.OPEN:
            self._end(f"the peer broke the protocol: {reason}", by_peer=False)
        self.state = after(self.state, Trigger.PEER_WRONG)
        if self.state is State.CLOSING:
            self._farewell(1, reason, now)

    def _peer_closed(self, close: tuple[int, bytes], now: int) -> None:
        reason = close[1].decode(errors="replace")
        if self.state is State.OPEN:
            said = reason if close[0] == 0 else f"the peer says we broke the protocol: {reason}"
            self._end(said, by_peer=True)
        if self.state is not State.DRAINING:
            self._over_at = now + DRAIN_NS
        self.state = after(self.state, Trigger.PEER_CLOSED)

    def _end(self, reason: str, *, by_peer: bool) -> None:
        """Tell the user: every datagram still out is lost, then the link is gone."""
        outbox = self.outbox
        lost = [*outbox.flight.tokens_out(), *outbox.dropped, *outbox.datagrams.clear()]
        outbox.dropped = []
        lost.sort()
        if lost:
            self._datagrams_lost += len(lost)
            self._events.append(DatagramNotice(self.link, [], lost))
        self._events.append(LinkClosed(self.link, reason, by_peer))

    def _farewell(self, code: int, reason: str, now: int) -> None:
        text = reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore").encode()
        self.outbox.say_farewell(CLOSE.pack(FRAME_CLOSE, code, len(text)) + text)
        self._over_at = now + self._settings.linger_ns

    def _flushed_yet(self, now: int) -> None:
        """Say farewell once all was delivered; be gone once that was acknowledged."""
        if self.state is State.FLUSHING and self.outbox.flushed:
            self.state = after(self.state, Trigger.FLUSHED)
            self._farewell(0, self._close_reason, now)
        elif self.state is State.CLOSING and self.outbox.farewell_acked:
            self.state = after(self.state, Trigger.FAREWELL_ACKED)

    # -- the clock -----------------------------------------------------------------------

    @property
    def deadline(self) -> int | None:
        """When `timeout` is to be called, absolute nanoseconds."""
        if self.state is State.CLOSED:
            return None
        at = self._over_at
        if self._idle_at is not None and (at is None or self._idle_at < at):
            at = self._idle_at
        other: int | None = None
        if self.initiator is not None:
            other = self.initiator.hello_at
        elif self._acks is not None and self.state is not State.HALF_OPEN:
            other = self._acks.at
            if other is not None and (at is None or other < at):
                at = other
            other = None if self.state is State.DRAINING else self.outbox.timeout_at
        if other is not None and (at is None or other < at):
            at = other
        return at

    def timeout(self, now: int) -> None:
        """Let the clock do its part."""
        if self._over_at is not None and self._over_at <= now:
            self._over(now)
        if self.state is State.CLOSED:
            return
        if self._idle_at is not None and self._idle_at <= now:
            if self.state is State.OPEN:
                silent_s = self._settings.idle_timeout_ns / SECOND
                self._end(f"nothing heard for {silent_s:g} s", by_peer=False)
            self.state = after(self.state, Trigger.TIMED_OUT)
            return
        if self._acks is not None and self.state is not State.HALF_OPEN:
            self._acks.expire(now)
            if self.state is not State.DRAINING:
                self._notice([], self.outbox.timeout(now))

    def _over(self, now: int) -> None:
        """Handshake, lingering or draining took its time."""
        if self.state is State.FLUSHING:
            self.state = after(self.state, Trigger.FLUSHED)
            self._farewell(0, self._close_reason, now)
            return
        if self.initiator is not None:
            self._end(self.initiator.reason(), by_peer=False)
        self.state = after(self.state, Trigger.TIMED_OUT)

    def transmit(self, now: int, out: Out) -> None:
        """Append what can be sent now."""
        if self.initiator is not None:
            if self.state is State.HELLO and self.initiator.hello_at <= now:
                out.append((self.initiator.hello(now), self.address))
        elif self._acks is None or self.state in (State.HALF_OPEN, State.CLOSED):
            return
        elif self.state is State.DRAINING:
            if self._acks.due:
                self.outbox.transmit_ack(now, out, self.address)
        else:
            self.outbox.transmit(now, out, self.address)
            if self.outbox.dropped:
                self._notice([], [])

    def _measure(self, now: int) -> None:
        counters = [self.outbox.bytes_sent, self._bytes_received]
        for send, receive in zip(self.outbox.streams, self._receive, strict=True):
            counters += [send.next, receive.next]
        self._rates.update(now, tuple(counters))

    def channel_stats(self, now: int) -> list[ChannelStats]:
        """Return the counters of each reliable channel."""
        if self._rates.due(now):
            self._measure(now)
        rates = self._rates.per_s[2:]
        return [
            of_channel(send, receive, rates[2 * at], rates[2 * at + 1])
            for at, (send, receive) in enumerate(
                zip(self.outbox.streams, self._receive, strict=True)
            )
        ]

    def stats(self, now: int) -> LinkStats:
        """Return the counters."""
        outbox = self.outbox
        if self._rates.due(now):
            self._measure(now)
        return LinkStats(
            sent_bytes_per_s=self._rates.per_s[0],
            received_bytes_per_s=self._rates.per_s[1],
            rtt_ns=outbox.recovery.smoothed_ns if outbox.recovery.sampled else 0,
            rtt_variation_ns=outbox.recovery.variation_ns if outbox.recovery.sampled else 0,
            window_bytes=outbox.congestion.window,
            bytes_in_flight=outbox.flight.bytes_in_flight,
            bytes_sent=outbox.bytes_sent,
            bytes_received=self._bytes_received,
            packets_sent=outbox.packets_sent,
            packets_received=self._packets_received,
            packets_lost=outbox.packets_lost,
            packets_lost_wrongly=outbox.packets_lost_wrongly,
            datagrams_sent=outbox.datagrams_sent,
            datagrams_received=self._datagrams_received,
            datagrams_lost=self._datagrams_lost,
            datagrams_overtaken=self._datagrams_overtaken,
            messages_sent=sum(stream.messages for stream in outbox.streams),
            messages_received=sum(stream.messages for stream in self._receive),
            retransmitted_bytes=sum(stream.retransmitted for stream in outbox.streams),
            send_queue_bytes=outbox.queued_bytes,
            datagram_queue_bytes=outbox.datagrams.bytes,
            forged=self._forged,
            replayed=self._replayed,
            unheard=self._unheard,
        )
