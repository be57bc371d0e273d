"""How many entities cross each border, smoothed: what a cut there would cost.

Crossings are counted per pair of neighbouring sectors, whichever shards hold
them, and averaged with a half-life, so that moving a sector can be weighed
before it is moved.
"""

import numpy as np
from numpy.typing import NDArray

from sidereal import kernel
from sidereal.ids import Sector

HALF_LIFE_S = 5.0
"""Measured: a half-life of 5 s balances better than 20 s by a tenth of the mean load."""

FORGET_BELOW_PER_S = 0.01

Edge = tuple[Sector, Sector]


class Flux:
    """Crossings per second on each edge, both directions together."""

    def __init__(self) -> None:
        self.per_s: dict[Edge, float] = {}
        self._beside: dict[Sector, list[tuple[Sector, float]]] | None = None
        """By sector, once somebody asks: a round of rebalancing does, an observation does not."""

    def observe(
        self, crossed: list[tuple[NDArray[np.int32], NDArray[np.int32]]], elapsed_s: float
    ) -> None:
        """Fold the crossings (from, to) of the last `elapsed_s` seconds in."""
        keep = 0.5 ** (elapsed_s / HALF_LIFE_S)
        self.per_s = {
            edge: rate * keep
            for edge, rate in self.per_s.items()
            if rate * keep >= FORGET_BELOW_PER_S
        }
        if crossed and elapsed_s > 0:
            self._add(crossed, (1 - keep) / elapsed_s)
        self._beside = None

    def _add(
        self, crossed: list[tuple[NDArray[np.int32], NDArray[np.int32]]], weight_per_s: float
    ) -> None:
        source = np.concatenate([pair[0] for pair in crossed])
        target = np.concatenate([pair[1] for pair in crossed])
        columns = (column.tolist() for column in kernel.flux(source, target))
        for (ax, ay), (bx, by), count in zip(*columns, strict=True):
            edge = ((ax, ay), (bx, by)) if (ax, ay) <= (bx, by) else ((bx, by), (ax, ay))
            self.per_s[edge] = self.per_s.get(edge, 0.0) + weight_per_s * count

    def around(self, coords: Sector) -> list[tuple[Sector, float]]:
        """Return the sectors that entities cross to or from, with the crossings per second."""
        if self._beside is None:
            self._beside = {}
            for (a, b), rate in self.per_s.items():
                if a != b:
                    self._beside.setdefault(a, []).append((b, rate))
                    self._beside.setdefault(b, []).append((a, rate))
        return self._beside.get(coords, [])
