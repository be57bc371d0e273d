"""The sending half of a connection: what goes into the next packets.

Each turn sends at most `TURN_PACKETS` of reliable data (the control channel
before bulk), then as many of datagrams, until the window is used up, and the two
take turns at being first: neither waits behind the other. Acks, credit, pings and the
farewell do not count against the window. What became of the packets is in ``tracking.py``.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from sidereal.limits import PACKETS_OUT_MAX
from sidereal.transport.acks import AckSchedule
from sidereal.transport.codec import Codec
from sidereal.transport.events import Address
from sidereal.transport.keys import KeyChain
from sidereal.transport.layout import (
    ACK,
    CLOSE,
    CONTROL,
    CREDIT,
    DATAGRAM,
    FRAME_CREDIT,
    FRAME_PING,
    OVERHEAD_BYTES,
    REASON_BYTES_MAX,
    SEQUENCED,
    STREAM,
)
from sidereal.transport.pacing import Pacer
from sidereal.transport.reliable import ReceiveStream
from sidereal.transport.settings import DATAGRAM_BYTES_MIN, Cipher, TransportSettings
from sidereal.transport.tracking import CREDIT_CARGO, FAREWELL_CARGO, Out, Tracker

TURN_PACKETS: Final = 16
TURN_ALONE: Final = 256
"""The same of datagrams while no reliable data waits, and of one large message while no datagrams
do: a turn itself costs as much as ten of them."""
SKIP_PACKETS: Final = 256
"""One number in so many, on average, is left out."""
PING: Final = bytes([FRAME_PING])
ACK_ROOM_BYTES: Final = ACK.size + 8
SMALL_OVERHEAD_BYTES: Final = OVERHEAD_BYTES + STREAM.size + ACK_ROOM_BYTES
"""What a packet of one small message has besides, an ack of 64 packets included."""


class Outbox(Tracker):
    """Everything that waits to be sent to one peer, and everything on its way there."""

    __slots__ = (
        "_acks",
        "_codec",
        "_datagrams_first",
        "_pacer",
        "_receive",
        "_rng",
        "_sealer",
        "_skip_at",
        "bytes_sent",
        "datagrams_sent",
        "dropped",
        "farewell",
        "more",
    )

    def __init__(
        self, settings: TransportSettings, codec: Codec, rng: Callable[[int], bytes]
    ) -> None:
        super().__init__(settings, codec)
        self._rng = rng
        self._skip_at = 0
        self._codec = codec
        self._sealer: Any = None
        self._acks: AckSchedule | None = None
        self._receive: list[ReceiveStream[Any]] = []
        self._datagrams_first = False
        self._pacer = Pacer(settings.datagram_bytes)
        self.dropped: list[int] = []
        """Tokens of datagrams that were dropped before they were sent."""
        self.farewell: bytes | None = None
        self.more = False
        """Whether the last `transmit` stopped at its burst with more to send."""
        self.bytes_sent = 0
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
        receive: list[ReceiveStream[Any]],
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
    def packets_sent(self) -> int:
        """Packets so far, acks and repeats included."""
        return 0 if self._sealer is None else int(self._sealer.sealed)

    @property
    def payload_max(self) -> int:
        """The longest datagram payload: before the link is open, what any peer takes."""
        size = DATAGRAM_BYTES_MIN if self._sealer is None else self._datagram_bytes
        return size - OVERHEAD_BYTES - DATAGRAM.size

    @property
    def reason_max(self) -> int:
        """The longest close reason in bytes, for its frame is never cut."""
        return min(REASON_BYTES_MAX, self._datagram_bytes - OVERHEAD_BYTES - CLOSE.size)

    @property
    def flushed(self) -> bool:
        """Whether the peer has acknowledged all reliable data."""
        return all(stream.floor == stream.end for stream in self.streams)

    @property
    def queued_bytes(self) -> int:
        """Reliable bytes not yet acknowledged."""
        return sum(stream.queued_bytes for stream in self.streams)

    def push_datagrams(self, payloads: Sequence[Any], now: int, sequence: int | None = None) -> int:
        """Queue datagrams; return the first one's token."""
        longest = self.payload_max - (SEQUENCED.size - DATAGRAM.size) * (sequence is not None)
        token, dropped = self.datagrams.push(payloads, longest, now, sequence)
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
        self.more = False
        self._paced_at = None
        self._pacer.rate = self.congestion.pacing_bytes_per_s
        if not self.datagrams and (not self._owing() or self._send_small(now, out, address)):
            return
        sealer, in_flight = self._sealer, self.flight.bytes_in_flight
        before = sealer.sealed
        while self._owing() or self.datagrams:
            start = sealer.sealed
            if self._datagrams_first:
                self._send_datagrams(now, out, address)
                # Where the window was still shut, their turn is yet to come.
                self._datagrams_first = sealer.sealed == start and bool(self.datagrams)
                self._send_frames(now, out, address)
            else:
                # Whoever waits while the other sends goes first when the window opens again.
                self._send_frames(now, out, address)
                self._datagrams_first = sealer.sealed > start and bool(self.datagrams)
                self._send_datagrams(now, out, address)
            if sealer.sealed == start:
                break
            if sealer.sealed - before >= self._settings.burst_packets:
                self.more = True
                break
        if sealer.sealed > before:
            self.bytes_sent += self.flight.bytes_in_flight - in_flight

    def _numbers(self) -> int:
        """Return how many numbers follow each other from here; leave one out where it is time.

        Nobody can know which: a peer that acknowledges what it has not received, to be sent
        more than the path carries, soon names one of them.
        """
        left: int = self._skip_at - self._sealer.next_number
        if left <= 0:
            if self._skip_at:
                self.flight.record_skipped(self._sealer.skip())
            left = 1 + int.from_bytes(self._rng(2), "little") % (2 * SKIP_PACKETS)
            self._skip_at = self._sealer.next_number + left
        return left

    def _owing(self) -> bool:
        """Whether there is anything but datagrams to send, were there room."""
        control, bulk = self.streams
        acks = self._acks
        return (
            control.pending
            or bulk.pending
            or self._ping_now
            or self.farewell_due
            or True in self.credit_due
            or (acks is not None and acks.due)
        )

    def _send_small(self, now: int, out: Out, address: Address) -> bool:
        """Send all that waits where it is one small message; False where it is more than that.

        What a game that says one thing at a time needs: the way through `_send_frames`
        costs twice as much.
        """
        control, bulk = self.streams
        acks, start, end = self._acks, control.next, control.end
        room = self._datagram_bytes - SMALL_OVERHEAD_BYTES - (end - start)
        if (
            acks is None
            or room < 0
            or not start < end <= control.limit
            or control.again
            or bulk.pending
            or self._ping_now
            or self.farewell_due
            or self._probes
            or True in self.credit_due
            or self._room(now) <= 0
        ):
            return False
        ack = acks.frame(now, room + ACK_ROOM_BYTES) if acks.wanted else b""
        sealer = self._sealer
        if sealer.next_number >= self._skip_at:
            self._numbers()
        packet = sealer.seal_message(ack, 0, start, control.read(start, end - start))
        control.next = end
        size = len(packet)
        self.flight.record(sealer.next_number - 1, now, size, [(0, start, end - start)])
        self._repeat(CONTROL, start, end, now)
        self._pacer.sent(size)
        self.ping_at = now + self._settings.ping_interval_ns
        out.append((packet, address))
        self.bytes_sent += size
        return True

    def _repeat(self, channel: int, start: int, end: int, now: int) -> None:
        """Control data has left for the first time: it may have to go again."""
        if channel == CONTROL and end > start and self.repeats.copies:
            self.repeats.sent(CONTROL, start, end, now, self.recovery.smoothed_ns)

    def transmit_ack(self, now: int, out: Out, address: Address) -> None:
        """Append an ack alone: the peer has said farewell and wants nothing else."""
        assert self._acks is not None, "the connection is not open yet"
        frame = self._acks.frame(now, self._datagram_bytes - OVERHEAD_BYTES)
        out.append((self._sealer.seal(frame), address))
        self.flight.record_silent(self._sealer.next_number - 1)

    def _room(self, now: int) -> int:
        """Bytes that the window and the rate still allow; where none, note what for."""
        room: int = self.congestion.window - self.flight.bytes_in_flight
        if room <= 0 or self.flight.span >= PACKETS_OUT_MAX:
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
            if not self._owing():
                return
            room = self._datagram_bytes - OVERHEAD_BYTES
            frames: list[bytes] = []
            cargo: list[tuple[int, int, int]] = []
            if self._ping_now or self.farewell_due or True in self.credit_due:
                room = self._book(frames, cargo, room)
            has_data = self.streams[0].pending or self.streams[1].pending
            eliciting = bool(frames)
            if has_data and not (eliciting or acks.wanted) and self._send_run(now, out, address):
                return
            if acks.due or (acks.wanted and (eliciting or has_data)):
                ack = acks.frame(now, room)
                frames.append(ack)
                room -= len(ack)
            if has_data and (self._room(now) > 0 or self._probes):
                data = self._fill(frames, cargo, room, now)
                if data and self._probes:
                    self._probes -= 1
                eliciting = eliciting or data
            if not frames:
                return
            self._numbers()
            packet = self._sealer.seal(frames[0] if len(frames) == 1 else b"".join(frames))
            number = self._sealer.next_number - 1
            if eliciting:
                self.flight.record(number, now, len(packet), cargo or None)
                self._pacer.sent(len(packet))
                self.ping_at = now + self._settings.ping_interval_ns
            else:
                self.flight.record_silent(number)
                self.bytes_sent += len(packet)
            out.append((packet, address))

    def _book(self, frames: list[bytes], cargo: list[tuple[int, int, int]], room: int) -> int:
        """Add a ping, credit and the farewell, where due; return the room left."""
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
        return room

    def _send_run(self, now: int, out: Out, address: Address) -> bool:
        """Send a turn's worth of one large message, if that is what comes next."""
        stream = next(stream for stream in self.streams if stream.pending)
        run = stream.run()
        room = self._room(now)
        if run is None or room <= 0:
            return False
        block, start, end = run
        before = self._sealer.sealed
        # Who waits besides has its turn soon; where nobody does, a longer run costs less.
        most = min(self._numbers(), TURN_PACKETS if self.datagrams else TURN_ALONE)
        stop = self._sealer.seal_stream(
            block, start, end, stream.channel, stream.next, self._datagram_bytes, room,
            most, now, self.flight, address, out,
        )  # fmt: skip
        self._repeat(stream.channel, stream.next, stream.next + stop - start, now)
        stream.ran(stop - start)
        sent = self._sealer.sealed - before
        self._pacer.sent(sent * self._datagram_bytes)
        self._probes = max(0, self._probes - sent)
        self.ping_at = now + self._settings.ping_interval_ns
        return bool(sent)

    def _fill(
        self, frames: list[bytes], cargo: list[tuple[int, int, int]], room: int, now: int
    ) -> bool:
        """Add reliable data up to ``room`` bytes, the control channel first."""
        filled = False
        for stream in self.streams:
            while room > STREAM.size:
                fresh = stream.next
                taken = stream.take(room)
                if taken is None:
                    break
                self._repeat(stream.channel, fresh, stream.next, now)
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
        before, in_flight = self._sealer.sealed, self.flight.bytes_in_flight
        beside = self.streams[0].pending or self.streams[1].pending
        most = min(self._numbers(), TURN_PACKETS if beside else TURN_ALONE)
        head = self._sealer.seal_datagrams(
            queue.payloads, queue.sequences, queue.head, queue.head_token, self._datagram_bytes,
            room, most, now, self.flight, address, out,
        )  # fmt: skip
        self.datagrams_sent += head - queue.head
        queue.taken(head)
        self._pacer.sent(self.flight.bytes_in_flight - in_flight)
        self._probes = max(0, self._probes - (self._sealer.sealed - before))
        self.ping_at = now + self._settings.ping_interval_ns
