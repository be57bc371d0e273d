"""The life of a sector, as the replication server leads it.

A sector is Unloaded (nobody simulates it; what is in it is in custody), Loading
(assigned, its state on the way), Active (simulated), or Unloading (frozen at
its shard, to end as Unloaded or to move on to another shard).
"""

from enum import Enum

from sidereal.world.life import Life


class SectorState(Enum):
    """Where a sector is in its life."""

    UNLOADED = "Unloaded"
    LOADING = "Loading"
    ACTIVE = "Active"
    UNLOADING = "Unloading"


class SectorEvent(Enum):
    """What can happen to a sector."""

    ASSIGN = "assign"
    """A shard is chosen: `AssignSector` and the initial state are sent."""
    READY = "ready"
    """The shard has everything: `SectorReady`."""
    UNASSIGN = "unassign"
    """The shard is told to freeze it: `UnassignSector`."""
    REMOVED = "removed"
    """Frozen, and its last states are here: `SectorRemoved`; nobody gets it."""
    MOVED = "moved"
    """Frozen, and its last states are here; they go to another shard at once."""
    RESUME = "resume"
    """The move was given up before it was decided: the shard goes on."""
    FENCE = "fence"
    """Its shard is dead."""


_S, _E = SectorState, SectorEvent

SECTOR = Life(
    "a sector",
    _S.UNLOADED,
    {
        (_S.UNLOADED, _E.ASSIGN): _S.LOADING,
        (_S.LOADING, _E.READY): _S.ACTIVE,
        (_S.ACTIVE, _E.UNASSIGN): _S.UNLOADING,
        (_S.UNLOADING, _E.REMOVED): _S.UNLOADED,
        (_S.UNLOADING, _E.MOVED): _S.LOADING,
        (_S.UNLOADING, _E.RESUME): _S.ACTIVE,
        (_S.LOADING, _E.FENCE): _S.UNLOADED,
        (_S.ACTIVE, _E.FENCE): _S.UNLOADED,
        (_S.UNLOADING, _E.FENCE): _S.UNLOADED,
    },
)
