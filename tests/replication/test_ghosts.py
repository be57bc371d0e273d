"""Shards see what lies just across their borders, and no more."""

from dataclasses import replace

import numpy as np
import pytest

from sidereal.kernel import pack_ghosts
from sidereal.replication.books import CUSTODY
from sidereal.replication.ghosts import empty
from sidereal.replication.settings import Settings
from sidereal.shard import events as ev
from sidereal.shard.sightings import Sightings
from sidereal.testing import borders
from sidereal.testing.cluster import Cluster, SimulatedShard
from sidereal.testing.links import Weather
from sidereal.testing.observer import Violation
from sidereal.wire import operator_messages as om
from sidereal.wire.datagrams import NEIGHBOR_ENTITY_UPDATE
from sidereal.world.batch import Ghosts
from sidereal.world.rules import WorldRules

SETTINGS = Settings(rules=WorldRules(sector_size=100.0, ghost_radius=0.1), cold_load=1e9)


def pair(seed: int, **more) -> tuple[Cluster, SimulatedShard, SimulatedShard]:
    """Two shards, of which the first has sector (0, 0) and the second (1, 0)."""
    cluster = Cluster(seed, shards=2, settings=SETTINGS, ghosts=True, **more)
    cluster.run(0.3)
    for x in (0, 1):
        cluster.command(om.Command(1, "load", (x, 0), None))
    cluster.run(0.3)
    left, right = cluster.shards
    for x, shard in ((0, left), (1, right)):
        cluster.command(om.Command(1, "migrate", (x, 0), shard.core.shard_id))
    cluster.run(0.3)
    assert left.core.sector_list() == [(0, 0)]
    assert right.core.sector_list() == [(1, 0)]
    return cluster, left, right


def still(world, dt):
    pass


def seen(shard: SimulatedShard) -> ev.GhostsChanged:
    return [e for e in shard.log if isinstance(e, ev.GhostsChanged)][-1]


def test_a_shard_sees_what_stands_within_the_reach_of_its_border():
    cluster, left, right = pair(1, step=still)
    near, far, mine = cluster.spawn(
        np.array([[105.0, 50.0], [120.0, 50.0], [50.0, 50.0]]), np.zeros((3, 2)), flags=3
    )
    cluster.run(1)
    ghosts = seen(left)
    assert ghosts.ids.tolist() == [near]
    assert np.allclose(ghosts.position, [[105.0, 50.0]], rtol=0, atol=1e-6)
    assert ghosts.flags.tolist() == [3]
    assert not [e for e in right.log if isinstance(e, ev.GhostsChanged)], (far, mine)


def test_a_shard_learns_that_there_are_no_ghosts_any_more():
    cluster, left, _ = pair(2, weather=Weather(datagram_loss=0.3))
    cluster.spawn(np.array([[102.0, 50.0]]), np.array([[8.0, 0.0]]))
    cluster.run(0.5)
    assert len(seen(left).ids) == 1
    cluster.run(1.5)
    assert len(seen(left).ids) == 0
    told = len(left.log)
    cluster.run(1)
    assert len(left.log) == told


@pytest.mark.parametrize("restarted", [False, True])
def test_what_went_away_while_the_link_was_broken_is_seen_no_more(restarted):
    cluster, left, _ = pair(5, step=still, comes_back=True)
    (near,) = cluster.spawn(np.array([[105.0, 50.0]]), np.zeros((1, 2)))
    cluster.run(0.5)
    assert left.ghosts.ids.tolist() == [near]
    if restarted:
        cluster.server.crash()
        cluster.restart()
    else:
        left.line.snap("the link broke")
    cluster.command(om.DestroyByOperator(1, [int(near)]))
    cluster.run(2)
    assert left.linked
    assert left.ghosts.ids.tolist() == []
    borders.at_rest(cluster)


