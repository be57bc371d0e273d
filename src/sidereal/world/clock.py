"""World time away from the replication server: its ticks, by a clock that is not ours.

Each exchange gives a sample of the server's clock, wrong by at most half the
round trip. The sample with the shortest trip of the last few is the best; the
offset slews towards it, so that world time never jumps back nor runs wild.
"""

from collections import deque

SAMPLES = 8
SLEW_PER_NS = 0.05
"""World time gains or loses at most a twentieth while it corrects itself."""


class WorldClock:
    """The server's clock as seen from here. Times in integer nanoseconds."""

    def __init__(self, origin_ns: int, tick_ns: int) -> None:
        self.origin_ns = origin_ns
        self.tick_ns = tick_ns
        self._samples: deque[tuple[int, int]] = deque(maxlen=SAMPLES)
        self._offset_ns: int | None = None
        self._slewed_ns = 0

    def sample(self, sent_ns: int, server_ns: int, now: int) -> None:
        """Take an answer: sent here at `sent_ns`, answered at the server's `server_ns`."""
        trip_ns = max(0, now - sent_ns)
        self._samples.append((trip_ns, server_ns + trip_ns // 2 - now))
        _, best = min(self._samples)
        if self._offset_ns is None:
            self._offset_ns = best
        else:
            room = max(0, int((now - self._slewed_ns) * SLEW_PER_NS))
            self._offset_ns += max(-room, min(room, best - self._offset_ns))
        self._slewed_ns = now

    def server_ns(self, now: int) -> int:
        """Return the server's clock at our `now`; it must have been sampled."""
        assert self._offset_ns is not None, "no sample of the server's clock yet"
        return now + self._offset_ns

    def tick_at(self, now: int) -> int:
        """Return the world tick that has begun at our `now`."""
        return max(0, (self.server_ns(now) - self.origin_ns) // self.tick_ns)

    def begins_ns(self, tick: int) -> int:
        """Return when, by our clock, `tick` begins."""
        assert self._offset_ns is not None, "no sample of the server's clock yet"
        return self.origin_ns + tick * self.tick_ns - self._offset_ns
