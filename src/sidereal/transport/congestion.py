"""How many bytes may be on their way: an interface, and two controllers behind it.

`Reno` is RFC 9002's controller with a floor, so that random loss slows but does
not strangle it. `Fixed` is for links whose capacity is known. A rate-based one
gets all it needs in the same `Sample`.
"""

from dataclasses import dataclass
from typing import Protocol

from sidereal.transport.settings import TransportSettings


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
    """Slow start, then one datagram more each round trip; half at a loss."""

    __slots__ = ("_datagram", "_max", "_min", "_recovery_ns", "_threshold", "window")

    def __init__(self, settings: TransportSettings) -> None:
        self.window = settings.window_bytes_initial
        self._datagram = settings.datagram_bytes
        self._min = settings.window_bytes_min
        self._max = settings.window_bytes_max
        self._threshold = settings.window_bytes_max
        self._recovery_ns = -1

    def update(self, sample: Sample) -> None:
        """Grow by what was acked; halve once a round trip in which something was lost."""
        if sample.lost_sent_ns > self._recovery_ns:
            self._recovery_ns = sample.now
            self._threshold = max(self.window // 2, self._min)
            self.window = self._threshold
        elif sample.acked_bytes and sample.window_limited:
            if self.window < self._threshold:
                self.window += sample.acked_bytes
            else:
                self.window += max(1, self._datagram * sample.acked_bytes // self.window)
            self.window = min(self.window, self._max)

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
