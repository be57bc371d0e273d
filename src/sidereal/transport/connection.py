"""One connection: its life, what arrives on it, and the clock's part.

The handshake is elsewhere (`initiator`, `acceptor`), and so is sending
(`outbox`). A connection moves packets from `open` on, when both secrets are known.
"""

from collections.abc import Callable
from typing import Any

from sidereal.errors import ProtocolError
from sidereal.ids import LinkId
from sidereal.transport.acks import AckSchedule
from sidereal.transport.bulk import ReceiveBulk, hand_on
from sidereal.transport.codec import Codec
from sidereal.transport.events import (
    Address,
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
from sidereal.transport.intake import Intake, cost
from sidereal.transport.keys import KeyChain
from sidereal.transport.layout import (
    BULK,
    CHANNELS,
    CLOSE,
    CONTROL,
    FRAME_CLOSE,
)
from sidereal.transport.lifecycle import State, Trigger, after
from sidereal.transport.outbox import Outbox
from sidereal.transport.reliable import ReceiveMessages, ReceiveStream
from sidereal.transport.settings import SECOND, Cipher, TransportSettings
from sidereal.transport.statistics import Rates, of_channels, of_link
from sidereal.transport.tracking import Out

DRAIN_NS = 3 * SECOND
"""How long the side that heard a farewell still acknowledges repeats of it."""


class Connection:
    """One connection, either role; its events go into the endpoint's list."""

    __slots__ = (
        "_acks",
        "_bulk",
        "_close_reason",
        "_codec",
        "_events",
        "_idle_at",
        "_messages",
        "_over_at",
        "_rates",
        "_receive",
        "_settings",
        "_started_ns",
        "address",
        "attempt",
        "due_at",
        "initiator",
        "intake",
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
        self._acks: AckSchedule | None = None
        self._messages = ReceiveMessages(CONTROL, settings.receive_window_bytes)
        self._bulk = ReceiveBulk(BULK, settings.receive_window_bytes)
        self._receive: list[ReceiveStream[Any]] = [self._messages, self._bulk]
        self._started_ns = now
        self._close_reason = ""
        self._idle_at: int | None = None
        self._over_at: int | None = now + settings.handshake_timeout_ns
        self.intake = Intake(settings.datagrams_unread_bytes)
        self._rates = Rates(now, 2 + 2 * CHANNELS)

    # -- opening -------------------------------------------------------------------------

    def open(
        self, send_secret: bytes, receive_secret: bytes, cipher: Cipher, peer: Parameters, now: int
    ) -> None:
        """Both secrets are known: packets can flow."""
        opener = self.intake.opener = self._codec.opener(KeyChain(receive_secret, cipher))
        self._acks = AckSchedule(opener, self._settings)
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
        return self._acks is not None

    @property
    def usable(self) -> bool:
        """Whether the user may send on it."""
        return self.state is State.OPEN or self.state is State.HELLO

    # -- arriving ------------------------------------------------------------------------

    def receive(self, packets: list[Any], inbox: Any, now: int) -> None:
        """Take packets that carry this connection's id and came from its address."""
        inbox.clear()
        inbox.cut_at(*self._bulk.edges)
        if self._acks is None or not self.intake.open(packets, now, inbox):
            return
        if self._rates.due(now):
            self._measure(now)
        if self.state is State.HALF_OPEN:
            self.state = after(self.state, Trigger.CONFIRMED)
            self._opened(incoming=True, now=now)
        self._idle_at = now + self._settings.idle_timeout_ns
        if inbox.eliciting:
            self._acks.received(inbox.eliciting, inbox.gap, now)
        try:
            if inbox.acks:
                acked, lost, possible = self.outbox.acknowledge(inbox.acks, now)
                self._notice(acked, lost)
                if not possible:
                    raise ProtocolError("an ack names a packet that was never sent")
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
        events, intake = self._events, self.intake
        for channel, offset, data in inbox.segments:
            if channel == CONTROL:
                for message in self._messages.receive(offset, data):
                    events.append(MessageReceived(self.link, message))
            else:
                hand_on(self.link, self._bulk.receive(offset, data), events)
            if self._receive[channel].credit_due:
                self.outbox.credit_due[channel] = True
        if inbox.datagrams:
            intake.datagrams += len(inbox.datagrams)
            intake.unread += cost(inbox.datagrams)
            events.append(DatagramsReceived(self.link, inbox.datagrams))
        if inbox.sequenced or inbox.overtaken:
            intake.datagrams += len(inbox.sequenced)
            intake.datagrams_overtaken += inbox.overtaken
            sequences: dict[int, list[bytes]] = {}
            for sequence, payload in inbox.sequenced:
                sequences.setdefault(sequence, []).append(payload)
            for sequence, payloads in sequences.items():
                intake.unread += cost(payloads)
                events.append(DatagramsReceived(self.link, payloads, sequence))

    def _notice(self, acked: list[int], lost: list[int]) -> None:
        dropped = self.outbox.dropped
        if dropped:
            lost = lost + dropped
            self.outbox.dropped = []
        if (acked or lost) and self.state is State.OPEN:
            self.intake.datagrams_lost += len(lost)
            self._events.append(DatagramNotice(self.link, acked, lost))

    def read(self) -> bool:
        """The user drained the events; return whether the peer is to hear of more room."""
        due = False
        self.intake.unread = 0
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
        before, self.state = self.state, after(self.state, Trigger.PEER_WRONG)
        # One farewell: who goes on with bad frames has no more time, and no more answers.
        if self.state is State.CLOSING and before is not State.CLOSING:
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
            self.intake.datagrams_lost += len(lost)
            self._events.append(DatagramNotice(self.link, [], lost))
        self._events.append(LinkClosed(self.link, reason, by_peer))

    def _farewell(self, code: int, reason: str, now: int) -> None:
        text = reason.encode()[: self.outbox.reason_max].decode(errors="ignore").encode()
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
        counters = [self.outbox.bytes_sent, self.intake.bytes]
        for send, receive in zip(self.outbox.streams, self._receive, strict=True):
            counters += [send.next, receive.next]
        self._rates.update(now, tuple(counters))

    def channel_stats(self, now: int) -> list[ChannelStats]:
        """Return the counters of each reliable channel."""
        if self._rates.due(now):
            self._measure(now)
        return of_channels(self.outbox, self._receive, self._rates)

    def stats(self, now: int) -> LinkStats:
        """Return the counters."""
        if self._rates.due(now):
            self._measure(now)
        return of_link(self.outbox, self._receive, self.intake, self._rates)
