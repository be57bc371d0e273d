"""The sending half of a connection: what goes into the next packets, and what became of it.

Each turn sends at most `TURN_PACKETS` of reliable data (the control channel
before bulk), then as many of datagrams, until the window is used up, and the two
take turns at being first: neither waits behind the other. Acks, credit, pings and the
farewell do not count against the window.
"""

from collections.abc import Sequence
from typing import Any, Final

from sidereal.errors import ProtocolError
from sidereal.transport.acks import AckSchedule
from sidereal.transport.codec import Codec
from sidereal.transport.congestion import Controller, Fixed, Sample
from sidereal.transport.datagrams import DatagramQueue
from sidereal.transport.events import Address
from sidereal.transport.keys import KeyChain
from sidereal.transport.layout import (
    CHANNELS,
    CREDIT,
    DATAGRAM,
    FRAME_CREDIT,
    FRAME_PING,
    OVERHEAD_BYTES,
    STREAM,
)
from sidereal.transport.pacing import Pacer
from sidereal.transport.rate import Rate
from sidereal.transport.recovery import Recovery
from sidereal.transport.reliable import ReceiveStream, SendStream
from sidereal.transport.settings import Cipher, TransportSettings

TURN_PACKETS: Final = 16
TURN_ALONE: Final = 128
"""Datagrams in a turn while no reliable data waits: a turn itself costs as much as ten of them."""
PROBES: Final = 2
PROBES_UNTIL_STALLED: Final = 3
SPAN_MAX: Final = 65_536
"""Numbers from the oldest packet out to the newest: bounds the ring of sent packets."""
PING: Final = bytes([FRAME_PING])

# A packet's cargo is a list of (what, offset, length): what is a channel, or one of these.
CREDIT_CARGO: Final = -1
FAREWELL_CARGO: Final = -2

Out = list[tuple[bytes, Address]]


