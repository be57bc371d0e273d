"""What strikes have done that is to end, and what several of them need."""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from sidereal.replication.settings import MS
from sidereal.testing.lines import Line
from sidereal.testing.shards import SimulatedShard

if TYPE_CHECKING:
    from sidereal.testing.simulation import Simulation


class Blows:
    """What strikes have done that is to end: each thing once, at its time or when all is healed."""

    def __init__(self, simulation: "Simulation") -> None:
        self.simulation = simulation
        self.cluster = simulation.cluster
        self.lease_ns = simulation.plan.lease_ns
        self._undone: dict[int, Callable[[], None]] = {}
        self._count = 0

    def until(self, when_ns: int, undo: Callable[[], None]) -> None:
        """Have something undone so much later, or when all is healed."""
        self._count += 1
        number = self._count
        self._undone[number] = undo
        self.cluster.clock.at(self.cluster.clock.now + when_ns, partial(self._undo, number))

    def _undo(self, number: int) -> None:
        undo = self._undone.pop(number, None)
        if undo is not None:
            undo()

    def heal(self) -> None:
        """Undo everything now."""
        for number in list(self._undone):
            self._undo(number)

    def later(self, when_ns: int, call: Callable[[], None]) -> None:
        """Do something so much later, unless all is healed before."""
        number = self._count = self._count + 1
        self._undone[number] = call
        self.cluster.clock.at(self.cluster.clock.now + when_ns, partial(self._undo, number))

    def hold(self, line: Line, ns: int, *directions: str) -> None:
        """Cut directions of a line for a while."""
        line.hold(*directions)
        self.until(ns, partial(line.release, *directions))

    def crash(self, shard: SimulatedShard, random: Random, back_ns: int | None = None) -> None:
        """Kill a process; the next incarnation starts a while later."""
        shard.kill(lost=random.random() < 0.5)
        after = back_ns if back_ns is not None else random.choice([20, 200, 600, 2000]) * MS
        self.later(after, partial(self.restart, shard.name))

    def restart(self, name: str) -> None:
        """Start a process of a name, unless one lives."""
        if not any(shard.alive and shard.name == name for shard in self.cluster.shards):
            self.simulation.join(name)


def span(blows: Blows, random: Random, *leases: float) -> int:
    """Return about one of these many leases, in nanoseconds."""
    return round(blows.lease_ns * random.choice(leases) * random.uniform(0.8, 1.2))
