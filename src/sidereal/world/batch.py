"""`World`: what a simulation sees of one tick, as columns.

The rows are copies of those entities that this tick simulates; what the
simulation writes into them becomes the entities' state when the tick ends.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidereal.world.columns import F32, F64, U32, U64


@dataclass(slots=True)
class Ghosts:
    """Read-only copies of what lies just across the borders."""

    ids: U64
    position: F64
    velocity: F64
    flags: U32

    @classmethod
    def none(cls) -> "Ghosts":
        """Return no ghosts."""
        empty = np.empty((0, 2), np.float64)
        return cls(np.empty(0, np.uint64), empty, empty, np.empty(0, np.uint32))


@dataclass(slots=True)
class Spawn:
    """Entities that a game wants to exist, as columns.

    Parameters
    ----------
    position, velocity : (n, 2) float64, units and units per second
    state : (n,) of the simulation's ``state_dtype``, or None
    flags : (n,) uint32, or None for 0
        Kept for life. ``PLAYER`` (1) and ``SIGNIFICANT`` (2) mean something to Sidereal; the
        other bits are the game's own, and ghosts show them.
    sensor : (n,) float32, units, or None for 0
        How far each one looks: sectors within are loaded.

    Raises
    ------
    ValueError
        A position or velocity is not finite, or the columns differ in length.
    """

    position: F64
    velocity: F64
    state: NDArray[Any] | None = None
    flags: U32 | None = None
    sensor: F32 | None = None

    def __post_init__(self) -> None:
        self.position = np.ascontiguousarray(self.position, np.float64).reshape(-1, 2)
        self.velocity = np.ascontiguousarray(self.velocity, np.float64).reshape(-1, 2)
        if self.state is not None:
            self.state = np.ascontiguousarray(self.state)
        if self.flags is not None:
            self.flags = np.ascontiguousarray(self.flags, np.uint32)
        if self.sensor is not None:
            self.sensor = np.ascontiguousarray(self.sensor, np.float32)
        for name in ("velocity", "state", "flags", "sensor"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self):
                raise ValueError(f"spawn: {len(self)} positions, but {len(column)} of {name}")
        for name in ("position", "velocity"):
            bad = np.flatnonzero(~np.isfinite(getattr(self, name)).all(axis=1))
            if len(bad):
                row = int(bad[0])
                raise ValueError(f"spawn: {name} {getattr(self, name)[row]} of row {row}")

    def __len__(self) -> int:
        return len(self.position)


@dataclass(slots=True)
class World:
    """One tick's rows.

    ``tick`` is the world tick being simulated. ``ids`` u64 (n,), ``position`` and ``velocity``
    f64 (n, 2) to be written in place, ``state`` a structured array (n,) of the simulation's
    dtype or None, ``since`` u32 (n,) the tick of which each row's state is (``tick - 1`` but
    after a gap), ``flags`` u32 (n,), ``shadow`` bool (n,): rows whose new owner is not decided.
    """

    tick: int
    tick_hz: float
    slots: U32
    ids: U64
    position: F64
    velocity: F64
    since: U32
    flags: U32
    shadow: NDArray[np.bool_]
    state: NDArray[Any] | None = None
    ghosts: Ghosts = field(default_factory=Ghosts.none)
    destroyed: list[U64] = field(default_factory=list)
    wishes: list[Spawn] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def destroy(self, rows: Any) -> None:
        """Destroy the rows that a mask or indices select; shadows once they turn out to be held."""
        self.destroyed.append(self.ids[rows])

    def spawn(
        self,
        position: F64,
        velocity: F64,
        *,
        state: NDArray[Any] | None = None,
        flags: U32 | None = None,
        sensor: F32 | None = None,
    ) -> None:
        """Ask for new entities, as `Spawn`; they take part from the next tick on."""
        self.wishes.append(Spawn(position, velocity, state, flags, sensor))
