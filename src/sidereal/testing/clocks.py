"""Virtual time: the one true clock of a simulation, and the clocks that its processes read."""

import heapq
import itertools
from collections.abc import Callable

PPM = 1_000_000


class Clockwork:
    """True time in nanoseconds: calls to be made, by their time and then in order of making."""

    def __init__(self) -> None:
        self.now = 1_000_000_000
        self._order = itertools.count()
        self._calls: list[tuple[int, int, Callable[[], None]]] = []

    def at(self, when: int, call: Callable[[], None]) -> None:
        """Make `call` at `when`, or now where that has passed."""
        heapq.heappush(
            self._calls, (when if when > self.now else self.now, next(self._order), call)
        )

    def run_until(self, end: int, after_each: Callable[[], None]) -> None:
        """Make every call due until `end`, and `after_each` after each instant."""
        calls = self._calls
        while calls and calls[0][0] <= end:
            now = self.now = calls[0][0]
            while calls and calls[0][0] == now:
                heapq.heappop(calls)[2]()
            after_each()
        self.now = end


class LocalClock:
    """A process's own clock: it began elsewhere, and runs a little fast or slow.

    Parameters
    ----------
    clock
        True time.
    ahead_ns
        How far it is ahead of true time now.
    drift_ppm
        How many microseconds it gains in a true second; negative: loses.
    """

    def __init__(self, clock: Clockwork, ahead_ns: int = 0, drift_ppm: int = 0) -> None:
        self._clock = clock
        self._began = clock.now
        self._ahead_ns = ahead_ns
        self.drift_ppm = drift_ppm

    @property
    def now(self) -> int:
        """What it shows."""
        true_ns = self._clock.now
        if not self.drift_ppm:
            return true_ns + self._ahead_ns
        return true_ns + self._ahead_ns + (true_ns - self._began) * self.drift_ppm // PPM

    def at(self, true_ns: int) -> int:
        """Return what it shows at a moment of true time."""
        return true_ns + self._ahead_ns + (true_ns - self._began) * self.drift_ppm // PPM

    def true(self, local_ns: int) -> int:
        """Return the first moment of true time at which it shows `local_ns` or later."""
        since = local_ns - self._ahead_ns - self._began
        guess = self._began + since * PPM // (PPM + self.drift_ppm)
        while self.at(guess) < local_ns:
            guess += 1
        return guess
