"""Stories of entities that shards create and end, and of groups that cross as one."""

import numpy as np
import pytest

from sidereal.errors import ProtocolError
from sidereal.kernel import ABSENT
from sidereal.replication.settings import Settings
from sidereal.shard.grants import Grants
from sidereal.shard.phase import SPAWNING
from sidereal.testing import checks, replays
from sidereal.testing.cluster import Cluster
from sidereal.wire import operator_messages as om
from sidereal.world.rules import NS_PER_S, WorldRules

SETTINGS = Settings(rules=WorldRules(sector_size=100.0), idle_unload_ns=60 * NS_PER_S)


def two_shards_side_by_side() -> Cluster:
    """Sectors x < 0 on one shard, x >= 0 on the other, all of them active."""
    cluster = Cluster(11, shards=2, settings=SETTINGS)
    cluster.run(0.3)
    for x in range(-3, 3):
        cluster.command(om.Command(1, "load", (x, 0), None))
    cluster.run(0.5)
    west, east = cluster.shards
    for x in range(-3, 3):
        shard = west if x < 0 else east
        if (x, 0) not in shard.core.sector_list():
            cluster.command(om.Command(1, "migrate", (x, 0), shard.core.shard_id))
    cluster.run(0.5)
    assert sorted(west.core.sector_list()) == [(-3, 0), (-2, 0), (-1, 0)]
    return cluster


def holder(cluster: Cluster, ids: np.ndarray) -> list[str | None]:
    found = []
    for entity in ids:
        names = [
            shard.name
            for shard in cluster.alive()
            if entity in checks.simulated_by(shard, cluster.clock.now)
        ]
        found.append(names[0] if names else None)
    return found


def spawn(shard, x, velocity=0.0, group=None):
    count = len(x)
    return shard.core.spawn(
        shard.ticked,
        np.column_stack([x, np.full(count, 50.0)]),
        np.column_stack([np.full(count, velocity), np.zeros(count)]),
        group=group,
    )


def test_a_spawn_is_a_shadow_until_the_server_has_it():
    cluster = two_shards_side_by_side()
    west = cluster.shards[0]
    ids = spawn(west, [-50.0])
    table = west.core.holdings.table
    assert table.phase[table.slots(ids)] == SPAWNING
    cluster.run(0.3)
    assert holder(cluster, ids) == ["shard-0"]
    checks.settled(cluster)


def test_a_spawn_beyond_the_border_is_the_other_shards():
    cluster = two_shards_side_by_side()
    ids = spawn(cluster.shards[0], [50.0, -50.0])
    cluster.run(0.3)
    assert holder(cluster, ids) == ["shard-1", "shard-0"]
    checks.settled(cluster)


def test_a_spawn_far_from_everything_has_its_sector_loaded():
    cluster = two_shards_side_by_side()
    ids = spawn(cluster.shards[0], [99_950.0])
    cluster.run(0.5)
    assert None not in holder(cluster, ids)
    checks.settled(cluster)


def test_an_id_that_was_not_granted_is_not_spawned():
    cluster = two_shards_side_by_side()
    west = cluster.shards[0]
    west.core._ids = Grants()
    west.core._ids.put(10**12, 5)
    ids = spawn(west, [-50.0])
    cluster.run(0.3)
    assert holder(cluster, ids) == [None]
    assert cluster.manager.books.table.slots(ids)[0] == ABSENT


