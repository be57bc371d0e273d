"""Round-trip time, and from it: when a packet counts as lost, when to probe.

After RFC 9002 (QUIC loss detection), with thresholds that widen where the
network is seen to reorder.
"""

from typing import Final

from sidereal.transport.settings import MS, SECOND

INITIAL_RTT_NS: Final = 100 * MS
GRANULARITY_NS: Final = 1 * MS
PROBE_MAX_NS: Final = 1 * SECOND
"""Probes never come more seldom than this (or one probe time-out, if longer)."""
PACKET_THRESHOLD: Final = 32
"""More than QUIC's 3: jitter makes packets overtake, and the time threshold finds losses too."""
PACKET_THRESHOLD_MAX: Final = 4096
PEAK_ROUNDS: Final = 3
PEAK_SPAN_ROUNDS: Final = 4
"""The longest flight counts for so many round trips, and for as many more."""
EIGHTHS_MIN: Final = 9
EIGHTHS_MAX: Final = 16
"""The time threshold grows from 9/8 to 2 round trips where packets overtake each other."""
CALM_ACKS: Final = 256
"""And shrinks by an eighth after so many batches of acks without one that did: what was late once
shows in the longest flight anyway, and each loss is to be known soon."""


class Recovery:
    """One connection's estimates."""

    __slots__ = (
        "_calm",
        "_eighths",
        "_peak_before",
        "_peak_now",
        "_peak_until",
        "latest_ns",
        "min_ns",
        "packet_threshold",
        "peak_ns",
        "probes_unanswered",
        "sampled",
        "smoothed_ns",
        "variation_ns",
    )

    def __init__(self) -> None:
        self.smoothed_ns = INITIAL_RTT_NS
        self.variation_ns = INITIAL_RTT_NS // 2
        self.latest_ns = 0
        self.peak_ns = 0
        """The longest time from sending to ack of late; what is slower may well be lost."""
        self.min_ns = 0
        self.sampled = False
        self.probes_unanswered = 0
        self.packet_threshold = PACKET_THRESHOLD
        self._eighths = EIGHTHS_MIN
        self._calm = 0
        self._peak_now = self._peak_before = self._peak_until = 0

    def sample(self, rtt_ns: int, ack_delay_ns: int) -> None:
        """Take one round trip, in which the peer held the ack for ``ack_delay_ns``."""
        if rtt_ns < 1:
            rtt_ns = 1
        self.latest_ns = rtt_ns
        if not self.sampled:
            self.sampled = True
            self.min_ns = self.smoothed_ns = rtt_ns
            self.variation_ns = rtt_ns // 2
            return
        if rtt_ns < self.min_ns:
            self.min_ns = rtt_ns
        if rtt_ns - ack_delay_ns >= self.min_ns:
            rtt_ns -= ack_delay_ns
        self.variation_ns += (abs(self.smoothed_ns - rtt_ns) - self.variation_ns) // 4
        self.smoothed_ns += (rtt_ns - self.smoothed_ns) // 8

    def flew(self, longest_ns: int, now: int) -> None:
        """Take the longest flight of the packets that one batch of acks named."""
        if now >= self._peak_until:
            self._peak_until = now + PEAK_SPAN_ROUNDS * self.smoothed_ns
            self._peak_before, self._peak_now = self._peak_now, 0
        if longest_ns > self._peak_now:
            self._peak_now = longest_ns
        before, newest = self._peak_before, self._peak_now
        self.peak_ns = before if before > newest else newest
        self._calm += 1
        if self._calm >= CALM_ACKS:
            self._calm = 0
            if self._eighths > EIGHTHS_MIN:
                self._eighths -= 1

    def overtaken(self, distance: int, longest_ns: int) -> None:
        """A packet declared lost arrived after all, ``distance`` numbers late.

        No packet of those that came took longer than ``longest_ns``: where that is less than the
        time threshold, it was only the number of packets that was taken for too many.
        """
        if longest_ns >= self.loss_delay_ns:
            self._eighths = min(self._eighths + 1, EIGHTHS_MAX)
            self._calm = 0
        wanted = max(self.packet_threshold * 2, distance + 1)
        self.packet_threshold = min(wanted, PACKET_THRESHOLD_MAX)

    @property
    def loss_delay_ns(self) -> int:
        """How long after a packet's sending it is lost, once a later one was acked."""
        # A flight of many round trips is one whose acks were lost: it says nothing.
        rtt_ns = PEAK_ROUNDS * self.smoothed_ns
        if self.peak_ns < rtt_ns:
            rtt_ns = self.peak_ns
        if rtt_ns < self.smoothed_ns:
            rtt_ns = self.smoothed_ns
        if rtt_ns < self.latest_ns:
            rtt_ns = self.latest_ns
        delay_ns = rtt_ns * self._eighths // 8
        return delay_ns if delay_ns > GRANULARITY_NS else GRANULARITY_NS

    def probe_delay_ns(self, peer_ack_delay_ns: int) -> int:
        """How long after the last sending a probe goes out; doubles while unanswered."""
        spread_ns = 4 * self.variation_ns
        if spread_ns < GRANULARITY_NS:
            spread_ns = GRANULARITY_NS
        once = self.smoothed_ns + spread_ns + peer_ack_delay_ns
        if not self.probes_unanswered:
            return once
        return min(once << min(self.probes_unanswered, 10), max(once, PROBE_MAX_NS))
