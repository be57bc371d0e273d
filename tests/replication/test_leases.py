"""Stories of leases: answers that do not arrive, that arrive late, and who notices."""

import numpy as np
import pytest

from replication.small_server import SETTINGS as SERVER
from replication.small_server import WEST, Server
from replication.test_ownership import SETTINGS, crowd, inside
from sidereal.replication.leases import SPARED_HEARTBEATS
from sidereal.replication.manager import SectorManager
from sidereal.replication.settings import MS
from sidereal.shard import events as ev
from sidereal.store import MemoryStore
from sidereal.testing import checks
from sidereal.testing.cluster import Cluster, SimulatedShard
from sidereal.wire import shard_messages as sm
from sidereal.world.rules import NS_PER_S

NEVER_NS = 3600 * NS_PER_S
"""A transport that does not give a link up: the leases alone must notice."""


def deaf(seed: int) -> tuple[Cluster, SimulatedShard]:
    """A cluster in motion, and a shard of it that has entities."""
    cluster = Cluster(
        seed, shards=3, settings=SETTINGS, step=inside(300), comes_back=True, idle_ns=NEVER_NS
    )
    cluster.run(0.5)
    crowd(cluster, 200, 300, 30)
    cluster.run(4)
    shard = cluster.shards[1]
    assert len(shard.core.holdings.table) > 20
    return cluster, shard


@pytest.mark.parametrize("seed", range(4))
def test_a_shard_that_hears_nothing_any_more_is_noticed_and_its_sectors_live_elsewhere(seed):
    cluster, shard = deaf(seed)
    cluster.run(0.13 * seed)
    shard.line.hold("down")
    patience = SETTINGS.lease_ns + SETTINGS.drift_allowance_ns + 2 * SETTINGS.heartbeat_ns
    cluster.run((patience + 200 * MS) / NS_PER_S)
    counters = cluster.manager.books.counters
    assert counters["fences"] == 1
    assert counters["rehomed"] > 20
    assert not shard.leased
    holders = cluster.manager.books.table.shard
    assert len(holders) == 200
    assert -1 not in holders
    assert shard.core.shard_id not in holders


def test_it_joins_anew_once_it_hears_again():
    cluster, shard = deaf(11)
    shard.line.hold("down")
    cluster.run(8)
    assert cluster.manager.books.counters["fences"] == 1
    shard.line.release("down")
    cluster.run(2)
    assert [type(event) for event in shard.log].count(ev.Registered) == 2
    cluster.step = lambda world, dt: None
    cluster.run(2)
    checks.settled(cluster)
    assert shard.leased


@pytest.mark.parametrize("seed", range(4))
def test_deafness_shorter_than_the_lease_costs_nothing(seed):
    cluster, shard = deaf(20 + seed)
    cluster.run(0.13 * seed)
    shard.line.hold("down")
    cluster.run((SETTINGS.lease_ns - SETTINGS.heartbeat_ns - 100 * MS) / NS_PER_S)
    shard.line.release("down")
    cluster.run(6)
    assert cluster.manager.books.counters["fences"] == 0
    assert not any(isinstance(event, ev.LeaseLost) for event in shard.log)


def test_answers_that_are_late_and_keep_coming_keep_the_lease():
    cluster, shard = deaf(31)
    shard.line.down.extra_ns = shard.line.up.extra_ns = 600 * MS
    cluster.run(20)
    assert cluster.manager.books.counters["fences"] == 0
    assert not any(isinstance(event, ev.LeaseLost) for event in shard.log)
    cluster.step = lambda world, dt: None
    shard.line.down.extra_ns = shard.line.up.extra_ns = 0
    cluster.run(3)
    checks.settled(cluster)
    assert np.unique(cluster.manager.books.table.ids).size == 200


def stumble(cluster: Cluster, seconds: float) -> None:
    """Let time pass for a server that stands still five sixths of it."""
    for _ in range(round(seconds / 0.3)):
        cluster.server.paused = True
        cluster.run(0.25)
        cluster.server.paused = False
        cluster.run(0.05)


