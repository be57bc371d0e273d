"""Clients see what is within their radius, whichever shards simulate it."""

import numpy as np
import pytest

from sidereal.client import events as ev
from sidereal.kernel import ABSENT
from sidereal.replication.interest import LEAVE_FACTOR
from sidereal.replication.settings import MS, Settings
from sidereal.testing.clocks import LocalClock
from sidereal.testing.cluster import Cluster
from sidereal.testing.links import Weather
from sidereal.wire import operator_messages as om
from sidereal.world.rules import NS_PER_S, WorldRules

SETTINGS = Settings(rules=WorldRules(sector_size=100.0), idle_unload_ns=2 * NS_PER_S, cold_load=1e9)


def still(world, dt):
    pass


def turning(extent: float):
    def step(world, dt):
        elapsed = (world.tick - world.since.astype(np.int64)) * dt
        world.position += world.velocity * elapsed[:, None]
        out = np.abs(world.position) > extent
        world.velocity[out] = (-np.sign(world.position) * np.abs(world.velocity))[out]

    return step


def crowd(cluster: Cluster, count: int, extent: float, speed: float) -> np.ndarray:
    generator = np.random.default_rng(cluster.random.getrandbits(32))
    position = generator.uniform(-extent, extent, (count, 2))
    return cluster.spawn(position, generator.uniform(-speed, speed, (count, 2)))


def truth(cluster: Cluster) -> dict[int, tuple[float, float]]:
    """Where everything is, by the shards that simulate it."""
    found = {}
    for shard in cluster.alive():
        table = shard.core.holdings.table
        for entity, at in zip(table.ids.tolist(), table.position.tolist(), strict=True):
            found[entity] = (at[0], at[1])
    return found


def test_a_client_sees_the_crowd_around_a_point_across_all_shards():
    cluster = Cluster(1, shards=3, settings=SETTINGS, step=still)
    cluster.run(0.5)
    crowd(cluster, 200, 300, 0)
    client = cluster.add_client()
    client.core.subscribe(150.0, point=(10.0, 20.0))
    cluster.run(2)
    where = truth(cluster)
    near = {e for e, (x, y) in where.items() if (x - 10) ** 2 + (y - 20) ** 2 <= 150.0**2}
    assert 20 < len(near) < 150
    assert set(client.picture.position) == near
    holders = {s.name for s in cluster.shards if set(s.core.holdings.table.ids.tolist()) & near}
    assert len(holders) > 1
    rows = client.of(ev.EntitiesEntered)[0].entities
    assert rows.states.view(np.uint32).tolist() == rows.ids.tolist()


@pytest.mark.parametrize("seed", range(2, 5))
def test_a_view_converges_exactly_when_the_world_comes_to_rest_though_datagrams_are_lost(seed):
    weather = Weather(datagram_loss=0.3, delay_ns=10 * MS, jitter_ns=40 * MS)
    cluster = Cluster(seed, shards=3, settings=SETTINGS, step=turning(200), weather=weather)
    cluster.run(0.5)
    crowd(cluster, 150, 200, 60)
    client = cluster.add_client()
    client.core.subscribe(160.0, point=(0.0, 0.0))
    cluster.run(6)
    assert cluster.manager.books.counters["handoffs"] > 5
    assert len(client.of(ev.EntitiesLeft)) > 5
    cluster.step = still
    cluster.run(4)
    table = cluster.manager.books.table
    slots = table.slots(np.array(sorted(client.picture.position), np.uint64))
    recorded = table.position[slots]
    drawn = np.array([client.picture.position[e] for e in sorted(client.picture.position)])
    assert (drawn == recorded).all()
    away = np.hypot(*table.position.T)
    seen = np.isin(table.ids, table.ids[slots])
    assert seen[away <= 160.0].all()
    assert not seen[away > 160.0 * LEAVE_FACTOR].any()


