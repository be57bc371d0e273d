"""A world of columns in memory, as a shard would hand it to a simulation."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sidereal.simulations import blob


@dataclass
class Ghosts:
    ids: Any = field(default_factory=lambda: np.zeros(0, np.uint64))
    position: Any = field(default_factory=lambda: np.zeros((0, 2)))
    velocity: Any = field(default_factory=lambda: np.zeros((0, 2)))


class SmallWorld:
    def __init__(self, position, velocity=None, state=None, tick=1, tick_hz=20.0, ids=None):
        n = len(position)
        self.tick, self.tick_hz = tick, tick_hz
        self.ids = np.arange(1, n + 1, dtype=np.uint64) if ids is None else ids
        self.position = np.array(position, np.float64).reshape(n, 2)
        self.velocity = np.zeros((n, 2)) if velocity is None else np.array(velocity, np.float64)
        self.state = np.zeros(n, blob.STATE) if state is None else state
        self.since = np.full(n, tick - 1, np.uint32)
        self.flags = np.zeros(n, np.uint32)
        self.ghosts = Ghosts()
        self.destroyed: list[int] = []

    def destroy(self, rows):
        rows = np.asarray(rows)
        picked = self.ids[rows]
        self.destroyed.extend(int(i) for i in picked)

    def run(self, simulation, ticks):
        """Step ``ticks`` times without a gap."""
        for _ in range(ticks):
            simulation.step(self, 1 / self.tick_hz)
            self.since[:] = self.tick
            self.tick += 1
