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


@dataclass(frozen=True, slots=True)
class Wish:
    """Entities that the simulation wants to exist."""

    position: F64
    velocity: F64
    state: NDArray[Any] | None
    flags: U32 | None
    sensor: F32 | None


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
    version: U32
    shadow: NDArray[np.bool_]
    state: NDArray[Any] | None = None
    ghosts: Ghosts = field(default_factory=Ghosts.none)
    destroyed: list[U64] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)

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
        """Ask for new entities; they take part from the next tick on."""
        self.wishes.append(Wish(position, velocity, state, flags, sensor))
