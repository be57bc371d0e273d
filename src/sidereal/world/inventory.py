"""What a shard says it has when a session opens, and what the server answers: as columns.

A session that broke left both sides unsure of what was in flight. The shard
lists its sectors and entities with their phases, the record decides about each,
and both go on from the same books.
"""

from enum import IntEnum
from typing import ClassVar

import numpy as np

from sidereal.errors import ProtocolError
from sidereal.world.columns import I32, U32, U64, Columns, distinct


class SectorPhase(IntEnum):
    """Where a sector stands at its shard."""

    LOADING = 0
    RUNNING = 1
    FROZEN = 2


class EntityPhase(IntEnum):
    """What a shard awaits for an entity."""

    HELD = 0
    PENDING = 1
    """A transition was asked for."""
    SPAWNING = 2
    DESTROYING = 3


class Verdict(IntEnum):
    """What the record says of one row of an inventory."""

    KEEP = 0
    """It is yours, as you have it."""
    BACK = 1
    """What you asked for was never accepted: it is yours as it is now."""
    ACK = 2
    """It was accepted, and is yours at the new version, as it is now."""
    WAIT = 3
    """It was accepted; where it goes is not decided."""
    DROP = 4
    """It is not yours. Version 0 says that it is no more, or never was."""
    RESEND = 5
    """Nothing is decided: ask again."""


class SectorInventory(Columns):
    """Sectors at a shard: ``sector`` i32 (n, 2), ``epoch`` u32, ``phase`` u32."""

    LAYOUT: ClassVar[dict[str, tuple[str, int]]] = {
        "sector": ("<i4", 2),
        "epoch": ("<u4", 1),
        "phase": ("<u4", 1),
    }

    sector: I32
    epoch: U32
    phase: U32

    def check(self) -> None:
        """Refuse a sector that is listed twice."""
        if len(np.unique(self.sector, axis=0)) != len(self):
            raise ProtocolError("SectorInventory: a sector twice")


class EntityInventory(Columns):
    """Entities at a shard: ``ids`` u64, ``sector`` i32 (n, 2), ``version`` u32 (that asked, where
    something was), ``tick`` u32 of the state there, ``phase`` u32.
    """

    LAYOUT: ClassVar[dict[str, tuple[str, int]]] = {
        "ids": ("<u8", 1),
        "sector": ("<i4", 2),
        "version": ("<u4", 1),
        "tick": ("<u4", 1),
        "phase": ("<u4", 1),
    }

    ids: U64
    sector: I32
    version: U32
    tick: U32
    phase: U32

    def check(self) -> None:
        """Refuse an entity that is listed twice."""
        if not distinct(self.ids):
            raise ProtocolError("EntityInventory: an entity twice")


class EntityVerdicts(Columns):
    """The answers, row by row of the inventory: ``verdict`` u32; where it is the shard's,
    ``sector`` i32 (n, 2), ``version`` u32 and ``handle`` u32 are the record's.
    """

    LAYOUT: ClassVar[dict[str, tuple[str, int]]] = {
        "ids": ("<u8", 1),
        "sector": ("<i4", 2),
        "version": ("<u4", 1),
        "handle": ("<u4", 1),
        "tick": ("<u4", 1),
        "verdict": ("<u4", 1),
    }

    ids: U64
    sector: I32
    version: U32
    handle: U32
    tick: U32
    verdict: U32
