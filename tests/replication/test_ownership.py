"""Stories of ownership, told by a simulated cluster."""

import numpy as np

from sidereal.replication.settings import MS, Settings
from sidereal.shard import events as ev
from sidereal.testing import checks
from sidereal.testing.cluster import Cluster
from sidereal.wire import operator_messages as om
from sidereal.world.entities import EntityRows, gather
from sidereal.world.rules import NS_PER_S, WorldRules

SETTINGS = Settings(
    rules=WorldRules(sector_size=100.0),
    idle_unload_ns=2 * NS_PER_S,
    rebalance_ns=2 * NS_PER_S,
    move_cooldown_ns=2 * NS_PER_S,
    cold_load=10.0,
)


def crowd(cluster: Cluster, count: int, extent: float, speed: float) -> np.ndarray:
    generator = np.random.default_rng(cluster.random.getrandbits(32))
    position = generator.uniform(-extent, extent, (count, 2))
    velocity = generator.uniform(-speed, speed, (count, 2))
    return cluster.spawn(position, velocity)


def inside(extent: float):
    """A game in which entities turn round at the edge of a square."""

    def step(world, dt):
        elapsed = (world.tick - world.since.astype(np.int64)) * dt
        world.position += world.velocity * elapsed[:, None]
        out = np.abs(world.position) > extent
        inward = -np.sign(world.position) * np.abs(world.velocity)
        world.velocity[out] = inward[out]

    return step


def test_a_crowd_wanders_over_two_shards_and_none_is_lost_or_doubled():
    cluster = Cluster(1, shards=2, settings=SETTINGS, step=inside(300))
    cluster.run(0.5)
    crowd(cluster, 200, 300, 60)
    cluster.run(20)
    counters = cluster.manager.books.counters
    assert counters["handoffs"] > 50
    assert counters["transitions_same_shard"] > 50
    cluster.step = lambda world, dt: None
    cluster.run(2)
    checks.settled(cluster)


def test_entities_that_walk_into_nowhere_have_it_loaded_before_them():
    cluster = Cluster(2, shards=2, settings=SETTINGS)
    cluster.run(0.5)
    cluster.spawn(np.array([[50.0, 50.0]]), np.array([[40.0, 0.0]]))
    cluster.run(30)
    counters = cluster.manager.books.counters
    assert counters["activations"] >= 12
    assert counters["deactivations"] >= 8
    assert counters["transitions_into_custody"] == 0
    checks.settled(cluster)


def test_a_teleport_into_nowhere_waits_in_custody_and_arrives():
    cluster = Cluster(3, shards=2, settings=SETTINGS)
    cluster.run(0.5)
    ids = cluster.spawn(np.array([[50.0, 50.0]]), np.array([[0.0, 0.0]]))
    cluster.run(1)

    def teleport(world, dt):
        world.position[world.tick == world.tick] = [100_050.0, 50.0]

    cluster.step = teleport
    cluster.run(1)
    assert cluster.manager.books.counters["transitions_into_custody"] == 1
    table = cluster.manager.books.table
    assert table.sector[table.slots(ids)].tolist() == [[1000, 0]]
    checks.settled(cluster)


def test_a_killed_shards_entities_are_simulated_again_by_others():
    cluster = Cluster(4, shards=3, settings=SETTINGS, step=inside(300))
    cluster.run(0.5)
    crowd(cluster, 300, 300, 30)
    cluster.run(5)
    victim = cluster.shards[1]
    held = len(victim.core.holdings.table)
    assert held > 20
    cluster.kill(victim)
    lease = SETTINGS.lease_ns + SETTINGS.drift_allowance_ns
    cluster.run((lease + 1000 * MS) / NS_PER_S)
    cluster.step = lambda world, dt: None
    cluster.run(1)
    checks.settled(cluster)
    assert cluster.manager.books.counters["rehomed"] >= held - 5
    assert len(cluster.manager.books.table) == 300


def test_a_killed_shards_entities_go_on_from_the_newest_that_the_server_received():
    """Where they were in its last tick that arrived; their states may be an interval older."""

    def step(world, dt):
        inside(300)(world, dt)
        world.state["tick"] = world.tick

    dtype = np.dtype([("tick", "u4")])
    cluster = Cluster(4, shards=2, settings=SETTINGS, step=step, state_dtype=dtype)
    cluster.run(0.5)
    crowd(cluster, 200, 300, 30)
    cluster.run(5)
    victim, survivor = cluster.shards
    table, books = victim.core.holdings.table, cluster.manager.books
    ids = table.ids[table.phase == 0].copy()
    here, died = table.slots(ids), victim.ticked
    cluster.kill(victim)
    cluster.run(0.5)
    received = gather(books.table, books.table.slots(ids))
    on_time = table.tick[here] == died
    assert (received.tick[on_time] >= died - 1).all()
    state = received.states.view(dtype)["tick"]
    oldest = received.tick - SETTINGS.rules.state_interval_ticks - 2
    assert (state >= oldest).all()
    assert (state < received.tick).any(), "a state goes out once in an interval"
    survivor.log.clear()
    cluster.run((SETTINGS.lease_ns + SETTINGS.drift_allowance_ns + 1000 * MS) / NS_PER_S)
    told = [
        e.entities for e in survivor.log if isinstance(e, ev.SectorAssigned | ev.EntitiesEntered)
    ]
    again = EntityRows.concat(told)
    again = again.take(np.isin(again.ids, ids))
    assert sorted(again.ids.tolist()) == sorted(ids.tolist())
    order, sent = np.argsort(again.ids), received.take(np.argsort(received.ids))
    for column in ("position", "velocity", "tick"):
        assert (getattr(again.take(order), column) == getattr(sent, column)).all(), column
    assert (again.take(order).states == sent.states).all()


