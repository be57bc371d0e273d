"""How much may be on its way, and how fast it leaves: an interface, and a fixed answer.

The default controller is in `rate`. `Fixed` is for trusted links whose capacity is known.
"""

from typing import Protocol

from msgspec import Struct

from sidereal.transport.settings import TransportSettings


class Sample(Struct, frozen=True, gc=False):
    """What one batch of acks said. Bytes count whole packets, headers included.

    A Struct, for it is made with each of them.
    """

    now: int
    acked_bytes: int
    lost_bytes: int
    spurious_bytes: int
    """Counted as lost before, and now acknowledged after all."""
    delivered: int
    """All bytes ever acknowledged."""
    acked_after: int
    """How many had been acknowledged when the newest packet acked here was sent."""
    acked_packets: int
    flight_ns: int
    """The sum of their times from sending to ack: its mean ties bytes in flight to a rate."""
    flight_min_ns: int
    """The shortest of these times."""
    loss_delay_ns: int
    """How long after its sending a packet is given up."""
    delivery_bytes_per_s: float
    """Measured over the newest acked packet's flight; 0 if unknown."""
    window_limited: bool
    """Whether the window, not the user, held back sending."""


class Controller(Protocol):
    """What a connection asks of its congestion controller."""

    window: int
    """Bytes that may be in flight."""
    pacing_bytes_per_s: float
    """How fast they may leave; 0 for no bound."""

    def update(self, sample: Sample) -> None:
        """Learn from acks and losses."""

    def stalled(self) -> None:
        """Several probes in a row went unanswered."""


class Fixed:
    """A constant rate, and a window wide enough for it."""

    __slots__ = ("pacing_bytes_per_s", "window")

    def __init__(self, settings: TransportSettings) -> None:
        self.window = settings.window_bytes_max
        self.pacing_bytes_per_s = settings.fixed_bytes_per_s

    def update(self, sample: Sample) -> None:
        """Nothing to learn."""

    def stalled(self) -> None:
        """Nothing to change."""
