"""Distinct ids are distinct types: a shard's id is never passed for an entity's.

They cost nothing at run time; the type checker tells them apart.
"""

from typing import NewType

ShardId = NewType("ShardId", int)
"""A shard server, numbered by the replication server when it registers."""

Incarnation = NewType("Incarnation", int)
"""One life of a shard: a restart is a new incarnation, drawn at random."""

EntityId = NewType("EntityId", int)
"""An entity, for ever: ids are granted in blocks and never used twice (u64)."""

Epoch = NewType("Epoch", int)
"""How often a sector was assigned; one higher at each assignment (u32)."""

Term = NewType("Term", int)
"""Which leadership of the replication server; one higher at each takeover."""

LinkId = NewType("LinkId", int)
"""One connection of one endpoint; never used twice in a process."""

Sector = tuple[int, int]
"""Sector coordinates ``(x, y)``, each within ±(2^31-1)."""
