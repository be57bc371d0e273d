"""A shard is cordoned, drained while its world runs, and leaves."""

import msgspec
import numpy as np
import pytest

from replication.test_ownership import SETTINGS, crowd, inside
from sidereal.replication import rebalance
from sidereal.replication.registry import ShardInfo
from sidereal.testing import checks
from sidereal.testing.cluster import Cluster, SimulatedShard
from sidereal.wire import operator_messages as om
from sidereal.world.rules import NS_PER_S


def moving(seed: int) -> tuple[Cluster, SimulatedShard]:
    """A cluster in motion, and a shard of it that has entities."""
    settings = msgspec.structs.replace(SETTINGS, rebalance_ns=3600 * NS_PER_S)
    cluster = Cluster(seed, shards=3, settings=settings, step=inside(300), comes_back=True)
    cluster.run(0.5)
    crowd(cluster, 300, 300, 30)
    cluster.run(4)
    return cluster, max(cluster.shards, key=lambda s: len(s.core.holdings.table))


def order(cluster: Cluster, verb: str, shard: SimulatedShard) -> None:
    answer = cluster.command(om.Command(1, verb, None, shard.core.shard_id))
    assert isinstance(answer, om.CommandOutcome)
    assert answer.ok, answer.detail


def info_of(cluster: Cluster, shard: SimulatedShard) -> ShardInfo:
    found = cluster.manager.books.shards.get(shard.core.shard_id or 0)
    assert found is not None
    return found


def rests(cluster: Cluster) -> None:
    cluster.step = lambda world, dt: None
    cluster.run(2)
    checks.settled(cluster)


def test_a_cordoned_shard_keeps_its_sectors_and_gets_no_more():
    cluster, _ = moving(1)
    # Who has least would be given the next one.
    shard = min(cluster.shards, key=lambda s: len(s.core.holdings.table))
    before = set(info_of(cluster, shard).sectors)
    order(cluster, "cordon", shard)
    for x in (5000.0, -5000.0, 9000.0):
        cluster.spawn(np.array([[x, 50.0]]), np.zeros((1, 2)))
        cluster.run(2)
        assert info_of(cluster, shard).sectors <= before
    assert cluster.manager.books.counters["activations"] > len(before)
    assert len(shard.core.holdings.table) > 20
    rests(cluster)


def test_a_sector_on_its_way_to_a_shard_that_is_cordoned_stays_where_it_is():
    cluster, shard = moving(2)
    (sector, *_) = sorted(info_of(cluster, shard).sectors)
    target = next(s for s in cluster.shards if s is not shard)
    answer = cluster.command(om.Command(1, "migrate", sector, target.core.shard_id))
    assert answer.ok
    order(cluster, "cordon", target)
    cluster.run(1)
    assert sector in info_of(cluster, shard).sectors
    answer = cluster.command(om.Command(1, "migrate", sector, target.core.shard_id))
    assert not answer.ok
    assert "uncordon" in answer.detail
    rests(cluster)


@pytest.mark.parametrize("seed", range(3))
def test_a_drained_shard_gives_all_it_has_some_at_a_time_and_leaves_without_loss(seed, monkeypatch):
    cluster, shard = moving(10 + seed)
    held = len(shard.core.holdings.table)
    monkeypatch.setattr(rebalance, "DRAIN_LOAD_MAX", 10.0)
    order(cluster, "drain", shard)
    most = 0
    for _ in range(1000):
        cluster.run(0.01)
        books = cluster.manager.books
        sectors = books.sectors.values()
        going = [entry.load for entry in sectors if entry.frozen_ns or entry.coords in books.copies]
        most = max(most, sum(going) - max(going, default=0))
    assert held > 40
    assert not info_of(cluster, shard).sectors
    assert not len(shard.core.holdings.table)
    assert most <= 10
    cluster.kill(shard)
    cluster.run(5)
    assert cluster.manager.books.counters["fences"] == 1
    assert cluster.manager.books.counters["rehomed"] == 0
    assert len(cluster.manager.books.table) == 300
    rests(cluster)


def test_a_drain_goes_on_after_the_servers_restart_and_ends_with_uncordon():
    cluster, shard = moving(20)
    order(cluster, "drain", shard)
    cluster.server.crash()
    cluster.restart()
    cluster.run(10)
    info = info_of(cluster, shard)
    assert info.cordoned
    assert info.draining
    assert not info.sectors
    order(cluster, "uncordon", shard)
    others = [s for s in cluster.shards if s is not shard]
    for other in others:
        order(cluster, "cordon", other)
    cluster.spawn(np.array([[5000.0, 50.0]]), np.zeros((1, 2)))
    cluster.run(1)
    assert (50, 0) in info_of(cluster, shard).sectors
    rests(cluster)