def test_a_subscription_to_an_entity_goes_where_it_goes():
    cluster = Cluster(6, shards=2, settings=SETTINGS)
    cluster.run(0.5)
    scout, post, late = cluster.spawn(
        np.array([[50.0, 50.0], [50.0, 60.0], [450.0, 60.0]]),
        np.array([[40.0, 0.0], [0.0, 0.0], [0.0, 0.0]]),
    ).tolist()
    client = cluster.add_client()
    client.core.subscribe(30.0, entity=scout)
    cluster.run(0.4)
    assert set(client.picture.position) == {scout, post}
    cluster.run(9.6)
    assert set(client.picture.position) == {scout, late}


def test_two_overlapping_subscriptions_show_each_entity_once_and_unsubscribing_hides_the_rest():
    cluster = Cluster(7, shards=2, settings=SETTINGS, step=still)
    cluster.run(0.5)
    ids = cluster.spawn(np.array([[0.0, 0.0], [40.0, 0.0], [80.0, 0.0]]), np.zeros((3, 2)))
    client = cluster.add_client()
    first = client.core.subscribe(50.0, point=(0.0, 0.0))
    client.core.subscribe(50.0, point=(80.0, 0.0))
    cluster.run(1)
    assert set(client.picture.position) == set(ids.tolist())
    client.core.unsubscribe(first)
    cluster.run(0.5)
    assert set(client.picture.position) == set(ids[1:].tolist())
    client.core.unsubscribe(2)
    cluster.run(0.5)
    assert not client.picture.position


def test_what_is_destroyed_leaves_as_destroyed_and_what_walks_away_only_leaves():
    cluster = Cluster(8, shards=2, settings=SETTINGS)
    cluster.run(0.5)
    doomed, walker = cluster.spawn(
        np.array([[0.0, 0.0], [10.0, 0.0]]), np.array([[0.0, 0.0], [30.0, 0.0]])
    ).tolist()
    client = cluster.add_client()
    client.core.subscribe(40.0, point=(0.0, 0.0))
    cluster.run(0.4)
    cluster.command(om.DestroyByOperator(1, [doomed]))
    cluster.run(2)
    assert not client.picture.position
    assert client.picture.destroyed == {doomed}
    left = np.concatenate([event.ids for event in client.of(ev.EntitiesLeft)])
    assert sorted(left.tolist()) == sorted([doomed, walker])


def test_what_wanders_on_the_edge_of_a_view_does_not_flicker():
    def wobble(world, dt):
        world.position[:, 0] = 100.0 + 2.0 * np.sin(world.tick)

    cluster = Cluster(9, shards=1, settings=SETTINGS, step=wobble)
    cluster.run(0.5)
    cluster.spawn(np.array([[100.0, 0.0]]), np.zeros((1, 2)))
    client = cluster.add_client()
    client.core.subscribe(100.0, point=(0.0, 0.0))
    cluster.run(5)
    assert len(client.of(ev.EntitiesEntered)) == 1
    assert not client.of(ev.EntitiesLeft)


def test_a_clients_bytes_per_second_are_kept_and_the_nearest_come_first():
    settings = Settings(
        rules=SETTINGS.rules, idle_unload_ns=NS_PER_S, cold_load=1e9, client_bytes_per_s=20_000
    )
    cluster = Cluster(10, shards=2, settings=settings, step=turning(200))
    cluster.run(0.5)
    crowd(cluster, 400, 200, 20)
    cluster.run(1)
    client = cluster.add_client()
    client.core.subscribe(300.0, point=(0.0, 0.0))
    seconds = 6
    cluster.run(0.5)
    first = client.of(ev.EntitiesEntered)[0].entities.position
    assert len(first) < 100
    waiting = cluster.manager.books.table.position
    assert np.hypot(*first.T).max() <= np.median(np.hypot(*waiting.T))
    cluster.run(seconds)
    assert client.bytes_received <= 20_000 * (seconds + 1)
    assert len(client.picture.position) == 400
    now = cluster.manager.books.tick_at(cluster.clock.now)
    drawn = client.picture
    age = {e: now - tick for e, tick in drawn.tick.items()}
    away = {e: np.hypot(*at) for e, at in drawn.position.items()}
    near = [age[e] for e in age if away[e] < 75]
    far = [age[e] for e in age if away[e] > 225]
    assert np.mean(near) < np.mean(far)
    assert max(age.values()) < 3 * settings.rules.tick_hz


