"""What the launcher measures of a run from outside: rates, balance, memory.

Rates are taken between the first and the last look, by the launcher's own clock;
counters are the server's, and nothing that the audit judges rests on them.
"""

import threading
from dataclasses import dataclass

from sidereal.demo.processes import Processes
from sidereal.runtime.clock import now_ns
from sidereal.wire.operator_messages import Status


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the world."""

    time_ns: int
    counters: dict[str, int]
    loads: tuple[int, ...]
    entities: int


class Measure:
    """Looks at a world while it runs."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._looks: list[Look] = []
        self._pause = threading.Event()
        self.memory_replication_mb = 0.0
        self.memory_shards_mb: list[float] = []
        self.server_tick_ms = (0.0, 0.0)

    def look(self, status: Status) -> None:
        """Take the world as it stands."""
        loads = tuple(shard.entities for shard in status.shards if shard.alive)
        self._looks.append(Look(now_ns(), status.counters, loads, status.entities))

    def nap(self, seconds: float) -> None:
        """Wait until the next look."""
        self._pause.wait(seconds)

    def ended(self) -> None:
        """Take the most memory that each process has had, while they still run."""
        server = self._processes.server
        self.memory_replication_mb = server.memory_mb() if server is not None else 0.0
        self.memory_shards_mb = [shard.memory_mb() for shard in self._processes.shards]

    def per_s(self, counter: str) -> float:
        """Return how fast a counter of the server rose."""
        if len(self._looks) < 2:
            return 0.0
        first, last = self._looks[0], self._looks[-1]
        rise = last.counters.get(counter, 0) - first.counters.get(counter, 0)
        return rise / max(1e-9, (last.time_ns - first.time_ns) / 1e9)

    def entities_peak(self) -> int:
        """Return the most entities that the server has had at a look."""
        return max((look.entities for look in self._looks), default=0)

    def imbalance(self) -> tuple[float, float]:
        """Return the mean and the largest of load max/mean over the shards that lived."""
        ratios = [
            max(look.loads) * len(look.loads) / sum(look.loads)
            for look in self._looks
            if sum(look.loads)
        ]
        return (sum(ratios) / len(ratios), max(ratios)) if ratios else (0.0, 0.0)
