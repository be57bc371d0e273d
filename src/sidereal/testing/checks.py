"""The invariants of ownership, checked from outside after every instant.

Written without the manager's own reasoning: they look at what each shard holds
and may simulate, and at the record, and at what was created and destroyed.
"""

from typing import TYPE_CHECKING

import numpy as np

from sidereal.shard.phase import DESTROYING, SHADOW, STILL
from sidereal.world.columns import U64

if TYPE_CHECKING:
    from sidereal.testing.cluster import Cluster, SimulatedShard


def simulated_by(shard: "SimulatedShard", now: int) -> U64:
    """Return the ids that a shard may simulate with authority at `now`."""
    if not shard.alive or not shard.core.has_lease(now):
        return np.empty(0, np.uint64)
    table = shard.core.holdings.table
    found: U64 = table.ids[table.phase & (SHADOW | DESTROYING | STILL) == 0]
    return found


def every_instant(cluster: "Cluster") -> None:
    """Hold all invariants against the cluster as it stands; raise `AssertionError` with a story."""
    now = cluster.clock.now
    parts = [simulated_by(shard, now) for shard in cluster.shards]
    everywhere = np.concatenate(parts) if parts else np.empty(0, np.uint64)
    unique, times = np.unique(everywhere, return_counts=True)
    twice = unique[times > 1]
    assert not len(twice), (
        f"at {now}: entity {int(twice[0])} is simulated with authority by "
        + " and ".join(
            shard.name
            for shard, ids in zip(cluster.shards, parts, strict=True)
            if int(twice[0]) in ids
        )
    )
    books = cluster.manager.books
    counters = books.counters
    assert counters["created"] == len(books.table) + counters["destroyed"], (
        f"at {now}: {counters['created']} created, {len(books.table)} in the record,"
        f" {counters['destroyed']} destroyed"
    )
    known = books.table.slots(everywhere)
    missing = everywhere[known == 0xFFFFFFFF]
    gone = set(missing.tolist())
    assert not gone or counters["destroyed"], f"at {now}: {gone} are simulated but not recorded"


def settled(cluster: "Cluster") -> None:
    """At rest: every entity of the record is simulated by exactly its sector's owner."""
    books = cluster.manager.books
    table = books.table
    now = cluster.clock.now
    held = {shard.core.shard_id: simulated_by(shard, now) for shard in cluster.alive()}
    for shard_id, ids in held.items():
        slots = table.slots(ids)
        assert (slots != 0xFFFFFFFF).all(), f"shard {shard_id} simulates what is not recorded"
        wrong = table.shard[slots] != shard_id
        assert not wrong.any(), f"shard {shard_id} simulates {ids[wrong][:5]} of another"
    total = sum(len(ids) for ids in held.values())
    assert total == len(table), f"{len(table)} recorded, {total} simulated"