def test_a_server_that_stands_still_again_and_again_declares_the_dead_and_nobody_else():
    cluster, shard = deaf(41)
    books = cluster.manager.books
    answered_ns = books.shards.get(shard.core.shard_id).answered_ns
    cluster.kill(shard)
    while not books.counters["fences"]:
        stumble(cluster, 0.3)
    late_ns = cluster.clock.now - answered_ns - SETTINGS.lease_ns - SETTINGS.drift_allowance_ns
    assert 0 < late_ns <= (250 + 300) * MS, (
        "one of its pauses does not count, and it looks at times"
    )
    stumble(cluster, 6.0)
    assert books.counters["fences"] == 1
    assert books.counters["stalls"] > 20


def test_a_death_is_declared_lease_and_allowance_after_the_last_answer_to_the_tick():
    server = Server()
    heard = [m for m in server.said[WEST] if isinstance(m, sm.RegistrationAck)][-1].server_ns
    server.say(WEST, sm.Heartbeat(server.now, 0, 0, heard))
    answered_ns, patience = server.now, SERVER.lease_ns + SERVER.drift_allowance_ns
    west = server.books.shards.by_link(WEST).shard_id
    while server.now + SERVER.rules.tick_ns <= answered_ns + patience:
        server.turn()
        assert server.books.shards.get(west) is not None
    server.turn()
    assert server.books.shards.get(west) is None


def test_a_server_that_stands_still_right_after_it_stood_still_listens_again():
    server = Server()
    patience = SERVER.lease_ns + SERVER.drift_allowance_ns
    heard = [m for m in server.said[WEST] if isinstance(m, sm.RegistrationAck)][-1].server_ns
    server.say(WEST, sm.Heartbeat(server.now, 0, 0, heard))
    server.turn()
    for still_ns in (patience * 3 // 4, patience * 7 // 8):  # nothing that anybody said is read yet
        server.now += still_ns
        server.manager.tick(server.now)
    server.drain()
    assert server.books.counters["fences"] == 0
    answers = server.say(WEST, sm.Heartbeat(server.now, 0, 0, heard))
    assert [answer.extends for answer in answers] == [False], "it can have heard nothing newer"
    server.turn(5)
    server.say(WEST, sm.Heartbeat(server.now, 0, 0, answers[0].server_ns))
    server.turn(SPARED_HEARTBEATS * SERVER.heartbeat_ns // SERVER.rules.tick_ns)
    assert [shard.name for shard in server.books.shards] == ["west"], "the other said nothing"


def test_nobody_is_dead_because_the_whole_machine_slept():
    cluster, _ = deaf(42)
    for process in (cluster.server, *cluster.shards):
        process.paused = True
    cluster.run(20)
    cluster.server.paused = False
    cluster.run(0.7)
    for shard in cluster.shards:
        shard.paused = False
    cluster.run(2)
    assert cluster.manager.books.counters["fences"] == 0
    cluster.step = lambda world, dt: None
    cluster.run(2)
    checks.settled(cluster)


def test_a_server_that_took_long_to_start_gives_everybody_a_lease_from_its_first_tick():
    cluster, _ = deaf(43)
    cluster.server.crash()
    store = MemoryStore(cluster.disk)
    term, found, now = store.acquire_term(), store.load(), cluster.clock.now
    history = [*(found.snapshot or ()), *found.records]
    manager = SectorManager(SETTINGS, term=term, now=now, history=history)
    now += 5 * NS_PER_S
    patience = SETTINGS.lease_ns + SETTINGS.drift_allowance_ns
    for late_ns in range(0, patience + 1, SETTINGS.rules.tick_ns):
        manager.tick(now + late_ns)
        assert manager.books.counters["fences"] == 0
    manager.tick(now + patience + SETTINGS.rules.tick_ns)
    assert manager.books.counters["fences"] == 3
