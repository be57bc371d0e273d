"""Packets on their way, to be read: the same as ``_flight.pyx``, in a dictionary.

What the compiled one keeps in a ring of fixed records is here one small object a
packet. Numbers that have fallen out of the ring there are forgotten here too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sidereal.transport.packet_twin import expand_number


@dataclass(slots=True)
class Sent:
    """One packet that wants an acknowledgement."""

    sent_ns: int
    size: int
    tokens: range
    cargo: Any
    piece: bool
    delivered: int
    delivered_ns: int
    first_sent_ns: int
    lost: bool = False


class Flight:
    """The packets that want an acknowledgement, and what became of them."""

    def __init__(self) -> None:
        self._sent: dict[int, Sent] = {}
        self._skipped: set[int] = set()
        self._capacity = 64
        self._next = 0
        self._floor = 0
        self.largest_acked = -1
        self.bytes_in_flight = 0
        self.packets_in_flight = 0
        self.last_sent_ns = 0
        self.loss_ns = -1
        self.delivered = 0
        self.delivered_ns = 0
        self._first_sent_ns = 0
        self._run: tuple[int, int, int] | None = None
        self.clear()

    def clear(self) -> None:
        """Forget the findings of the last ack."""
        self.acked_tokens: list[int] = []
        self.acked_cargo: list[Any] = []
        self.acked_bytes = self.acked_packets = 0
        self.acked_sent_ns = -1
        self.acked_after = self._acked_newest = self._rate_ns = 0
        self.acked_flight_ns = self.acked_flight_min_ns = self.acked_flight_max_ns = 0
        self.acked_largest = False
        self.delivery_rate = 0.0
        self.lost_tokens: list[int] = []
        self.lost_cargo: list[Any] = []
        self.lost_bytes = self.lost_packets = 0
        self.lost_sent_ns = -1
        self.spurious = self.spurious_distance = self.spurious_bytes = 0

    @property
    def span(self) -> int:
        """Numbers from the oldest packet still out to the newest."""
        return self._next - self._floor

    def _use(self, number: int) -> None:
        while 2 * (number - self._floor) >= self._capacity:
            if self.packets_in_flight == 0:
                self._floor = number
                break
            self._capacity *= 2
        self._next = number + 1
        self._sent.pop(number - self._capacity, None)
        self._skipped.discard(number - self._capacity)

    def record_silent(self, number: int) -> None:
        """A packet that wants no acknowledgement."""
        self._use(number)

    def record_datagram_run(
        self, number: int, now: int, sizes: Sequence[int], token: int, tokens: Sequence[int]
    ) -> None:
        """Packets from ``number`` on, of ``sizes`` bytes; each holds as many datagrams as
        ``tokens`` says, the very first of which has ``token``. Both are unsigned and 32 bits wide.
        """
        if len(sizes) != len(tokens):
            raise ValueError("sizes and tokens differ in length")
        for i, (size, count) in enumerate(zip(sizes, tokens, strict=True)):
            self.record_datagrams(number + i, now, size, token, count)
            token += count

    def record_skipped(self, number: int) -> None:
        """A number that no packet has: who acknowledges it has not seen what it acknowledges."""
        self._use(number)
        self._skipped.add(number)

    def record(self, number: int, now: int, size: int, cargo: Any) -> None:
        """A packet whose cargo is handed back when it is acked or lost."""
        self._keep(number, now, size, range(0), cargo)

    def record_pieces(
        self, number: int, packets: int, now: int, size: int, channel: int, offset: int, length: int
    ) -> None:
        """Packets from ``number`` on with a piece of one stream each, ``length`` bytes apart."""
        for i in range(packets):
            piece = (channel, offset + i * length, length)
            self._keep(number + i, now, size, range(0), [piece], piece=True)

    def record_datagrams(self, number: int, now: int, size: int, token: int, tokens: int) -> None:
        """A packet of ``tokens`` datagrams, the first of which has ``token``."""
        self._keep(number, now, size, range(token, token + tokens), None)

    def _keep(
        self, number: int, now: int, size: int, tokens: range, cargo: Any, piece: bool = False
    ) -> None:
        self._use(number)
        if self.packets_in_flight == 0:
            self.delivered_ns = now
            self._first_sent_ns = now
        self._sent[number] = Sent(
            now, size, tokens, cargo, piece,
            self.delivered, self.delivered_ns, self._first_sent_ns,
        )  # fmt: skip
        self.bytes_in_flight += size
        self.packets_in_flight += 1
        self.last_sent_ns = now

    def acknowledge(self, largest_low: int, bitmap: bytes, now: int) -> bool:
        """Take one ack frame; False if it names a packet that was never sent, or skipped."""
        possible = self._acknowledge(largest_low, bitmap, now)
        self._end_run(self.acked_cargo)
        return possible

    def _acknowledge(self, largest_low: int, bitmap: bytes, now: int) -> bool:
        largest = expand_number(self._next, largest_low)
        if largest >= self._next:
            return False
        if largest > self.largest_acked:
            newest = self._sent.get(largest)
            self.acked_largest = newest is not None and not newest.lost
        self._one(largest, now)
        impossible = largest in self._skipped
        bits = int.from_bytes(bitmap, "little")
        oldest = self._next - self._capacity
        while bits:
            lowest = bits & -bits
            number = largest - lowest.bit_length()
            if number < 0:
                return False
            if number >= oldest:
                self._one(number, now)
                impossible = impossible or number in self._skipped
            bits ^= lowest
        self.largest_acked = max(self.largest_acked, largest)
        # Only now, with all that this ack names: the newest is named first.
        if self.acked_packets and self._rate_ns > 0:
            self.delivery_rate = (self.delivered - self.acked_after) * 1e9 / self._rate_ns
        return not impossible

    def _one(self, number: int, now: int) -> None:
        sent = self._sent.pop(number, None)
        if sent is None:
            return
        if sent.lost:
            self.acked_flight_max_ns = max(self.acked_flight_max_ns, now - sent.sent_ns)
            self.delivered += sent.size
            self.spurious += 1
            self.spurious_bytes += sent.size
            self.spurious_distance = max(self.spurious_distance, self.largest_acked - number)
            return
        self.bytes_in_flight -= sent.size
        self.packets_in_flight -= 1
        self.acked_bytes += sent.size
        self.acked_packets += 1
        flight_ns = max(1, now - sent.sent_ns)
        self.acked_flight_ns += flight_ns
        self.acked_flight_max_ns = max(self.acked_flight_max_ns, flight_ns)
        self.acked_flight_min_ns = min(self.acked_flight_min_ns or flight_ns, flight_ns)
        self.delivered += sent.size
        self.delivered_ns = now
        if number >= self._acked_newest:
            self._acked_newest = number
            self.acked_sent_ns = sent.sent_ns
            self.acked_after = sent.delivered
            self._first_sent_ns = sent.sent_ns
            # Acks that come in a bunch would make a rate that nobody sent at.
            self._rate_ns = max(now - sent.delivered_ns, sent.sent_ns - sent.first_sent_ns)
        self.acked_tokens += sent.tokens
        self._found(sent, self.acked_cargo)

    def _found(self, sent: Sent, cargos: list[Any]) -> None:
        """Hand back a packet's cargo; pieces that go on from each other as one."""
        if sent.cargo is None:
            return
        if not sent.piece:
            cargos.append(sent.cargo)
            return
        ((channel, offset, length),) = sent.cargo
        if self._run is not None and self._run[0] == channel:
            _, start, end = self._run
            if offset + length == start:  # acks name the newest first
                self._run = channel, offset, end
                return
            if offset == end:
                self._run = channel, start, end + length
                return
        self._end_run(cargos)
        self._run = channel, offset, offset + length

    def _end_run(self, cargos: list[Any]) -> None:
        if self._run is not None:
            channel, start, end = self._run
            cargos.append([(channel, start, end - start)])
            self._run = None

    def detect_lost(self, now: int, delay_ns: int, packets: int) -> None:
        """Declare lost what is ``packets`` behind the largest acked, or ``delay_ns`` old."""
        self._detect_lost(now, delay_ns, packets)
        self._end_run(self.lost_cargo)

    def _detect_lost(self, now: int, delay_ns: int, packets: int) -> None:
        self.loss_ns = -1
        while self._floor <= self.largest_acked:
            sent = self._sent.get(self._floor)
            if sent is not None and not sent.lost:
                recent = self.largest_acked - self._floor < packets
                if recent and sent.sent_ns + delay_ns > now:
                    self.loss_ns = sent.sent_ns + delay_ns
                    return
                self._lose(sent)
            self._floor += 1

    def _lose(self, sent: Sent) -> None:
        sent.lost = True
        self.bytes_in_flight -= sent.size
        self.packets_in_flight -= 1
        self.lost_bytes += sent.size
        self.lost_packets += 1
        self.lost_sent_ns = max(self.lost_sent_ns, sent.sent_ns)
        self.lost_tokens += sent.tokens
        self._found(sent, self.lost_cargo)
        sent.cargo = None

    def _out(self) -> list[Sent]:
        return [
            self._sent[number]
            for number in range(self._floor, self._next)
            if number in self._sent and not self._sent[number].lost
        ]

    def oldest_cargo(self) -> Any:
        """The cargo of the oldest packet still out that has one."""
        return next((sent.cargo for sent in self._out() if sent.cargo is not None), None)

    def tokens_out(self) -> list[int]:
        """The tokens of all datagrams still out, oldest first."""
        return [token for sent in self._out() for token in sent.tokens]