def test_entities_in_custody_are_seen_to_move_on():
    cluster = Cluster(11, shards=1, settings=SETTINGS)
    cluster.run(0.5)
    cluster.spawn(np.array([[0.0, 0.0]]), np.array([[10.0, 0.0]]))
    client = cluster.add_client()
    client.core.subscribe(200.0, point=(0.0, 0.0))
    cluster.run(1)
    cluster.kill(cluster.shards[0])
    cluster.run(5)
    (entity,) = client.picture.position
    before, tick = client.picture.position[entity][0], client.picture.tick[entity]
    cluster.run(1)
    moved = client.picture.position[entity][0] - before
    elapsed_s = (client.picture.tick[entity] - tick) / SETTINGS.rules.tick_hz
    assert elapsed_s > 0.8
    assert moved == pytest.approx(10.0 * elapsed_s)
    # The next shard goes on from the newest state that the server had; nothing jumps back.
    cluster.add_shard("next")
    cluster.run(1)
    assert client.picture.position[entity][0] > before + moved


def test_what_was_seen_to_move_on_in_custody_and_rests_is_seen_where_it_rests():
    """Seed 100434: a shard that was a tick behind took it over, and had nothing more to say."""

    def clock_of(name, clock):
        return LocalClock(clock, 0, -50_000 if name == "behind" else 0)

    weather = Weather(delay_ns=1 * MS, jitter_ns=0, datagram_loss=0.2)
    cluster = Cluster(
        11, shards=1, settings=SETTINGS, step=still, weather=weather, clock_of=clock_of
    )
    cluster.run(1)
    cluster.spawn(np.full((9, 2), 50.0), np.tile([3.0, 1.0], (9, 1)))
    cluster.run(1)
    behind = cluster.add_shard("behind")
    client = cluster.add_client()
    client.core.subscribe(200.0, point=(0.0, 0.0))
    cluster.run(1)
    cluster.order(om.Command(1, "cordon", None, behind.core.shard_id))
    cluster.kill(cluster.shards[0])
    cluster.run(8)
    assert all(x > 53 for x, _ in client.picture.position.values())
    cluster.order(om.Command(1, "uncordon", None, behind.core.shard_id))
    cluster.run(2)
    for at in client.picture.position.values():
        assert at == pytest.approx((50.0, 50.0))


def test_nothing_is_computed_for_clients_when_there_are_none(monkeypatch):
    cluster = Cluster(12, shards=1, settings=SETTINGS)

    def never(*_):
        raise AssertionError("a snapshot was taken for nobody")

    monkeypatch.setattr("sidereal.replication.interest.Snapshot", never)
    cluster.run(1)
    client = cluster.add_client()
    cluster.run(0.5)
    client.core.subscribe(1.0, point=(0.0, 0.0))
    with pytest.raises(AssertionError, match="for nobody"):
        cluster.run(0.5)


def test_a_state_that_changes_reaches_those_who_see_it_and_no_other_is_sent():
    cluster = Cluster(31, shards=2, settings=SETTINGS, step=still)
    cluster.run(0.5)
    ids = crowd(cluster, 20, 60, 0)
    client = cluster.add_client()
    client.core.subscribe(150.0, point=(0.0, 0.0))
    cluster.run(3)
    assert len(client.picture.position) == 20
    before = sum(len(event.states) for event in client.of(ev.EntitiesChanged))
    cluster.run(2)
    assert sum(len(event.states) for event in client.of(ev.EntitiesChanged)) == before
    for shard in cluster.shards:
        table = shard.core.holdings.table
        slot = table.slots(ids[:1])
        if slot[0] != ABSENT:
            shard.core.set_states(slot, np.array([5], np.uint32), np.frombuffer(b"angry", np.uint8))
    cluster.run(2.5)
    told = [event.states for event in client.of(ev.EntitiesChanged)]
    assert sum(map(len, told)) == before + 1
    assert told[-1].ids.tolist() == ids[:1].tolist()
    assert told[-1].states.tobytes() == b"angry"
