"""How many bytes may be on their way: an interface, and two controllers behind it.

`Reno` is RFC 9002's controller made to tell random loss from congestion; `Fixed` is
for links whose capacity is known. A rate-based one gets all it needs in the same
`Sample`.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from sidereal.transport.settings import MS, TransportSettings

QUEUE_NS: Final = 50 * MS
"""Delay beyond the shortest seen at which a window grows no more: less is a busy process."""
CONGESTED_NS: Final = 5 * MS
"""Delay beyond the shortest seen (or a quarter of it) at which a loss means a full queue."""
RANDOM_LOSS_MAX: Final = 0.2
"""More than this lost in a round trip is congestion, whatever the delay."""
RATE_ROUNDS: Final = 10
"""Round trips over which the best delivery rate is remembered."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one batch of acks said. Bytes count whole packets, headers included."""

    now: int
    acked_bytes: int
    lost_bytes: int
    lost_sent_ns: int
    """When the newest lost packet was sent; -1 if none was."""
    in_flight_bytes: int
    """After the acks."""
    rtt_ns: int
    min_rtt_ns: int
    delivery_bytes_per_s: float
    """Measured over the newest acked packet's flight; 0 if unknown."""
    window_limited: bool
    """Whether the window, not the user, held back sending."""


class Controller(Protocol):
    """What a connection asks of its congestion controller."""

    window: int
    """Bytes that may be in flight."""

    def update(self, sample: Sample) -> None:
        """Learn from acks and losses."""

    def stalled(self) -> None:
        """Several probes in a row went unanswered."""


class Reno:
    """Slow start, then one datagram more each round trip; less when a queue overflows.

    A loss while no queue has formed is the network's noise and changes nothing. One
    with a queue brings the window down to what the path carried at its shortest
    round trip, at most by half and at most once a round trip (after TCP
    Westwood+, Mascolo et al. 2001).
    """

    __slots__ = (
        "_datagram",
        "_max",
        "_min",
        "_rates",
        "_recovery_ns",
        "_round_acked",
        "_round_lost",
        "_round_ns",
        "_threshold",
        "window",
    )

    def __init__(self, settings: TransportSettings) -> None:
        self.window = settings.window_bytes_initial
        self._datagram = settings.datagram_bytes
        self._min = settings.window_bytes_min
        self._max = settings.window_bytes_max
        self._threshold = settings.window_bytes_max
        self._recovery_ns = -1
        self._round_ns = -1
        self._round_acked = self._round_lost = 0
        self._rates: list[float] = [0.0]

    def update(self, sample: Sample) -> None:
        """Grow by what was acked; shrink once a round trip in which a queue overflowed."""
        if sample.now - self._round_ns > sample.rtt_ns:
            self._round_ns = sample.now
            self._round_acked = self._round_lost = 0
            self._rates = [*self._rates[1 - RATE_ROUNDS :], 0.0]
        self._round_acked += sample.acked_bytes
        self._round_lost += sample.lost_bytes
        self._rates[-1] = max(self._rates[-1], sample.delivery_bytes_per_s)
        if sample.lost_sent_ns > self._recovery_ns:
            if self._congested(sample):
                self._recovery_ns = sample.now
                carried = int(max(self._rates) * sample.min_rtt_ns / 1e9)
                self.window = max(self._min, self.window // 2, min(carried, self.window * 9 // 10))
                self._threshold = self.window
        elif sample.acked_bytes and sample.window_limited and not self._queueing(sample):
            if self.window < self._threshold:
                self.window += sample.acked_bytes
            else:
                self.window += max(1, self._datagram * sample.acked_bytes // self.window)
            self.window = min(self.window, self._max)

    def _congested(self, sample: Sample) -> bool:
        """Whether what was lost was lost to a full queue."""
        if sample.rtt_ns > sample.min_rtt_ns + max(CONGESTED_NS, sample.min_rtt_ns // 4):
            return True
        both = self._round_acked + self._round_lost
        return both > 32 * self._datagram and self._round_lost > RANDOM_LOSS_MAX * both

    @staticmethod
    def _queueing(sample: Sample) -> bool:
        """Whether a larger window would only lengthen a queue, and control waits in it too."""
        return sample.rtt_ns > sample.min_rtt_ns + max(QUEUE_NS, sample.min_rtt_ns // 2)

    def stalled(self) -> None:
        """Start again from the smallest window."""
        self._threshold = max(self.window // 2, self._min)
        self.window = self._min


class Fixed:
    """A constant window."""

    __slots__ = ("window",)

    def __init__(self, settings: TransportSettings) -> None:
        self.window = settings.window_bytes_max

    def update(self, sample: Sample) -> None:
        """Nothing to learn."""

    def stalled(self) -> None:
        """Nothing to change."""


def controller_of(settings: TransportSettings) -> Controller:
    """Return the controller that the settings name."""
    return Fixed(settings) if settings.congestion == "fixed" else Reno(settings)