@pytest.mark.parametrize("by", ["the same server", "its journal", "its snapshot"])
@pytest.mark.parametrize("ended", [False, True])
def test_a_spawn_that_was_never_answered_is_asked_for_again_and_was_one(ended, by):
    """Or none, where it has ended meanwhile: it does not come back, whoever leads by then."""
    cluster = two_shards_side_by_side()
    west = cluster.shards[0]
    west.line.hold("down")
    ids = spawn(west, [-50.0])
    cluster.run(0.3)
    assert cluster.manager.books.counters["created"] == 1
    assert west.core.holdings.table.phase.tolist() == [SPAWNING]
    if ended:
        cluster.command(om.DestroyByOperator(1, ids.tolist()))
    if by == "its snapshot":
        cluster.server._snapshot()
    if by == "the same server":
        cluster.link_broke(west.link)
    else:
        cluster.server.crash(noticed=False)
        cluster.restart()
        cluster.shards[1].relink()
    west.relink()
    cluster.run(0.5)
    counters = cluster.manager.books.counters
    assert holder(cluster, ids) == [None if ended else "shard-0"]
    assert (counters["created"], counters["destroyed"]) == (1, int(ended))
    assert len(west.core.holdings.table) == len(cluster.manager.books.table) == 1 - ended


def test_the_holder_destroys_and_all_forget():
    cluster = two_shards_side_by_side()
    west = cluster.shards[0]
    ids = spawn(west, [-50.0, -60.0])
    cluster.run(0.3)
    west.destroy(ids[:1])
    cluster.run(0.3)
    assert holder(cluster, ids) == [None, "shard-0"]
    assert cluster.manager.books.counters["destroyed"] == 1
    checks.settled(cluster)


def test_an_operator_destroys_what_is_between_two_shards():
    cluster = two_shards_side_by_side()
    west = cluster.shards[0]
    ids = spawn(west, [-1.0], velocity=60.0)
    cluster.run(0.06)
    for _ in range(40):
        cluster.run(0.001)
        if west.core.holdings.shadows():
            break
    cluster.command(om.DestroyByOperator(1, ids.tolist()))
    cluster.run(0.5)
    assert holder(cluster, ids) == [None]
    assert all(len(shard.core.holdings.table) == 0 for shard in cluster.shards)


def test_a_group_crosses_as_one_by_its_roots_position():
    cluster = two_shards_side_by_side()
    west = cluster.shards[0]
    root = spawn(west, [-30.0], velocity=30.0)
    cluster.run(0.2)
    passengers = spawn(west, [-40.0, -60.0, -80.0], velocity=30.0, group=np.repeat(root, 3))
    table = west.core.holdings.table
    table.group[table.slots(root)] = root
    cluster.run(0.2)
    everybody = np.concatenate([root, passengers])
    seen = set()
    for _ in range(100):
        cluster.run(0.02)
        where = holder(cluster, everybody)
        simulated = {name for name in where if name is not None}
        assert len(simulated) <= 1, "a group was torn over two shards"
        seen |= simulated
    assert seen == {"shard-0", "shard-1"}
    assert holder(cluster, everybody) == ["shard-1"] * 4


def test_a_message_that_makes_no_sense_ends_its_link_and_no_other():
    cluster = two_shards_side_by_side()
    west, east = cluster.shards
    ids = spawn(east, [50.0])
    cluster.run(0.3)
    cluster.manager.receive(west.link, om.StatusRequest(1), cluster.clock.now)
    cluster.server.drain()
    assert "may not send StatusRequest" in west.ended
    cluster.run(0.5)
    assert holder(cluster, ids) == ["shard-1"]


def test_a_server_that_breaks_the_protocol_is_told_apart_from_the_game():
    cluster = two_shards_side_by_side()
    with pytest.raises(ProtocolError, match="may not send StatusRequest"):
        cluster.shards[0].core.receive(om.StatusRequest(1), cluster.clock.now)


def test_a_shadow_that_was_to_be_destroyed_is_once_it_turns_out_to_be_held():
    cluster = two_shards_side_by_side()
    west = cluster.shards[0]
    ids = spawn(west, [-50.0])
    west.destroy(ids)
    assert west.core.holdings.table.phase[0] == SPAWNING
    cluster.run(0.3)
    assert holder(cluster, ids) == [None]
    assert cluster.manager.books.counters["destroyed"] == 1


