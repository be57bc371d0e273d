"""What a simulation is: a class with ``step(world, dt)`` on columns.

A simulation is selected by name (`sidereal.simulations.load`), built once in each
shard process from the same options, and then called once a world tick with the
rows that this shard is to simulate. Whatever it needs to know about an entity
travels in the entity's columns and its ``state`` blob, because the next tick may
run in another process.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sidereal.ids import Sector
from sidereal.world.batch import Spawn
from sidereal.world.rules import WorldRules


class Neighbours(Protocol):
    """Ghosts: read-only copies of entities just across this shard's borders.

    ``ids`` (n,) uint64, ``position`` and ``velocity`` (n, 2) float64, ``flags`` (n,) uint32.
    """

    ids: npt.NDArray[np.uint64]
    position: npt.NDArray[np.float64]
    velocity: npt.NDArray[np.float64]
    flags: npt.NDArray[np.uint32]


class World(Protocol):
    """The rows to be simulated in one world tick; what is written to them is kept.

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
        As they were at the spawn; what is written to them is not kept.
    shadow : ndarray, (n,) bool
        Rows that asked to cross to another shard, or to exist, and have no answer yet: they may
        move, but must do nothing to others and spawn nothing.
    ghosts : Neighbours
        Empty unless the simulation's ``ghosts`` is true.
    """

    tick: int
    tick_hz: float
    ids: npt.NDArray[np.uint64]
    position: npt.NDArray[np.float64]
    velocity: npt.NDArray[np.float64]
    state: Any
    since: npt.NDArray[np.uint32]
    flags: npt.NDArray[np.uint32]
    shadow: npt.NDArray[np.bool_]

    @property
    def ghosts(self) -> Neighbours:
        """Neighbours across the border; empty unless the simulation asks for them."""
        ...

    def destroy(self, rows: npt.NDArray[Any]) -> None:
        """End these rows (a mask or indices) once their holder may."""
        ...

    def spawn(
        self,
        position: npt.NDArray[np.float64],
        velocity: npt.NDArray[np.float64],
        *,
        state: npt.NDArray[Any] | None = None,
        flags: npt.NDArray[np.uint32] | None = None,
        sensor: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Ask for new entities, anywhere in the world; they take part from the next tick on.

        The columns are those of `sidereal.Spawn`.
        """
        ...


class Simulation(Protocol):
    """A game's rules.

    ``state_dtype`` is the layout of every entity's state, ``ghosts`` says whether the shard is
    sent copies of what lies across its borders. A class that has neither gets None and False.

    A simulation may also have `Fills.fill`, and ``life(world) -> (birth, end)``, (n,) uint32
    world ticks, both inclusive, an end of 0 for none: rows outside them are not alive and the audit
    does not count them.
    """

    state_dtype: np.dtype[Any] | None
    ghosts: bool

    def __init__(self, options: Mapping[str, Any]) -> None: ...

    def step(self, world: World, dt: float) -> None:
        """Advance the rows by one tick of ``dt`` seconds (more where ``since`` says so)."""
        ...


@runtime_checkable
class Fills(Protocol):
    """A simulation that brings in what a sector begins with."""

    def fill(self, sector: Sector, rules: WorldRules) -> Spawn | None:
        """Return what to spawn in a sector that no shard has had before; None for nothing.

        It is called once in the world's life for each sector, by the shard that is given it
        first, and may be called between any two steps. What that shard had not spawned yet
        when it died is not made up for.
        """
        ...
