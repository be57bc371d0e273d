"""What leaves a shard is the newest value, and a world at rest converges exactly."""

import numpy as np

from sidereal.replication.settings import Settings
from sidereal.shard.holdings import Holdings
from sidereal.shard.outbox import Outbox
from sidereal.shard.phase import MOVED
from sidereal.testing.cluster import Cluster
from sidereal.testing.links import Weather
from sidereal.wire import operator_messages as om
from sidereal.world.rules import NS_PER_S, WorldRules

SETTINGS = Settings(rules=WorldRules(sector_size=100.0), idle_unload_ns=60 * NS_PER_S)


def one_shard(loss: float, count: int) -> tuple[Cluster, np.ndarray]:
    cluster = Cluster(21, shards=1, settings=SETTINGS, weather=Weather(datagram_loss=loss))
    cluster.run(0.3)
    draw = np.random.default_rng(1)
    ids = cluster.spawn(draw.uniform(0, 100, (count, 2)), draw.uniform(-5, 5, (count, 2)))
    cluster.run(1.5)
    return cluster, ids


def write_states(cluster: Cluster, ids: np.ndarray, size: int, fill: int) -> None:
    core = cluster.shards[0].core
    slots = core.holdings.table.slots(ids)
    lengths = np.full(len(ids), size, np.uint32)
    core.set_states(slots, lengths, np.full(size * len(ids), fill, np.uint8))


def test_a_changed_state_reaches_the_server_within_its_interval_and_says_its_tick():
    cluster, ids = one_shard(loss=0.0, count=20)
    for fill in (7, 8):  # the second time it goes out when it has just gone out
        # They change in the tick after this one.
        before = cluster.shards[0].core.holdings.table.tick.max()
        write_states(cluster, ids, 24, fill)
        cluster.run(SETTINGS.rules.state_interval_s + 0.2)
        table = cluster.manager.books.table
        lengths, states = table.states(table.slots(ids))
        assert (lengths == 24).all()
        assert (states == fill).all()
        assert (table.state_tick[table.slots(ids)] > before).all()


def test_a_state_that_no_datagram_holds_goes_as_a_message():
    cluster, ids = one_shard(loss=0.0, count=3)
    write_states(cluster, ids, 5_000, 9)
    cluster.run(SETTINGS.rules.state_interval_s + 0.2)
    table = cluster.manager.books.table
    lengths, states = table.states(table.slots(ids))
    assert (lengths == 5_000).all()
    assert (states == 9).all()


def test_a_world_at_rest_converges_exactly_though_a_third_of_the_datagrams_is_lost():
    cluster, ids = one_shard(loss=0.33, count=400)
    write_states(cluster, ids, 16, 3)

    def stop(world, dt):
        world.velocity[:] = 0

    cluster.step = stop
    cluster.run(SETTINGS.rules.state_interval_s + 3)
    server = cluster.manager.books.table
    shard = cluster.shards[0].core.holdings.table
    there, here = server.slots(ids), shard.slots(ids)
    quantum = 100.0 / 2**30
    assert np.abs(server.position[there] - shard.position[here]).max() <= quantum
    assert (server.velocity[there] == 0).all()
    assert (server.states(there)[1] == 3).all()


def test_a_sector_that_is_unloaded_and_loaded_again_has_what_was_in_it_bit_for_bit():
    cluster, ids = one_shard(loss=0.0, count=10)
    cluster.step = lambda world, dt: None
    write_states(cluster, ids, 16, 5)
    exact = cluster.shards[0].core.holdings.table.position.copy()
    order = cluster.shards[0].core.holdings.table.ids.copy()
    for sector in cluster.shards[0].core.sector_list():
        cluster.command(om.Command(1, "unload", sector, None))
    cluster.run(1.0)
    assert cluster.manager.books.counters["deactivations"] >= 1
    table = cluster.shards[0].core.holdings.table
    assert (table.position[table.slots(order)] == exact).all()
    assert (table.states(table.slots(ids))[1] == 5).all()


def test_a_shard_that_is_behind_sends_one_tick_in_a_few_and_forgets_nothing():
    holdings = Holdings(SETTINGS.rules)
    table, outbox = holdings.table, Outbox(SETTINGS.rules)
    ids = np.arange(1, 201, dtype=np.uint64)
    table.upsert(ids, np.full((200, 2), 50.0), np.zeros((200, 2)))
    table.bind(table.slots(ids), np.arange(200, dtype=np.uint32))
    holdings.own.set(np.array([[0, 0]], np.int32), 0, 1)
    sent: list[int] = []
    for tick in range(101, 113):
        slots = np.arange(200, dtype=np.uint32)
        holdings.move(slots, np.full((200, 2), tick / 10), np.zeros((200, 2)))
        table.tick[:] = tick
        payloads = outbox.collect(table, holdings.own, tick, behind=tick > 101)
        outbox.sent(-1)
        if payloads:
            sent.append(tick)
            assert not (table.dirty & MOVED).any()
        else:
            assert (table.dirty & MOVED).all()
    assert sent == [101, 105, 109]
    assert outbox.collect(table, holdings.own, 112)
