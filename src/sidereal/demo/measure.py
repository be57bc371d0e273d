"""What the launcher measures of a run from outside: rates and memory.

Rates are taken between the first and the last look, by the launcher's own clock;
counters are the server's, and nothing that the audit judges rests on them.
"""

import itertools
import threading

import numpy as np

from sidereal.demo.costs import SERVER, STAGE, Costs, costs
from sidereal.demo.processes import Processes
from sidereal.demo.report import ServerFigures, ShardFigures
from sidereal.runtime.clock import now_ns
from sidereal.wire.operator_messages import Status


class Counted:
    """Counters of one server after the other: each begins at its own start."""

    def __init__(self) -> None:
        self.since_start: dict[str, int] = {}
        """How much each rose since the first look."""
        self._term = 0
        self._before: dict[str, int] = {}

    def look(self, status: Status) -> None:
        """Take a server's counters."""
        first = not self._term
        if status.term != self._term:
            self._term = status.term
            # A new server counts from 0; what the old one counted after the last look is lost.
            self._before = dict(status.counters) if first else {}
        for name, count in status.counters.items():
            rose = count - self._before.get(name, 0)
            self.since_start[name] = self.since_start.get(name, 0) + rose
        self._before = dict(status.counters)


class Measure:
    """Looks at a world while it runs."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._counted = Counted()
        self._flow = Counted()
        """The same from the world's first tick on: what came before is no update's."""
        self._flow_ns: list[int] = []
        self.first_tick = 0
        """The world's, once it is known."""
        self._times_ns: list[int] = []
        self._freezes_ns: dict[int, list[int]] = {}
        self._slowest_commit = (0, 0)
        """Microseconds, and the tick in which it began."""
        self._pause = threading.Event()
        self.memory_replication_mb = 0.0
        self.memory_mb: dict[str, float] = {}

    def look(self, status: Status) -> None:
        """Take the world as it stands."""
        self._times_ns.append(now_ns())
        self._counted.look(status)
        if status.tick >= self.first_tick:
            self._flow_ns.append(now_ns())
            self._flow.look(status)
        self._take(status)

    def _take(self, status: Status) -> None:
        self._freezes_ns[status.term] = list(status.freezes_ns)
        counters = status.counters
        commit = counters.get("commit_max_us", 0), counters.get("commit_max_tick", 0)
        if commit[1] >= self.first_tick:
            self._slowest_commit = max(self._slowest_commit, commit)

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
        return self._counted.since_start.get(counter, 0)

    @property
    def seconds(self) -> float:
        """The time between the first and the last look."""
        if not self._times_ns:
            return 0.0
        return (self._times_ns[-1] - self._times_ns[0]) / 1e9

    def server(self, status: Status) -> ServerFigures:
        """Return what only the server and the system know of the run."""
        self._take(status)
        took_us, tick = self._slowest_commit
        freezes = itertools.chain.from_iterable(self._freezes_ns.values())
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
            # What was found after the last look counts as well.
            audit_differences=max(
                self.rise("audit_differences"), status.counters.get("audit_differences", 0)
            ),
            migration_freeze_ns=np.fromiter(freezes, np.int64),
            slowest_commit_us=took_us,
            slowest_commit_tick=tick,
        )

    def costs(self) -> Costs:
        """Return what the server's stages cost for an update, while the world ran."""
        rose = self._flow.since_start
        used = {
            name.removeprefix(STAGE): spent_us * 1000
            for name, spent_us in rose.items()
            if name.startswith(STAGE)
        }
        return costs(
            SERVER,
            rose.get("updates", 0),
            used,
            rose.get("packets", 0),
            rose.get("bytes_received", 0) + rose.get("bytes_sent", 0),
            (self._flow_ns[-1] - self._flow_ns[0]) / 1e9 if self._flow_ns else 0.0,
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
