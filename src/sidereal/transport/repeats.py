"""Control data goes again before it is known to be lost, where the network loses much.

In an ordered channel all that follows waits for what was lost, and that something was lost shows
only after more than a round trip. So control bytes, which are few, are sent a second and a third
time, each copy a part of a round trip after the one before, until they are acknowledged: as many
copies as it takes that hardly ever all are lost. A network that loses little sees no copy, and
copies never take more than a share of the congestion window. Of bulk data only what was lost twice
goes again so: what waits behind it may fill the receiver's window.
"""

from collections import deque
from math import ceil, log
from typing import Final

from sidereal.transport.layout import CONTROL
from sidereal.transport.settings import MS

LOSS_MIN: Final = 0.01
"""Below this share of packets lost nothing is repeated."""
LOSS_ASSUMED: Final = 0.02
ASSUMED_PACKETS: Final = 64
"""What is assumed of a network before it is known: as if so many packets had shown it. A link's
first messages are not to wait longer than others."""
LOSS_MAX: Final = 0.25
"""Above this a network is rather full than lossy, and bulk data is better sent once."""
LOSS_PACKETS: Final = 256
"""The share is that of about so many packets of late."""
ALL_LOST: Final = 0.001
"""How often all copies may be lost, were each lost by itself."""
COPIES_MAX: Final = 3
"""Beside the first."""
RTT_MIN_NS: Final = 10 * MS
"""Where a round trip is shorter, what is lost goes again soon enough."""
SPACING_PART: Final = 8
"""Copies are this part of a round trip apart: losses come in bursts."""
WINDOW_PART: Final = 4
"""Copies take no more than this part of the congestion window in each round trip."""


class Repeats:
    """The control bytes of one connection that will go again, and when."""

    __slots__ = ("_allowance", "_allowed_at", "_due", "_known", "at", "copies", "loss")

    def __init__(self) -> None:
        self.loss = LOSS_ASSUMED
        """Share of packets that were lost of late."""
        self.copies = 1
        """How often each control byte goes again, unless it is acknowledged earlier."""
        self.at: int | None = None
        """When `due` has something to say, absolute nanoseconds."""
        self._due: deque[tuple[int, int, int, int, int]] = deque()
        """When, channel, first offset, end, copies after this one."""
        self._allowance = 0.0
        self._allowed_at = 0
        self._known = ASSUMED_PACKETS
        """How many packets the share is of, up to LOSS_PACKETS."""

    def fared(self, acked: int, lost: int) -> None:
        """Take how many packets arrived, and how many did not; fewer than 0 where they did late."""
        packets = acked + max(0, lost)
        self._known = min(LOSS_PACKETS, self._known + packets)
        memory = max(self._known, packets)
        share = self.loss + (lost - self.loss * packets) / memory
        self.loss = min(1.0, max(0.0, share))
        if self.loss < LOSS_MIN:
            self.copies = 0
        else:
            sent = ceil(log(ALL_LOST) / log(min(self.loss, 0.5)))
            self.copies = min(COPIES_MAX, sent - 1)

    def sent(self, channel: int, start: int, end: int, now: int, rtt_ns: int) -> None:
        """Bytes ``[start, end)`` of a channel leave, and are to go again."""
        if self.copies and rtt_ns >= RTT_MIN_NS and (channel == CONTROL or self.loss < LOSS_MAX):
            self._put(now + rtt_ns // SPACING_PART, channel, start, end, self.copies - 1)

    def due(self, now: int, rtt_ns: int, window: int) -> list[tuple[int, int, int]]:
        """Return the ranges ``(channel, start, end)`` that are to go again now.

        Parameters
        ----------
        rtt_ns
            The smoothed round trip.
        window
            The congestion window, in bytes.
        """
        bound = window / WINDOW_PART
        gained = bound * max(0, now - self._allowed_at) / max(1, rtt_ns)
        self._allowance = min(bound, self._allowance + gained)
        self._allowed_at = now
        ranges = []
        while self._due and self._due[0][0] <= now:
            _, channel, start, end, left = self._due.popleft()
            end = min(end, start + int(self._allowance))
            if end == start:
                continue
            self._allowance -= end - start
            ranges.append((channel, start, end))
            if left:
                self._put(now + rtt_ns // SPACING_PART, channel, start, end, left - 1)
        self.at = self._due[0][0] if self._due else None
        return ranges

    def _put(self, at: int, channel: int, start: int, end: int, left: int) -> None:
        """Keep the times in order, though the round trip may have become shorter."""
        if self._due:
            latest, *before, first, last, same = self._due[-1]
            if at <= latest:
                at = latest
            if before == [channel] and start == last and left == same and at - latest < MS:
                # What leaves in one moment goes again in one piece.
                self._due[-1] = (latest, channel, first, end, left)
                return
        self._due.append((at, channel, start, end, left))
        if self.at is None:
            self.at = at