def test_nobody_takes_over_before_the_lease_of_a_paused_shard_is_over():
    cluster = Cluster(5, shards=2, settings=SETTINGS, step=inside(300))
    cluster.run(0.5)
    crowd(cluster, 100, 300, 30)
    cluster.run(3)
    victim = cluster.shards[0]
    victim.paused = True
    cluster.run(2.0)
    assert cluster.manager.books.counters["fences"] == 0
    cluster.run(2.0)
    assert cluster.manager.books.counters["fences"] == 1
    victim.paused = False
    cluster.step = lambda world, dt: None
    cluster.run(1)
    assert not victim.core.has_lease(cluster.clock.now)
    survivors = checks.simulated_by(cluster.shards[1], cluster.clock.now)
    assert len(survivors) == 100


def test_an_operator_moves_a_sector_under_traffic():
    cluster = Cluster(6, shards=2, settings=SETTINGS, step=inside(150))
    cluster.run(0.5)
    crowd(cluster, 200, 150, 60)
    cluster.run(2)
    books = cluster.manager.books
    for _ in range(20):
        entry = books.entry((0, 0))
        other = 1 - entry.shard_id
        cluster.command(om.Command(1, "migrate", (0, 0), other))
        cluster.run(0.5)
    assert books.counters["migrations"] >= 18
    assert books.freezes_ns
    assert max(books.freezes_ns) < 150 * MS
    cluster.step = lambda world, dt: None
    cluster.run(2)
    checks.settled(cluster)


def test_hot_shards_give_border_sectors_to_cold_ones():
    cluster = Cluster(7, shards=1, settings=SETTINGS, step=inside(400))
    cluster.run(0.5)
    crowd(cluster, 400, 400, 10)
    cluster.run(2)
    cluster.add_shard("shard-9")
    cluster.run(60)
    books = cluster.manager.books
    sizes = sorted(len(books.rows_of(info.shard_id)) for info in books.shards)
    assert sizes[0] > 150
    assert "over" in next(e.why for e in books.sectors.values() if e.moved_ns)


def test_a_drained_shard_ends_empty_and_loses_nothing():
    cluster = Cluster(8, shards=3, settings=SETTINGS, step=inside(300))
    cluster.run(0.5)
    crowd(cluster, 200, 300, 30)
    cluster.run(3)
    drained = cluster.shards[1]
    assert len(drained.core.holdings.table) > 0
    cluster.command(om.Command(1, "drain", None, drained.core.shard_id))
    cluster.run(5)
    assert not drained.core.sector_list()
    assert len(drained.core.holdings.table) == 0
    cluster.step = lambda world, dt: None
    cluster.run(1)
    checks.settled(cluster)


def test_a_shard_that_dies_while_it_is_drained_does_not_stop_the_planner():
    cluster = Cluster(9, shards=3, settings=SETTINGS, step=inside(300))
    cluster.run(0.5)
    crowd(cluster, 200, 300, 30)
    cluster.run(3)
    drained = cluster.shards[1]
    cluster.command(om.Command(1, "drain", None, drained.core.shard_id))
    cluster.kill(drained)
    cluster.run(5)
    cluster.step = lambda world, dt: None
    cluster.run(1)
    checks.settled(cluster)


def test_a_step_whose_lease_ended_meanwhile_is_neither_simulated_twice_nor_half_forgotten():
    cluster = Cluster(11, shards=1, settings=SETTINGS, step=lambda world, dt: None)
    cluster.run(0.5)
    cluster.spawn(np.full((2, 2), 50.0), np.zeros((2, 2)))
    cluster.run(0.5)
    core = cluster.shards[0].core
    table = core.holdings.table
    tick = cluster.shards[0].ticked + 1
    slots = core.runnable(tick)
    ids = table.ids[slots]
    core.move(slots, np.full((2, 2), 60.0), np.zeros((2, 2)))
    core.session._lease_until = cluster.clock.now
    cluster.witness.wished_ends(cluster.shards[0], ids[:1])
    assert not core.complete(tick, slots, cluster.clock.now, destroyed=[ids[:1]])
    assert not len(core.runnable(tick))
    assert core._payloads == []
    assert not cluster.manager.books.counters["destroyed"]
    cluster.run(1)
    assert cluster.manager.books.counters["destroyed"] == 1
    record = cluster.manager.books.table
    assert np.allclose(record.position[record.slots(ids[1:])], 60.0, atol=1e-4)


def test_custody_that_ended_with_its_entity_is_not_remembered():
    cluster = Cluster(10, shards=1, settings=SETTINGS, step=lambda world, dt: None)
    cluster.run(0.5)
    cluster.command(om.Command(1, "load", (5, 5), None))
    cluster.run(0.5)
    cluster.shards[0].paused = True
    cluster.command(om.Command(1, "unload", (5, 5), None))
    ids = cluster.spawn(np.array([[550.0, 550.0]]), np.zeros((1, 2)))
    assert cluster.manager.books.entry((5, 5)).custody_since_ns is not None
    cluster.command(om.DestroyByOperator(1, ids.tolist()))
    cluster.shards[0].paused = False
    cluster.run(1)
    assert cluster.manager.books.entry((5, 5)).custody_since_ns is None
    assert cluster.command(om.StatusRequest(1)).custody_oldest_ns == 0
