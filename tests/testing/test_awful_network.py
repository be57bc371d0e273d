"""A whole cluster over real transport endpoints and an awful network: leases last, and it goes on.

In real time, with processes, that is ``sidereal demo --netsim awful``.
"""

import numpy as np
import pytest

from sidereal.replication.settings import Settings
from sidereal.shard import events as ev
from sidereal.testing import Cluster
from sidereal.transport.netsim import PRESETS
from sidereal.world.rules import WorldRules

SPAN = 600.0


def bounce(world, dt):
    """Entities fly to and fro between the walls of a square."""
    out = np.abs(world.position) > SPAN
    world.velocity[out] = -np.sign(world.position[out]) * np.abs(world.velocity[out])
    world.position += world.velocity * dt


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_lease_runs_out_in_an_awful_network(seed):
    """Loss, jitter and reordering as `sidereal demo --netsim awful` has them, at three shards."""
    settings = Settings(rules=WorldRules(sector_size=300.0))
    cluster = Cluster(seed, shards=3, settings=settings, step=bounce, transport="calm")
    cluster.wires.roads.conditions = PRESETS["awful"]
    cluster.run(3)
    draw = np.random.default_rng(seed)
    cluster.spawn(draw.uniform(-SPAN, SPAN, (300, 2)), draw.uniform(-120, 120, (300, 2)))
    cluster.run(25)
    counters = cluster.counters
    assert counters["fences"] == 0
    assert not [e for s in cluster.shards for e in s.log if isinstance(e, ev.LeaseLost)]
    assert counters["handoffs"] > 500
    assert all(len(s.core.holdings.table) for s in cluster.shards)
