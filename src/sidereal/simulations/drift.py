"""The `drift` simulation: straight lines at constant speed, turning at the walls of a box.

An entity's path has a closed form (`folded`), and handoffs go on for ever. An
entity that stands still is pushed in a direction of its own, so the simulation
also moves entities that somebody else created.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sidereal.simulations import blob
from sidereal.simulations.api import World
from sidereal.simulations.blob import ENDLESS
from sidereal.simulations.replay import Ints, numbers_of, world_side
from sidereal.simulations.tracks import F64, I64

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""Spreads successive ids evenly over the circle (2^64 over the golden ratio)."""

UNITS_PER_S = 10.0
"""The drift's speed at ``speed`` 1, in units per second."""


def folded(position: F64, velocity: F64, half: float) -> tuple[F64, F64]:
    """Fold straight paths back into the box ``[-half, half]`` on both axes.

    Parameters
    ----------
    position, velocity : (n, 2) float64
        Where the path would be without walls, and its velocity there.

    Returns
    -------
    position, velocity : (n, 2) float64
        After all reflections; rows inside the box are returned bit for bit.
    """
    out = np.abs(position) > half
    wrapped = np.mod(position[out] + half, 4 * half)
    back = wrapped > 2 * half
    position, velocity = position.copy(), velocity.copy()
    position[out] = np.where(back, 4 * half - wrapped, wrapped) - half
    velocity[out] *= np.where(back, -1.0, 1.0)
    return position, velocity


class DriftField:
    """A plan's view of `drift`: where each copy begins, and where it is at an age.

    Parameters
    ----------
    options : mapping
        ``entities``, ``crowd``, ``sector_size``, ``tick_hz``, ``speed``, ``seed``.
    """

    foreseen = True

    def __init__(self, options: Mapping[str, Any]) -> None:
        chosen = numbers_of(options)
        self.entities: int = chosen["entities"]
        self.tick_hz: float = chosen["tick_hz"]
        self.side = world_side(self.entities, chosen["crowd"], chosen["sector_size"])
        draw = np.random.default_rng(chosen["seed"])
        self._place = draw.uniform(-self.side / 2, self.side / 2, (self.entities, 2))
        angle = draw.uniform(0.0, 2 * np.pi, self.entities)
        pace = draw.uniform(0.5, 1.5, self.entities) * UNITS_PER_S * chosen["speed"]
        self._velocity = pace[:, None] * np.stack((np.cos(angle), np.sin(angle)), axis=1)

    def life(self, copy: Ints, loop: Ints) -> I64:
        """Lives do not end, (n,) ticks."""
        return np.full(np.broadcast(copy, loop).shape, int(ENDLESS) // 2, np.int64)

    def position(self, copy: Ints, loop: Ints, age: Ints) -> F64:  # noqa: ARG002
        """Positions (n, 2) at ages (n,); age -1 is the moment of the spawn."""
        return self._path(copy, age)[0]

    def velocity(self, copy: Ints, loop: Ints, age: Ints) -> F64:  # noqa: ARG002
        """Units per second, (n, 2)."""
        return self._path(copy, age)[1]

    def _path(self, copy: Ints, age: Ints) -> tuple[F64, F64]:
        velocity = self._velocity[copy]
        seconds = (np.maximum(age, -1) + 1) / self.tick_hz
        straight = self._place[copy] + velocity * seconds[:, None]
        return folded(straight, velocity, self.side / 2)


class DriftSimulation:
    """Straight lines in the box of a demo's world.

    Parameters
    ----------
    options : mapping
        As `DriftField`; they give the box and the pace.
    """

    state_dtype = blob.STATE
    ghosts = False

    def __init__(self, options: Mapping[str, Any]) -> None:
        chosen = numbers_of(options)
        self._half = world_side(chosen["entities"], chosen["crowd"], chosen["sector_size"]) / 2
        self._pace = UNITS_PER_S * chosen["speed"]

    def life(self, world: World) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        """First and last tick of each row's life, 0 for none."""
        return world.state["birth"], world.state["end"]

    def step(self, world: World, dt: float) -> None:
        """Advance each row by its velocity and the time since its state."""
        alive = blob.account(world)
        self._push(world)
        seconds = (world.tick - world.since.astype(np.int64)) * dt
        position, velocity = folded(
            world.position + world.velocity * seconds[:, None], world.velocity, self._half
        )
        world.position[:], world.velocity[:] = position, velocity
        if not alive.all():
            world.destroy(~alive)

    def _push(self, world: World) -> None:
        still = np.flatnonzero(~world.velocity.any(axis=1))
        if len(still):
            angle = (world.ids[still] * GOLDEN).astype(np.float64) * (2 * np.pi / 2**64)
            world.velocity[still, 0] = self._pace * np.cos(angle)
            world.velocity[still, 1] = self._pace * np.sin(angle)
