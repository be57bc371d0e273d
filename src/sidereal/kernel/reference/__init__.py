"""The readable twin of the compiled kernel: what each function means, in plain NumPy and Python.

Slow on purpose. Space is exact because it is computed in integers; everything
else is the shortest thing that is obviously right. Tests hold the kernel equal
to it, bit for bit; nothing else imports it, and it is never a fallback.
"""

from .messages import (
    UpdateTally,
    apply_states,
    apply_updates,
    collect_updates,
    cut,
    ghosts,
    mark_updates,
    pack_ghosts,
    pack_states,
    pack_updates,
    unpack_ghosts,
)
from .population import Census, Snapshot, counts, flux, group
from .sector_map import SectorMap
from .space import crossings, hash_ids, near_border, reach, sectors
from .table import ABSENT, NO_HANDLE, EntityTable

__all__ = [
    "ABSENT",
    "NO_HANDLE",
    "Census",
    "EntityTable",
    "SectorMap",
    "Snapshot",
    "UpdateTally",
    "apply_states",
    "apply_updates",
    "collect_updates",
    "counts",
    "crossings",
    "cut",
    "flux",
    "ghosts",
    "group",
    "hash_ids",
    "mark_updates",
    "near_border",
    "pack_ghosts",
    "pack_states",
    "pack_updates",
    "reach",
    "sectors",
    "unpack_ghosts",
]
