"""What a simulation is: a class with ``step(world, dt)`` on columns.

A simulation is selected by name (`sidereal.simulations.load`), built once in each
shard process from the same options, and then called once a world tick with the
rows that this shard is to simulate. Whatever it needs to know about an entity
travels in the entity's columns and its ``state`` blob, because the next tick may
run in another process.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Neighbours(Protocol):
    """Read-only copies of entities just across this shard's borders."""

    ids: npt.NDArray[np.uint64]
    position: npt.NDArray[np.float64]
    velocity: npt.NDArray[np.float64]


class World(Protocol):
    """The rows to be simulated in one world tick; writes are kept.

    Attributes
    ----------
    tick : int
        The world tick being simulated.
    tick_hz : float
    ids : ndarray, (n,) uint64
    position, velocity : ndarray, (n, 2) float64, units and units per second
    state : ndarray, (n,) of the simulation's ``state_dtype``, or None
    since : ndarray, (n,) uint32
        The tick of which each row's state is: ``tick - 1``, or less after a gap
        in which nobody simulated it.
    flags : ndarray, (n,) uint32
    ghosts : Neighbours
    """

    tick: int
    tick_hz: float
    ids: npt.NDArray[np.uint64]
    position: npt.NDArray[np.float64]
    velocity: npt.NDArray[np.float64]
    state: Any
    since: npt.NDArray[np.uint32]
    flags: npt.NDArray[np.uint32]

    @property
    def ghosts(self) -> Neighbours:
        """Neighbours across the border; empty unless the simulation asks for them."""
        ...

    def destroy(self, rows: npt.NDArray[Any]) -> None:
        """End these rows (a mask or indices) once their holder may."""
        ...


class Simulation(Protocol):
    """A game's rules.

    A simulation may also have ``life(world) -> (birth, end)``, (n,) uint32 world
    ticks, both inclusive: rows outside them are not alive and the audit does not
    count them.
    """

    state_dtype: np.dtype[Any] | None
    ghosts: bool

    def __init__(self, options: Mapping[str, Any]) -> None: ...

    def step(self, world: World, dt: float) -> None:
        """Advance the rows by one tick of ``dt`` seconds (more where ``since`` says so)."""
        ...