def test_a_life_begun_anew_sees_nothing_of_the_last_one():
    cluster, left, _ = pair(5, step=still, comes_back=True)
    (near,) = cluster.spawn(np.array([[105.0, 50.0]]), np.zeros((1, 2)))
    cluster.run(0.5)
    assert left.ghosts.ids.tolist() == [near]
    left.paused = True
    cluster.run(SETTINGS.lease_ns / 1e9 + 1)
    cluster.command(om.DestroyByOperator(1, [int(near)]))
    left.paused = False
    cluster.run(2)
    assert left.linked
    assert left.ghosts.ids.tolist() == []


def test_at_rest_each_shard_sees_what_is_near_and_nothing_else():
    cluster, left, _ = pair(6, step=still)
    cluster.spawn(np.array([[105.0, 50.0], [120.0, 50.0]]), np.zeros((2, 2)))
    cluster.run(0.5)
    borders.at_rest(cluster)
    there = left.ghosts
    for ghosts, story in (
        (Ghosts.none(), "does not see"),
        (replace(there, position=there.position + 1.0), "and it is at"),
        (replace(there, ids=there.ids + np.uint64(1)), "does not see|which is 20"),
        (replace(there, ids=there.ids + np.uint64(7)), "does not see|no more"),
    ):
        left.ghosts = ghosts
        with pytest.raises(Violation, match=story):
            borders.at_rest(cluster)


def test_ghosts_of_entities_in_custody_move_on_by_their_velocity():
    cluster, left, right = pair(3)
    cluster.spawn(np.array([[108.0, 50.0]]), np.array([[0.0, 10.0]]))
    cluster.run(0.3)
    cluster.kill(right)
    # Nobody may be given the dead shard's sector: what is in it stays with the server.
    cluster.command(om.Command(1, "drain", None, left.core.shard_id))
    cluster.run(SETTINGS.lease_ns / 1e9 + 0.4)
    assert cluster.manager.books.table.shard.tolist() == [CUSTODY]
    before = seen(left)
    cluster.run(0.5)
    after = seen(left)
    assert [before.position[0, 0], after.position[0, 0]] == pytest.approx([108.0, 108.0])
    moved = after.position[0, 1] - before.position[0, 1]
    elapsed_s = (after.tick - before.tick) / SETTINGS.rules.tick_hz
    assert elapsed_s > 0.3
    assert moved == pytest.approx(10.0 * elapsed_s)


def test_a_crowd_at_the_border_fills_several_datagrams_and_is_seen_whole():
    cluster, left, _ = pair(4, step=still, weather=Weather(datagram_loss=0.0))
    generator = np.random.default_rng(4)
    position = generator.uniform([100.5, 20], [109.5, 80], (500, 2))
    ids = cluster.spawn(position, np.zeros((500, 2)))
    cluster.run(1)
    assert sorted(seen(left).ids.tolist()) == ids.tolist()


@pytest.fixture
def sightings():
    return Sightings()


def datagram(tick: int, ids: list[int]) -> bytes:
    count = len(ids)
    data, _ = pack_ghosts(
        np.array(ids, np.uint64),
        np.zeros((count, 2)),
        np.zeros((count, 2)),
        np.zeros(count, np.uint32),
        NEIGHBOR_ENTITY_UPDATE,
        tick,
        1100,
    )
    return data.tobytes()


def test_datagrams_of_one_tick_make_one_set_however_they_come(sightings):
    assert sightings.take([datagram(5, [1, 2])]).ids.tolist() == [1, 2]
    assert sightings.take([datagram(5, [3])]).ids.tolist() == [1, 2, 3]
    assert sightings.take([datagram(7, [9])]).ids.tolist() == [9]
    assert sightings.take([datagram(5, [4])]) is None
    assert sightings.take([empty(9)]).ids.tolist() == []


def test_a_malformed_ghost_datagram_is_counted_and_dropped(sightings):
    assert sightings.take([b"", b"\x09abc", datagram(5, [1])[:-1]]) is None
    assert sightings.malformed == 3
