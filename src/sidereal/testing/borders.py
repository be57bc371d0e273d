"""What shards see across their borders, held against where everything is.

Ghosts are pictures: a datagram that is lost, or comes late, is a fault of nobody's. But at rest
each shard that wants them sees just what lies within the reach of its sectors and is not its
own, where it is; also where that is nothing, whoever led before and however often its link broke.
"""

from typing import TYPE_CHECKING

import numpy as np

from sidereal.testing.observer import Violation

if TYPE_CHECKING:
    from sidereal.testing.cluster import Cluster
    from sidereal.testing.shards import SimulatedShard

NEAR = 0.01
"""Units by which a place that is told may be off, and with it what is just within reach."""


def at_rest(cluster: "Cluster") -> None:
    """Raise `Violation` where a shard does not see what is near, or what is not."""
    if not cluster.ghosts:
        return
    for shard in cluster.alive():
        if shard.leased:
            _sees(cluster, shard)


def _sees(cluster: "Cluster", shard: "SimulatedShard") -> None:
    books = cluster.manager.books
    table, rules = books.table, books.rules
    others = np.flatnonzero(table.shard != shard.core.shard_id)
    position = table.position[others]
    low = np.array(sorted(shard.core.sectors.held), np.float64).reshape(-1, 1, 2)
    low *= rules.sector_size
    away = np.maximum(np.maximum(low - position, position - low - rules.sector_size), 0.0)
    nearest = np.hypot(away[..., 0], away[..., 1]).min(axis=0, initial=np.inf)
    seen = dict(zip(shard.ghosts.ids.tolist(), shard.ghosts.position, strict=True))
    for entity, where, distance in zip(table.ids[others].tolist(), position, nearest, strict=True):
        ghost = seen.pop(entity, None)
        if ghost is None:
            if distance < rules.ghost_reach - NEAR:
                raise _unlike(shard, f"does not see {entity}, {distance:.3f} away", entity)
        elif distance > rules.ghost_reach + NEAR:
            raise _unlike(shard, f"sees {entity}, which is {distance:.3f} away", entity)
        elif np.abs(ghost - where).max() > NEAR:
            raise _unlike(shard, f"sees {entity} at {ghost}, and it is at {where}", entity)
    if seen:
        entity = min(seen)
        raise _unlike(shard, f"sees {entity}, which is its own or is no more", entity)


def _unlike(shard: "SimulatedShard", story: str, entity: int) -> Violation:
    return Violation("everything rests", f"{shard.name} {story}", [entity])