def test_singles_and_members_that_are_spawned_in_one_call_all_come_to_be():
    cluster = two_shards_side_by_side()
    west = cluster.shards[0]
    root = spawn(west, [-30.0])
    cluster.run(0.2)
    ids = spawn(west, [-40.0, -50.0, -60.0], group=np.array([0, root[0], 0], np.uint64))
    cluster.run(0.2)
    assert holder(cluster, ids) == ["shard-0"] * 3


def test_members_are_spawned_into_their_roots_sector_though_they_stand_across_the_border():
    cluster = two_shards_side_by_side()
    west = cluster.shards[0]
    root = spawn(west, [-5.0])
    cluster.run(0.2)
    ids = spawn(west, [5.0, -6.0], group=np.repeat(root, 2))
    cluster.run(0.2)
    assert holder(cluster, ids) == ["shard-0"] * 2
    table = cluster.manager.books.table
    assert table.sector[table.slots(ids)].tolist() == [[-1, 0]] * 2


def test_nobody_is_spawned_behind_a_root_that_is_not_held():
    cluster = two_shards_side_by_side()
    west = cluster.shards[0]
    shadow = spawn(west, [-30.0])
    for root in (shadow, np.array([999], np.uint64)):
        with pytest.raises(ValueError, match="root is held"):
            spawn(west, [-40.0], group=root)


def test_a_root_takes_its_members_along_though_nobody_marked_it_as_one():
    cluster = two_shards_side_by_side()
    west = cluster.shards[0]
    root = spawn(west, [-30.0], velocity=30.0)
    cluster.run(0.2)
    members = spawn(west, [-40.0, -60.0], velocity=30.0, group=np.repeat(root, 2))
    cluster.run(2)
    assert holder(cluster, np.concatenate([root, members])) == ["shard-1"] * 3


def test_members_go_their_own_ways_when_their_root_is_no_more():
    cluster = two_shards_side_by_side()
    west = cluster.shards[0]
    root = spawn(west, [-130.0], velocity=30.0)
    cluster.run(0.2)
    members = spawn(west, [-140.0, -160.0], velocity=30.0, group=np.repeat(root, 2))
    cluster.run(0.2)
    cluster.command(om.DestroyByOperator(1, root.tolist()))
    cluster.run(2.5)
    assert holder(cluster, members) == ["shard-0"] * 2
    replays.replayed(cluster)
    cluster.run(3.5)
    assert holder(cluster, members) == ["shard-1"] * 2
    checks.settled(cluster)


def test_a_member_far_from_its_root_is_updated_every_tick():
    cluster = two_shards_side_by_side()
    west = cluster.shards[0]
    root = spawn(west, [-30.0])
    cluster.run(0.2)
    member = spawn(west, [-40.0], velocity=7_000.0, group=root)
    cluster.run(1)
    record, table = cluster.manager.books.table, west.core.holdings.table
    there, here = record.slots(member), table.slots(member)
    assert record.sector[there].tolist() == [[-1, 0]], "its root's"
    assert table.position[here][0, 0] > 5_000.0
    behind = table.position[here][0, 0] - record.position[there][0, 0]
    assert 0 <= behind <= 7_000.0 * 0.2
    west.core.move(here, np.array([[-1e6, 0.0]]), np.zeros((1, 2)))
    cluster.step = lambda world, dt: None
    cluster.run(0.3)
    assert record.position[there].tolist() == [[-1e6, 0.0]]


def test_a_velocity_that_no_update_holds_is_still_told():
    cluster = two_shards_side_by_side()
    west = cluster.shards[0]
    ids = spawn(west, [-50.0])
    cluster.run(0.2)
    cluster.step = lambda world, dt: None
    table, record = west.core.holdings.table, cluster.manager.books.table
    west.core.move(table.slots(ids), np.array([[-51.0, 50.0]]), np.array([[1e40, 0.0]]))
    cluster.run(0.3)
    slot = record.slots(ids)
    assert record.velocity[slot].tolist() == [[1e40, 0.0]]
    assert record.position[slot].tolist() == [[-51.0, 50.0]]