class Outbox:
    """Everything that waits to be sent to one peer, and everything on its way there."""

    def __init__(self, settings: TransportSettings, codec: Codec) -> None:
        self._settings = settings
        self._codec = codec
        self._sealer: Any = None
        self._acks: AckSchedule | None = None
        self._receive: list[ReceiveStream] = []
        self._datagram_bytes = settings.datagram_bytes
        self._peer_ack_delay_ns = settings.ack_delay_ns
        self._window_limited = False
        self._probes = 0
        self._ping_now = False
        self._datagrams_first = False
        self.flight = codec.flight()
        self.recovery = Recovery()
        self.congestion: Controller = (
            Fixed(settings) if settings.congestion == "fixed" else Rate(settings)
        )
        self._pacer = Pacer(settings.datagram_bytes)
        self._paced_at: int | None = None
        self.streams = [SendStream(c, settings.send_queue_bytes) for c in range(CHANNELS)]
        self.datagrams = DatagramQueue(settings.datagram_queue_bytes, settings.datagram_age_ns)
        self.dropped: list[int] = []
        """Tokens of datagrams that were dropped before they were sent."""
        self.credit_due = [False] * CHANNELS
        self.farewell: bytes | None = None
        self.farewell_due = False
        self.farewell_acked = False
        self.ping_at: int | None = None
        self.more = False
        """Whether the last `transmit` stopped at its burst with more to send."""
        self.bytes_sent = self.packets_sent = 0
        self.packets_lost = self.packets_lost_wrongly = 0
        self.datagrams_sent = 0

    def open(
        self,
        secret: bytes,
        cipher: Cipher,
        peer_id: int,
        datagram_bytes: int,
        receive_window_bytes: int,
        ack_delay_ns: int,
        acks: AckSchedule,
        receive: list[ReceiveStream],
        now: int,
    ) -> None:
        """Packets can flow: take the secret and what the peer said of itself."""
        self._sealer = self._codec.sealer(KeyChain(secret, cipher), peer_id)
        self._acks = acks
        self._receive = receive
        self._datagram_bytes = min(self._datagram_bytes, datagram_bytes)
        self._peer_ack_delay_ns = ack_delay_ns
        self.ping_at = now + self._settings.ping_interval_ns
        for stream in self.streams:
            stream.limit = receive_window_bytes

    @property
    def payload_max(self) -> int:
        """The longest datagram payload."""
        return self._datagram_bytes - OVERHEAD_BYTES - DATAGRAM.size

    @property
    def flushed(self) -> bool:
        """Whether the peer has acknowledged all reliable data."""
        return all(stream.floor == stream.end for stream in self.streams)

    @property
    def queued_bytes(self) -> int:
        """Reliable bytes not yet acknowledged."""
        return sum(stream.queued_bytes for stream in self.streams)

    def push_datagrams(self, payloads: Sequence[Any], now: int) -> int:
        """Queue datagrams; return the first one's token."""
        token, dropped = self.datagrams.push(payloads, self.payload_max, now)
        self.dropped += dropped
        return token

    def ping(self) -> None:
        """Send something that the peer acknowledges."""
        self._ping_now = True

    def say_farewell(self, frame: bytes) -> None:
        """Send the close frame, and again until it is acknowledged."""
        self.farewell = frame
        self.farewell_due = True

    # -- sending -------------------------------------------------------------------------

    def transmit(self, now: int, out: Out, address: Address) -> None:
        """Append what can be sent now to ``out``."""
        assert self._acks is not None, "the connection is not open yet"
        before = len(out)
        self.more = False
        self._paced_at = None
        self._pacer.rate = self.congestion.pacing_bytes_per_s
        while True:
            start = len(out)
            if self._datagrams_first:
                self._send_datagrams(now, out, address)
                # Where the window was still shut, their turn is yet to come.
                self._datagrams_first = len(out) == start and bool(self.datagrams)
                self._send_frames(now, out, address)
            else:
                # Whoever waits while the other sends goes first when the window opens again.
                self._send_frames(now, out, address)
                self._datagrams_first = len(out) > start and bool(self.datagrams)
                self._send_datagrams(now, out, address)
            if len(out) == start:
                break
            if len(out) - before >= self._settings.burst_packets:
                self.more = True
                break
        for packet, _ in out[before:]:
            self.bytes_sent += len(packet)
        if len(out) > before:
            self.packets_sent += len(out) - before

    def transmit_ack(self, now: int, out: Out, address: Address) -> None:
        """Append an ack alone: the peer has said farewell and wants nothing else."""
        assert self._acks is not None, "the connection is not open yet"
        frame = self._acks.frame(now, self._datagram_bytes - OVERHEAD_BYTES)
        out.append((self._sealer.seal(frame), address))
        self.flight.record_silent(self._sealer.next_number - 1)

    def _room(self, now: int) -> int:
        """Bytes that the window and the rate still allow; where none, note what for."""
        room: int = self.congestion.window - self.flight.bytes_in_flight
        if room <= 0 or self.flight.span >= SPAN_MAX:
            self._window_limited = True
            return 0
        paced = self._pacer.room(now)
        if paced <= 0:
            self._paced_at = self._pacer.wait()
        return min(room, paced)

    def _send_frames(self, now: int, out: Out, address: Address) -> None:
        """Acks and the like, and reliable data, for one turn."""
        acks = self._acks
        assert acks is not None
        for _ in range(TURN_PACKETS):
            room = self._datagram_bytes - OVERHEAD_BYTES
            frames: list[bytes] = []
            cargo: list[tuple[int, int, int]] = []
            if self._ping_now:
                self._ping_now = False
                frames.append(PING)
                room -= 1
            for channel, due in enumerate(self.credit_due):
                if due:
                    self.credit_due[channel] = False
                    stream = self._receive[channel]
                    stream.told = max(stream.told, stream.credit)
                    frames.append(CREDIT.pack(FRAME_CREDIT, channel, stream.told))
                    cargo.append((CREDIT_CARGO, channel, 0))
                    room -= CREDIT.size
            if self.farewell_due and self.farewell is not None and len(self.farewell) <= room:
                self.farewell_due = False
                frames.append(self.farewell)
                cargo.append((FAREWELL_CARGO, 0, 0))
                room -= len(self.farewell)
            has_data = any(stream.pending for stream in self.streams)
            eliciting = bool(frames)
            if has_data and not (eliciting or acks.wanted) and self._send_run(now, out, address):
                return
            if acks.due or (acks.wanted and (eliciting or has_data)):
                ack = acks.frame(now, room)
                frames.append(ack)
                room -= len(ack)
            if has_data and (self._room(now) > 0 or self._probes):
                data = self._fill(frames, cargo, room)
                if data and self._probes:
                    self._probes -= 1
                eliciting = eliciting or data
            if not frames:
                return
            packet = self._sealer.seal(b"".join(frames))
            number = self._sealer.next_number - 1
            if eliciting:
                self.flight.record(number, now, len(packet), cargo or None)
                self._pacer.sent(len(packet))
                self.ping_at = now + self._settings.ping_interval_ns
            else:
                self.flight.record_silent(number)
            out.append((packet, address))

    def _send_run(self, now: int, out: Out, address: Address) -> bool:
        """Send a turn's worth of one large message, if that is what comes next."""
        stream = next(stream for stream in self.streams if stream.pending)
        run = stream.run()
        room = self._room(now)
        if run is None or room <= 0:
            return False
        block, start, end = run
        before = len(out)
        stop = self._sealer.seal_stream(
            block, start, end, stream.channel, stream.next, self._datagram_bytes, room,
            TURN_PACKETS, now, self.flight, address, out,
        )  # fmt: skip
        stream.ran(stop - start)
        self._pacer.sent((len(out) - before) * self._datagram_bytes)
        self._probes = max(0, self._probes - (len(out) - before))
        self.ping_at = now + self._settings.ping_interval_ns
        return len(out) > before

    def _fill(self, frames: list[bytes], cargo: list[tuple[int, int, int]], room: int) -> bool:
        """Add reliable data up to ``room`` bytes, the control channel first."""
        filled = False
        for stream in self.streams:
            while room > STREAM.size:
                taken = stream.take(room)
                if taken is None:
                    break
                frames.append(taken[0])
                cargo.append(taken[1])
                room -= len(taken[0])
                filled = True
        return filled

    def _send_datagrams(self, now: int, out: Out, address: Address) -> None:
        """One turn of datagrams."""
        if not self.datagrams:
            return
        room = self._room(now)
        if room <= 0 and self._probes:
            room = self._datagram_bytes
        if room <= 0:
            return
        queue = self.datagrams
        before, in_flight = len(out), self.flight.bytes_in_flight
        beside = any(stream.pending for stream in self.streams)
        head = self._sealer.seal_datagrams(
            queue.payloads, queue.head, queue.head_token, self._datagram_bytes, room,
            TURN_PACKETS if beside else TURN_ALONE, now, self.flight, address, out,
        )  # fmt: skip
        self.datagrams_sent += head - queue.head
        queue.taken(head)
        self._pacer.sent(self.flight.bytes_in_flight - in_flight)
        self._probes = max(0, self._probes - (len(out) - before))
        self.ping_at = now + self._settings.ping_interval_ns

    # -- what became of it ---------------------------------------------------------------

    def acknowledge(
        self, acks: list[tuple[int, int, bytes]], now: int
    ) -> tuple[list[int], list[int]]:
        """Take ack frames; return the tokens of datagrams ``(acked, lost)`` by them.

        Raises
        ------
        ProtocolError
            One names a packet that was never sent.
        """
        flight = self.flight
        delay_us = 0
        for largest, ack_delay_us, bitmap in acks:
            if not flight.acknowledge(largest, bitmap, now):
                raise ProtocolError("an ack names a packet that was never sent")
            if flight.acked_largest:
                delay_us = ack_delay_us
        self.recovery.flew(flight.acked_flight_max_ns)
        if flight.spurious:
            self.packets_lost_wrongly += flight.spurious
            self.recovery.overtaken(flight.spurious_distance)
        if flight.acked_packets:
            self.recovery.probes_unanswered = 0
            self._probes = 0
            if flight.acked_largest:
                delay_ns = min(delay_us * 1000, self._peer_ack_delay_ns)
                self.recovery.sample(now - flight.acked_sent_ns, delay_ns)
        return self._settle(now)

    def _settle(self, now: int) -> tuple[list[int], list[int]]:
        """Look for losses, and deal with all findings."""
        flight, recovery = self.flight, self.recovery
        flight.detect_lost(now, recovery.loss_delay_ns, recovery.packet_threshold)
        self._delivered(flight.acked_cargo)
        for cargo in flight.lost_cargo:
            self._again(cargo)
        self.packets_lost += flight.lost_packets
        if flight.acked_bytes or flight.lost_bytes or flight.spurious_bytes:
            self.congestion.update(
                Sample(
                    now=now,
                    acked_bytes=flight.acked_bytes,
                    lost_bytes=flight.lost_bytes,
                    spurious_bytes=flight.spurious_bytes,
                    delivered=flight.delivered,
                    acked_after=flight.acked_after,
                    acked_packets=flight.acked_packets,
                    flight_ns=flight.acked_flight_ns,
                    flight_min_ns=flight.acked_flight_min_ns,
                    loss_delay_ns=recovery.loss_delay_ns,
                    delivery_bytes_per_s=flight.delivery_rate,
                    window_limited=self._window_limited,
                )
            )
            self._window_limited = False
        acked, lost = flight.acked_tokens, flight.lost_tokens
        flight.clear()
        return acked, lost

    def _delivered(self, cargos: list[list[tuple[int, int, int]]]) -> None:
        """Tell the streams what arrived; neighbours together, for acks come newest first."""
        channel, start, end = -1, 0, 0
        for cargo in reversed(cargos):
            for what, offset, length in cargo:
                if what == channel and offset == end:
                    end += length
                    continue
                if what == FAREWELL_CARGO:
                    self.farewell_acked = True
                elif what >= 0:
                    if channel >= 0:
                        self.streams[channel].acked(start, end - start)
                    channel, start, end = what, offset, offset + length
        if channel >= 0:
            self.streams[channel].acked(start, end - start)

    def _again(self, cargo: list[tuple[int, int, int]]) -> None:
        for what, offset, length in cargo:
            if what >= 0:
                self.streams[what].lost(offset, length)
            elif what == CREDIT_CARGO:
                self.credit_due[offset] = True
            elif not self.farewell_acked:
                self.farewell_due = True

    @property
    def timeout_at(self) -> int | None:
        """When `timeout` has something to do."""
        at: int | None = None
        if self.flight.packets_in_flight:
            if self.flight.loss_ns >= 0:
                at = self.flight.loss_ns
            else:
                at = self.flight.last_sent_ns + self.recovery.probe_delay_ns(
                    self._peer_ack_delay_ns
                )
        for other in (self.datagrams.stale_at, self.ping_at, self._paced_at):
            if other is not None and (at is None or other < at):
                at = other
        return at

    def timeout(self, now: int) -> list[int]:
        """Find losses by time, probe, ping, drop stale datagrams; return tokens lost."""
        lost: list[int] = []
        flight = self.flight
        if flight.packets_in_flight:
            if flight.loss_ns >= 0:
                if flight.loss_ns <= now:
                    _, lost = self._settle(now)
            elif flight.last_sent_ns + self.recovery.probe_delay_ns(self._peer_ack_delay_ns) <= now:
                self._probe()
        if self.ping_at is not None and self.ping_at <= now:
            self._ping_now = True
            self.ping_at = now + self._settings.ping_interval_ns
        lost += self.datagrams.expire(now)
        return lost

    def _probe(self) -> None:
        """Nothing was heard for long: send the oldest again, or a ping."""
        self.recovery.probes_unanswered += 1
        if self.recovery.probes_unanswered == PROBES_UNTIL_STALLED:
            self.congestion.stalled()
        self._probes = PROBES
        cargo = self.flight.oldest_cargo()
        if cargo is not None:
            self._again(cargo)
        if not self.datagrams and not any(stream.pending for stream in self.streams):
            self._ping_now = True
