"""How a process keeps its pace: ticks run, ticks that overran, and how long they took."""

import time
from collections import deque

import numpy as np

from sidereal.runtime.clock import now_ns

KEPT = 1200
"""Durations kept for percentiles: a minute at 20 Hz."""


class Pace:
    """Counts ticks and overruns; an overrun is a tick that ends after the next was due."""

    def __init__(self) -> None:
        self.ticks = 0
        self.overruns = 0
        self._took_ns: deque[int] = deque(maxlen=KEPT)

    def tick(self, due_ns: int, started_ns: int) -> None:
        """Note a tick that was due at `due_ns` and whose work began at `started_ns`."""
        self.ticks += 1
        self._took_ns.append(now_ns() - max(due_ns, started_ns))

    def overrun(self) -> None:
        """Note that the next tick was due before this one ended."""
        self.overruns += 1

    def percentiles_ms(self) -> tuple[float, float]:
        """Return the 50th and 99th percentile of the durations, in ms; zeros before the first."""
        if not self._took_ns:
            return 0.0, 0.0
        p50, p99 = np.percentile(np.fromiter(self._took_ns, np.int64), [50, 99])
        return float(p50) / 1e6, float(p99) / 1e6

    @staticmethod
    def breathe(pause_ns: int) -> None:
        """Let more arrive before the next pass, so that it costs less a datagram."""
        time.sleep(pause_ns / 1e9)
