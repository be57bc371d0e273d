"""The `flock` simulation: birds that see their neighbours, also those across a border.

After Reynolds, "Flocks, Herds, and Schools" (SIGGRAPH 1987): keep apart, match
the neighbours' velocity, move to their middle. Neighbours beyond this shard's
border are ghosts: they are seen, never moved.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sidereal.simulations import blob
from sidereal.simulations.api import World
from sidereal.simulations.drift import GOLDEN, UNITS_PER_S, DriftField
from sidereal.simulations.neighbours import near_pairs
from sidereal.simulations.replay import numbers_of, world_side
from sidereal.simulations.tracks import F64

SIGHT_OF_SECTOR = 0.05
"""How far a bird sees, in sector sizes: half the default ghost radius, so none is missed."""

APART, ALIGN, GATHER, HOME = 2.0, 1.0, 0.3, 1.0
"""Urges, in 1/s of the cruising speed at full strength."""


class FlockField(DriftField):
    """A plan's view of `flock`: where each bird is let go; where it flies, nobody can foresee."""

    foreseen = False


class FlockSimulation:
    """Boids in a disc as large as the demo's world.

    Parameters
    ----------
    options : mapping
        ``entities``, ``crowd``, ``sector_size``, ``speed``, ``seed``.
    """

    state_dtype = blob.STATE
    ghosts = True

    def __init__(self, options: Mapping[str, Any]) -> None:
        chosen = numbers_of(options)
        self._radius = world_side(chosen["entities"], chosen["crowd"], chosen["sector_size"]) / 2
        self._sight = SIGHT_OF_SECTOR * chosen["sector_size"]
        self._pace = UNITS_PER_S * chosen["speed"]

    def life(self, world: World) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        """First and last tick of each row's life, 0 for none."""
        return world.state["birth"], world.state["end"]

    def step(self, world: World, dt: float) -> None:
        """Steer by what each bird sees, then fly."""
        alive = blob.account(world)
        velocity = world.velocity + self._urge(world) * (dt * self._pace)
        world.velocity[:] = self._cruising(velocity, world.ids)
        seconds = (world.tick - world.since.astype(np.int64)) * dt
        world.position += world.velocity * seconds[:, None]
        if not alive.all():
            world.destroy(~alive)

    def _urge(self, world: World) -> F64:
        """The sum of a bird's wishes, (n, 2)."""
        here, speed = world.position, world.velocity
        seen_position = np.concatenate((here, world.ghosts.position))
        seen_velocity = np.concatenate((speed, world.ghosts.velocity))
        i, j = near_pairs(here, seen_position, self._sight)
        others = i != j
        i, j = i[others], j[others]
        away = (here[i] - seen_position[j]) / self._sight
        distance_sq = np.maximum((away**2).sum(axis=1, keepdims=True), 1e-4)
        apart = _summed(i, away / distance_sq * (distance_sq < 0.25), len(here))
        count = np.maximum(np.bincount(i, minlength=len(here)), 1)[:, None]
        align = _summed(i, seen_velocity[j] - speed[i], len(here)) / (count * self._pace)
        gather = -_summed(i, away, len(here)) / count
        urge: F64 = APART * apart / count + ALIGN * align + GATHER * gather
        return urge + HOME * self._home(here)

    def _home(self, here: F64) -> F64:
        """Outside the disc, the way back."""
        distance = np.maximum(np.hypot(here[:, 0], here[:, 1]), 1e-9)[:, None]
        way: F64 = np.where(distance > self._radius, -here / distance, 0.0)
        return way

    def _cruising(self, velocity: F64, ids: npt.NDArray[np.uint64]) -> F64:
        """Between half and twice the pace; who stands still sets off in a direction of its own."""
        speed = np.hypot(velocity[:, 0], velocity[:, 1])
        still = speed < 1e-9 * self._pace
        angle = (ids * GOLDEN).astype(np.float64) * (2 * np.pi / 2**64)
        own = np.stack((np.cos(angle), np.sin(angle)), axis=1) * self._pace
        speed = np.where(still, self._pace, speed)
        velocity = np.where(still[:, None], own, velocity)
        kept: F64 = np.clip(speed, 0.5 * self._pace, 2 * self._pace)
        steady: F64 = velocity * (kept / speed)[:, None]
        return steady


def _summed(index: npt.NDArray[np.int64], values: F64, length: int) -> F64:
    """Add up values (pairs, 2) by index into (length, 2)."""
    summed: F64 = np.stack(
        [np.bincount(index, weights=values[:, axis], minlength=length) for axis in (0, 1)], axis=1
    )
    return summed
