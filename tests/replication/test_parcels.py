"""However much crosses, leaves or moves at once, no message grows with it."""

import numpy as np
import pytest

from replication.small_server import rows
from sidereal.limits import PARCEL_BYTES_MAX, STATE_BYTES_MAX
from sidereal.replication.settings import Settings
from sidereal.testing import checks
from sidereal.testing.cluster import Cluster
from sidereal.wire import codec
from sidereal.wire import operator_messages as om
from sidereal.world.entities import ROW_BYTES, EntityRows
from sidereal.world.rules import NS_PER_S, WorldRules

SETTINGS = Settings(rules=WorldRules(sector_size=100.0), idle_unload_ns=60 * NS_PER_S)
LARGE = 50_000
MOST = PARCEL_BYTES_MAX + STATE_BYTES_MAX + ROW_BYTES


def crowd(count: int, groups: int) -> EntityRows:
    draw = np.random.default_rng(count)
    lengths = draw.integers(0, 5_000, count)
    return rows(
        np.arange(1, count + 1, dtype=np.uint64),
        group=draw.integers(0, groups, count) if groups else np.zeros(count),
        lengths=lengths,
        states=draw.integers(0, 256, lengths.sum()),
    )


@pytest.mark.parametrize(("count", "groups"), [(0, 0), (3, 0), (5000, 0), (5000, 40), (5000, 2)])
def test_parcels_hold_every_row_once_and_every_group_whole(count, groups):
    whole = crowd(count, groups)
    parts = whole.parcels(2**20)
    joined = EntityRows.concat(parts)
    order = np.argsort(joined.ids)
    assert joined.take(order).to_bytes() == whole.take(np.argsort(whole.ids)).to_bytes()
    homes = [set(part.group[part.group != 0].tolist()) for part in parts]
    assert sum(map(len, homes)) == len(set().union(*homes)), "a group was cut"
    assert all((np.diff(part.ids.astype(int)) > 0).all() for part in parts)
    if not groups:
        assert all(len(part.to_bytes()) <= 2**20 + 5_000 + ROW_BYTES for part in parts)


def two_shards(sizes: dict) -> Cluster:
    """Sector (0, 0) on one shard and (1, 0) on the other; notes how large each message was."""
    cluster = Cluster(11, shards=2, settings=SETTINGS)
    cluster.run(0.3)
    for x, shard in ((0, 0), (1, 1)):
        cluster.command(om.Command(1, "load", (x, 0), None))
        cluster.run(0.3)
        if (x, 0) not in cluster.shards[shard].core.sector_list():
            target = cluster.shards[shard].core.shard_id
            cluster.command(om.Command(1, "migrate", (x, 0), target))
            cluster.run(0.3)
    take, decode = cluster.manager.receive, codec.encode

    def noted(message):
        data = decode(message)
        kind = type(message).__name__
        sizes[kind] = max(sizes.get(kind, 0), len(data))
        return data

    for shard in cluster.shards:
        receive = shard.core.receive
        shard.core.receive = lambda m, now, receive=receive: (noted(m), receive(m, now))[1]
    cluster.manager.receive = lambda link, m, now: (noted(m), take(link, m, now))[1]
    return cluster


def heavy(cluster: Cluster, count: int, grouped: bool) -> np.ndarray:
    """Entities with large states, spawned by the first shard near its border."""
    core = cluster.shards[0].core
    now = cluster.shards[0].ticked
    root = np.zeros(0, np.uint64)
    position = np.full((count, 2), 99.0)
    lengths = np.full(count, LARGE, np.uint32)
    states = np.zeros(count * LARGE, np.uint8)
    if grouped:
        root = core.spawn(now, position[:1], np.zeros((1, 2)))
        cluster.run(0.3)
        group = np.repeat(root, count)
        ids = core.spawn(
            now, position, np.zeros((count, 2)), lengths=lengths, states=states, group=group
        )
    else:
        ids = core.spawn(now, position, np.zeros((count, 2)), lengths=lengths, states=states)
    cluster.run(0.5)
    return np.concatenate([root, ids])


def test_a_crowd_with_large_states_spawns_crosses_and_moves_in_many_messages():
    sizes: dict[str, int] = {}
    cluster = two_shards(sizes)
    count = 60
    ids = heavy(cluster, count, grouped=False)
    books = cluster.manager.books
    assert len(books.table) == count
    cluster.step = lambda world, dt: world.position.__setitem__((slice(None), 0), 150.0)
    cluster.run(1)
    assert (books.table.sector[books.table.slots(ids)] == [1, 0]).all()
    cluster.step = lambda world, dt: None
    cluster.command(om.Command(1, "migrate", (1, 0), cluster.shards[0].core.shard_id))
    cluster.run(1)
    assert "SectorLastStates" not in sizes, "what the copy had goes twice"
    cluster.command(om.Command(2, "cordon", None, cluster.shards[1].core.shard_id))
    cluster.command(om.Command(3, "unload", (1, 0), None))
    cluster.run(1)
    assert len(books.rows_of(cluster.shards[0].core.shard_id)) == count
    checks.settled(cluster)
    assert count * LARGE > 2 * MOST
    expected = {"EntityTransitionRequest", "EntityEnterSector", "SectorCopy", "SectorLastStates"}
    assert expected <= set(sizes)
    assert max(sizes.values()) <= MOST + 4096


def test_a_group_with_large_states_comes_to_be_in_parts_and_crosses_as_one():
    sizes: dict[str, int] = {}
    cluster = two_shards(sizes)
    ids = heavy(cluster, 40, grouped=True)
    books = cluster.manager.books
    assert len(books.table) == 41
    assert sizes["EntityTransitionRequest"] <= MOST + 4096
    cluster.step = lambda world, dt: world.position.__setitem__((slice(None), 0), 150.0)
    cluster.run(1)
    assert (books.table.sector[books.table.slots(ids)] == [1, 0]).all()
    assert sizes["EntityEnterSector"] > 40 * LARGE, "whole"
    checks.settled(cluster)
