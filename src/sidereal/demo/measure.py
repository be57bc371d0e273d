"""What the launcher measures of a run from outside: rates and memory.

Rates are taken between the first and the last look, by the launcher's own clock;
counters are the server's, and nothing that the audit judges rests on them.
"""

import threading
from dataclasses import dataclass

import numpy as np

from sidereal.demo.processes import Processes
from sidereal.demo.report import ServerFigures, ShardFigures
from sidereal.runtime.clock import now_ns
from sidereal.wire.operator_messages import Status


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the world."""

    time_ns: int
    counters: dict[str, int]


class Measure:
    """Looks at a world while it runs."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._looks: list[Look] = []
        self._pause = threading.Event()
        self.memory_replication_mb = 0.0
        self.memory_mb: dict[str, float] = {}

    def look(self, status: Status) -> None:
        """Take the world as it stands."""
        self._looks.append(Look(now_ns(), status.counters))

    def nap(self, seconds: float) -> None:
        """Wait until the next look."""
        self._pause.wait(seconds)

    def ended(self) -> None:
        """Take the most memory that each process has had, while they still run."""
        server = self._processes.server
        self.memory_replication_mb = server.memory_mb() if server is not None else 0.0
        self.memory_mb = {shard.name: shard.memory_mb() for shard in self._processes.shards}

    def rise(self, counter: str) -> int:
        """Return how much a counter of the server rose between the first and the last look."""
        if not self._looks:
            return 0
        first, last = self._looks[0], self._looks[-1]
        return last.counters.get(counter, 0) - first.counters.get(counter, 0)

    @property
    def seconds(self) -> float:
        """The time between the first and the last look."""
        if not self._looks:
            return 0.0
        return (self._looks[-1].time_ns - self._looks[0].time_ns) / 1e9

    def server(self, status: Status) -> ServerFigures:
        """Return what only the server and the system know of the run."""
        return ServerFigures(
            migrations=self.rise("migrations"),
            activations=self.rise("activations"),
            deactivations=self.rise("deactivations"),
            updates=self.rise("updates"),
            bytes=self.rise("bytes_received") + self.rise("bytes_sent"),
            tick_overruns=self.rise("server_overruns"),
            custody_oldest_s=status.custody_oldest_ns / 1e9,
            memory_mb=self.memory_replication_mb,
            audit_sectors=self.rise("audit_sectors"),
            audit_differences=self.rise("audit_differences"),
            migration_freeze_ns=np.array(status.freezes_ns, np.int64),
        )

    def shards(self, status: Status) -> list[ShardFigures]:
        """Return what is known from outside of each shard that lives."""
        processes = {p.name: p for p in self._processes.shards}
        return [
            ShardFigures(
                id=shard.shard_id,
                pid=processes[shard.name].pid,
                sectors=shard.sectors,
                memory_mb=self.memory_mb[shard.name],
            )
            for shard in sorted(status.shards, key=lambda shard: shard.name)
            if shard.alive and shard.name in self.memory_mb
        ]
