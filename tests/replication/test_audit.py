"""The running server finds what must never happen, names it, and mends it by the record."""

from unittest.mock import MagicMock

import numpy as np
import pytest

from replication.test_resumption import moving, settle, told
from sidereal.replication.settings import MS, Settings
from sidereal.shard import events as ev
from sidereal.testing import checks
from sidereal.testing.cluster import Cluster
from sidereal.world.digests import VersionRows, digests
from sidereal.world.entities import gather, install
from sidereal.world.rules import NS_PER_S, WorldRules

SETTINGS = Settings(
    rules=WorldRules(sector_size=100.0),
    lease_ns=2 * NS_PER_S,
    idle_unload_ns=20 * NS_PER_S,
    cold_load=1e9,
    audit_ns=200 * MS,
)


@pytest.fixture
def cluster() -> Cluster:
    """A crowd at rest on two shards, whose links are made anew when the server ends them."""
    made = Cluster(1, shards=2, settings=SETTINGS, step=lambda world, dt: None)
    made.run(0.5)
    random = np.random.default_rng(1)
    made.spawn(random.uniform(-150, 150, (60, 2)), np.zeros((60, 2)))
    made.run(1)
    assert made.manager.books.counters["audit_rounds"] > 4
    assert made.manager.books.counters["audit_differences"] == 0
    # From here on tests break what the cluster's own witness holds: it looks away.
    made.observers.clear()
    made.witness = MagicMock()
    return made


def mended(cluster: Cluster) -> None:
    """Reconnect whoever was cut off, as a shard does; all is well after it."""
    for shard in cluster.alive():
        if shard.up.cut:
            shard.relink()
    settle(cluster)


def found(cluster: Cluster) -> list[tuple[str, int, int, int]]:
    cluster.run(0.5)
    books = cluster.manager.books
    assert books.counters["audit_differences"] == len(books.differences)
    return [(d.shard, d.entity, d.here, d.recorded) for d in books.differences]


def test_an_entity_that_a_shard_forgot_is_named_and_sent_again(cluster):
    shard = cluster.shards[0]
    victim = checks.simulated_by(shard, cluster.clock.now)[:1].copy()
    version = int(shard.core.holdings.table.version[shard.core.holdings.table.slots(victim)][0])
    shard.core.holdings.table.remove(victim)
    assert found(cluster) == [("shard-0", int(victim[0]), 0, version)]
    assert f"entity {victim[0]}" in shard.ended
    mended(cluster)
    assert victim[0] in checks.simulated_by(shard, cluster.clock.now)


def test_an_entity_that_two_shards_have_is_named_and_dropped_where_it_is_not_owned(cluster):
    owner, thief = cluster.shards
    table = owner.core.holdings.table
    victim = checks.simulated_by(owner, cluster.clock.now)[:1].copy()
    rows = gather(table, table.slots(victim))
    install(thief.core.holdings.table, rows, 0)
    assert found(cluster) == [("shard-1", int(victim[0]), int(rows.version[0]), 0)]
    mended(cluster)
    assert victim[0] not in checks.simulated_by(thief, cluster.clock.now)
    assert any(victim[0] in event.ids for event in told(thief, ev.EntitiesExited))


def test_a_version_that_is_not_the_records_is_named(cluster):
    shard = cluster.shards[0]
    table = shard.core.holdings.table
    slot = table.slots(checks.simulated_by(shard, cluster.clock.now)[:1])
    victim, version = int(table.ids[slot][0]), int(table.version[slot][0])
    table.version[slot] = version + 3
    assert found(cluster) == [("shard-0", victim, version + 3, version)]
    mended(cluster)


def test_a_world_in_motion_and_breaking_links_is_never_accused():
    cluster = moving(2)
    cluster.manager.books.settings = SETTINGS
    for turn in range(20):
        cluster.run(0.3)
        if turn % 5 == 4:
            cluster.link_broke(cluster.shards[0].link)
            cluster.shards[0].relink()
    counters = cluster.manager.books.counters
    assert counters["audit_differences"] == 0
    assert counters["audit_sectors"] > 50
    settle(cluster)


def test_digests_are_equal_for_equal_rows_in_any_order_and_differ_for_any_other():
    random = np.random.default_rng(3)
    ids = random.integers(1, 1 << 40, 500).astype(np.uint64)
    sector = random.integers(-3, 3, (500, 2)).astype(np.int32)
    version = random.integers(1, 9, 500).astype(np.uint32)
    rows = VersionRows(ids=ids, sector=sector, version=version)
    order = random.permutation(500)
    first, second = digests(rows), digests(rows.take(order))
    assert (first.digest == second.digest).all()
    assert first.count.sum() == 500
    for change in range(500):
        other = version.copy()
        other[change] += 1
        changed = digests(VersionRows(ids=ids, sector=sector, version=other))
        assert (changed.digest != first.digest).sum() == 1
