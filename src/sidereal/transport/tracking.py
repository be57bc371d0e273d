"""What became of the packets that were sent: acknowledged, lost, or time to ask.

Half of the `Outbox`, which sends. What was lost of streams goes again in new packets;
datagrams never do: their tokens are returned.
"""

from typing import Final

from sidereal.transport.codec import Codec
from sidereal.transport.congestion import Controller, Fixed, Sample
from sidereal.transport.datagrams import DatagramQueue
from sidereal.transport.layout import CHANNELS, CONTROL
from sidereal.transport.rate import Rate
from sidereal.transport.recovery import Recovery
from sidereal.transport.reliable import SendStream
from sidereal.transport.repeats import Repeats
from sidereal.transport.settings import MS, TransportSettings
from sidereal.transport.transmits import Transmit

PROBES: Final = 2
PROBES_UNTIL_STALLED: Final = 3
IDLE_PACKETS: Final = 4
SAMPLE_NS: Final = MS
"""How long the controller need not hear of acks where no more than so much is on its way."""

# A packet's cargo is a list of (what, offset, length): what is a channel, or one of these.
CREDIT_CARGO: Final = -1
FAREWELL_CARGO: Final = -2

Out = list[Transmit]


class Tracker:
    """What is on its way to one peer, and what is learnt from how it fares."""

    __slots__ = (
        "_datagram_bytes",
        "_held",
        "_paced_at",
        "_peer_ack_delay_ns",
        "_ping_now",
        "_probes",
        "_sampled_at",
        "_settings",
        "_window_limited",
        "congestion",
        "credit_due",
        "datagrams",
        "farewell_acked",
        "farewell_due",
        "flight",
        "packets_lost",
        "packets_lost_wrongly",
        "ping_at",
        "recovery",
        "repeats",
        "streams",
    )

    def __init__(self, settings: TransportSettings, codec: Codec) -> None:
        self._settings = settings
        self._datagram_bytes = settings.datagram_bytes
        self._peer_ack_delay_ns = settings.ack_delay_ns
        self._window_limited = False
        self._sampled_at = 0
        self._held = (0, 0, 0, 0)
        """Of acks that the controller has not heard of: bytes, packets, flights, the shortest."""
        self._probes = 0
        self._ping_now = False
        self.flight = codec.flight()
        self.recovery = Recovery()
        self.repeats = Repeats()
        self.congestion: Controller = (
            Fixed(settings) if settings.congestion == "fixed" else Rate(settings)
        )
        self._paced_at: int | None = None
        self.streams = [SendStream(c, settings.send_queue_bytes) for c in range(CHANNELS)]
        self.datagrams = DatagramQueue(settings.datagram_queue_bytes, settings.datagram_age_ns)
        self.credit_due = [False] * CHANNELS
        self.farewell_due = False
        self.farewell_acked = False
        self.ping_at: int | None = None
        self.packets_lost = self.packets_lost_wrongly = 0

    def acknowledge(
        self, acks: list[tuple[int, int, bytes]], now: int
    ) -> tuple[list[int], list[int], bool]:
        """Take ack frames; return the tokens of datagrams ``(acked, lost)`` by them.

        Also whether all of them may be: one that names a packet that was never sent takes
        nothing back of what those before it said.
        """
        flight = self.flight
        delay_us, possible = 0, True
        for largest, ack_delay_us, bitmap in acks:
            if not flight.acknowledge(largest, bitmap, now):
                possible = False
                break
            if flight.acked_largest:
                delay_us = ack_delay_us
        longest_ns = flight.acked_flight_max_ns
        if flight.spurious:
            self.packets_lost_wrongly += flight.spurious
            self.recovery.overtaken(flight.spurious_distance, longest_ns)
        if longest_ns:
            self.recovery.flew(longest_ns, now)
        if flight.acked_packets:
            self.recovery.probes_unanswered = 0
            self._probes = 0
            if flight.acked_largest:
                delay_ns = min(delay_us * 1000, self._peer_ack_delay_ns)
                self.recovery.sample(now - flight.acked_sent_ns, delay_ns)
        return *self._settle(now), possible

    def _settle(self, now: int) -> tuple[list[int], list[int]]:
        """Look for losses, and deal with all findings."""
        flight, recovery = self.flight, self.recovery
        flight.detect_lost(now, recovery.loss_delay_ns, recovery.packet_threshold)
        self._delivered(flight.acked_cargo)
        if flight.lost_packets:
            for cargo in flight.lost_cargo:
                self._again(cargo, now)
            self.packets_lost += flight.lost_packets
        if flight.acked_packets or flight.lost_packets or flight.spurious:
            self.repeats.fared(flight.acked_packets, flight.lost_packets - flight.spurious)
        if flight.acked_bytes or flight.lost_bytes or flight.spurious_bytes:
            self._sample(now)
        acked, lost = flight.acked_tokens, flight.lost_tokens
        flight.clear()
        return acked, lost

    def _sample(self, now: int) -> None:
        """Tell the controller, or keep it for later where it could do nothing about it."""
        flight = self.flight
        acked, packets, flights_ns, shortest_ns = self._held
        acked += flight.acked_bytes
        packets += flight.acked_packets
        flights_ns += flight.acked_flight_ns
        newest_ns = flight.acked_flight_min_ns
        if newest_ns and (newest_ns < shortest_ns or not shortest_ns):
            shortest_ns = newest_ns
        if (
            not self._window_limited
            and not flight.lost_bytes
            and not flight.spurious_bytes
            and now - self._sampled_at < SAMPLE_NS
            and acked + flight.bytes_in_flight < IDLE_PACKETS * self._datagram_bytes
        ):
            self._held = (acked, packets, flights_ns, shortest_ns)
            return
        self._held = (0, 0, 0, 0)
        self._sampled_at = now
        self.congestion.update(
            Sample(
                now=now,
                acked_bytes=acked,
                lost_bytes=flight.lost_bytes,
                spurious_bytes=flight.spurious_bytes,
                delivered=flight.delivered,
                acked_after=flight.acked_after,
                acked_packets=packets,
                flight_ns=flights_ns,
                flight_min_ns=shortest_ns,
                loss_delay_ns=self.recovery.loss_delay_ns,
                delivery_bytes_per_s=flight.delivery_rate,
                window_limited=self._window_limited,
            )
        )
        self._window_limited = False

    def _delivered(self, cargos: list[list[tuple[int, int, int]]]) -> None:
        """Tell the streams what arrived; neighbours together, for acks come newest first."""
        if not cargos:
            return
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

    def _again(self, cargo: list[tuple[int, int, int]], now: int) -> None:
        for what, offset, length in cargo:
            if what >= 0:
                rtt_ns = self.recovery.smoothed_ns
                for start, end, again in self.streams[what].lost(offset, length):
                    if again or what == CONTROL:
                        self.repeats.sent(what, start, end, now, rtt_ns)
            elif what == CREDIT_CARGO:
                self.credit_due[offset] = True
            elif not self.farewell_acked:
                self.farewell_due = True

    def repeat(self, now: int) -> None:
        """Let data that is due to go again do so, but for what is acknowledged by now."""
        ranges = self.repeats.due(now, self.recovery.smoothed_ns, self.congestion.window)
        for channel, start, end in ranges:
            self.streams[channel].resend(start, end)

    @property
    def timeout_at(self) -> int | None:
        """When `timeout` has something to do."""
        at = self.ping_at
        repeat_at = self.repeats.at
        if repeat_at is not None and (at is None or repeat_at < at):
            at = repeat_at
        flight = self.flight
        if flight.packets_in_flight:
            other = flight.loss_ns
            if other < 0:
                other = flight.last_sent_ns + self.recovery.probe_delay_ns(self._peer_ack_delay_ns)
            if at is None or other < at:
                at = other
        if self._paced_at is not None and (at is None or self._paced_at < at):
            at = self._paced_at
        if self.datagrams:
            stale_at = self.datagrams.stale_at
            if stale_at is not None and (at is None or stale_at < at):
                at = stale_at
        return at

    def timeout(self, now: int) -> list[int]:
        """Find losses by time, probe, ping, drop stale datagrams; return tokens lost."""
        lost: list[int] = []
        flight = self.flight
        if self.repeats.at is not None and self.repeats.at <= now:
            self.repeat(now)
        if flight.packets_in_flight:
            if flight.loss_ns >= 0:
                if flight.loss_ns <= now:
                    _, lost = self._settle(now)
            elif flight.last_sent_ns + self.recovery.probe_delay_ns(self._peer_ack_delay_ns) <= now:
                self._probe(now)
        if self.ping_at is not None and self.ping_at <= now:
            self._ping_now = True
            self.ping_at = now + self._settings.ping_interval_ns
        lost += self.datagrams.expire(now)
        return lost

    def _probe(self, now: int) -> None:
        """Nothing was heard for long: send the oldest again, or a ping."""
        self.recovery.probes_unanswered += 1
        if self.recovery.probes_unanswered == PROBES_UNTIL_STALLED:
            self.congestion.stalled()
        self._probes = PROBES
        cargo = self.flight.oldest_cargo()
        if cargo is not None:
            self._again(cargo, now)
        if not self.datagrams and not any(stream.pending for stream in self.streams):
            self._ping_now = True
