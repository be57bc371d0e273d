"""The replication server dies and another takes over from its journal: nobody loses anything."""

from dataclasses import replace

import numpy as np
import pytest
from msgspec import msgpack, structs

from mutants.catalogue import MUTANTS
from mutants.sabotage import sabotaged
from replication.test_resumption import SETTINGS, moving, settle, told
from replication.test_spawn_and_groups import spawn, two_shards_side_by_side
from sidereal.errors import ConfigError, StoreDamaged
from sidereal.kernel import ABSENT
from sidereal.replication import records
from sidereal.replication.books import SENT
from sidereal.replication.manager import SectorManager
from sidereal.replication.replay import Replay, digest
from sidereal.replication.settings import MS
from sidereal.shard import events as ev
from sidereal.store import MemoryStore
from sidereal.testing import replays
from sidereal.testing.cluster import Cluster
from sidereal.testing.observer import Violation
from sidereal.testing.plan import draw
from sidereal.testing.simulation import Simulation
from sidereal.wire import operator_messages as om
from sidereal.world.rules import NS_PER_S, WorldRules


def history(cluster: Cluster) -> list[bytes]:
    """What the cluster's servers committed, whoever led."""
    found = MemoryStore(cluster.disk).load()
    return [*(found.snapshot or ()), *found.records]


def kill(cluster: Cluster) -> None:
    """The server dies, and its shards know it."""
    cluster.server.crash(noticed=False)
    for shard in cluster.alive():
        shard.line.cut()
        shard.core.lost()


def start(cluster: Cluster) -> None:
    """Another server takes over, and the shards come to it."""
    cluster.restart()
    for shard in cluster.alive():
        shard.relink()


@pytest.mark.parametrize("seed", range(3))
def test_a_replayed_journal_is_what_memory_has_at_any_time(seed):
    plan = replace(draw(seed), seconds=0.0, commit_ns=0, births=1.0, deaths=1.0)
    simulation = Simulation(plan)
    assert simulation.run().violation is None
    simulation.game.calm = False
    for _ in range(12):
        simulation.cluster.run(0.5)
        replays.replayed(simulation.cluster)
    assert simulation.cluster.disk.end.position > 50


@pytest.mark.parametrize("after_ms", range(0, 100, 9))
def test_a_server_that_dies_at_any_instant_leaves_a_world_that_goes_on(after_ms):
    cluster = moving(after_ms)
    had = set(cluster.manager.books.table.ids.tolist())
    cluster.run(after_ms / 1000)
    kill(cluster)
    cluster.run(0.7)
    start(cluster)
    cluster.run(2)
    settle(cluster)
    books = cluster.manager.books
    assert books.term == 2
    assert set(books.table.ids.tolist()) == had
    assert books.counters["shard_sessions_resumed"] == 2
    assert books.counters["fences"] == books.counters["rehomed"] == 0
    assert not told(cluster.shards[0], ev.LeaseLost)


def test_an_outage_longer_than_a_lease_stops_the_world_and_loses_nothing():
    cluster = moving(5)
    had = set(cluster.manager.books.table.ids.tolist())
    kill(cluster)
    cluster.run(5)
    stopped = [shard.ticked for shard in cluster.shards]
    cluster.run(1)
    assert [shard.ticked for shard in cluster.shards] == stopped
    start(cluster)
    cluster.run(2)
    settle(cluster)
    assert set(cluster.manager.books.table.ids.tolist()) == had
    assert cluster.manager.books.counters["fences"] == 0
    assert told(cluster.shards[0], ev.LeaseRegained)


def test_a_shard_that_dies_with_the_server_is_rehomed_a_lease_after_the_new_one_began():
    cluster = moving(6)
    had = set(cluster.manager.books.table.ids.tolist())
    dead = cluster.shards[0]
    kill(cluster)
    dead.alive = False
    cluster.run(0.3)
    start(cluster)
    cluster.run(1.9)
    assert cluster.manager.books.counters["fences"] == 0, "before lease + allowance"
    cluster.run(0.3)
    assert cluster.manager.books.counters["fences"] == 1, "and a tick"
    cluster.run(0.3)
    settle(cluster)
    assert set(cluster.manager.books.table.ids.tolist()) == had


def test_world_time_goes_on_after_a_restart_and_ids_are_never_granted_twice():
    cluster = moving(7)
    before = cluster.manager.books
    kill(cluster)
    cluster.run(1)
    start(cluster)
    after = cluster.manager.books
    assert after.origin_ns == before.origin_ns
    whys = {entry.why for entry in after.sectors.values() if entry.shard_id >= 0}
    assert whys <= {f"shard shard-{n} had it when this server took over" for n in range(2)}
    assert whys
    assert after.next_id == before.next_id
    born = cluster.spawn(np.full((1, 2), 5.0), np.zeros((1, 2)))
    assert int(born[0]) >= before.next_id


def test_an_end_that_died_with_its_server_was_never_answered_and_one_that_was_answered_stays():
    """Seed 20013: a shard's spawn is asked for again, and an operator had ended it meanwhile."""
    cluster = moving(8)
    shard = cluster.shards[0]
    cluster.server.commit_ns = 40 * MS
    born = shard.core.spawn(shard.ticked, np.full((1, 2), 10.0), np.zeros((1, 2)))

    def recorded():
        return bool((cluster.manager.books.table.slots(born) != ABSENT).all())

    while not recorded():
        cluster.run(0.005)
    answers = cluster.answers
    told_so_far = len(answers)
    cluster.order(om.DestroyByOperator(1, born.tolist()))
    assert not recorded()
    kill(cluster)
    cluster.run(0.1)
    assert len(answers) == told_so_far, "of what is not durable nobody is told"
    cluster.server.commit_ns = 0
    start(cluster)
    asked = cluster.command(om.DestroyByOperator(2, born.tolist()))
    assert not len(asked.destroyed), "this record never had it: nothing has ended"
    cluster.run(0.5)
    assert recorded()

    asked = cluster.command(om.DestroyByOperator(3, born.tolist()))
    assert asked.destroyed.ids.tolist() == born.tolist()
    cluster.link_broke(shard.link)  # the shard never heard of it
    kill(cluster)
    start(cluster)
    settle(cluster)
    assert not recorded()


@pytest.mark.parametrize("by", ["the same server", "its journal", "its snapshot"])
@pytest.mark.parametrize("spawned", [False, True])
def test_a_shadow_is_never_taken_for_what_another_shard_has_simulated_since(spawned, by):
    """West never hears that its entity is the east's; the east's sector is unloaded meanwhile."""
    cluster = two_shards_side_by_side()
    west, east = cluster.shards
    if spawned:
        west.line.hold("down")
        ids = spawn(west, [5.0], velocity=10.0)
    else:
        ids = spawn(west, [-5.0], velocity=60.0)
        while not (west.core.holdings.table.phase == 0).any():
            cluster.run(0.002)
        west.line.hold("down")
    cluster.run(0.6)
    table, there = east.core.holdings.table, np.array([[77.0, 33.0]])
    east.core.move(table.slots(ids), there, np.zeros((1, 2)))
    cluster.run(0.2)
    for shard in cluster.shards:  # so that it stays unloaded
        cluster.command(om.Command(1, "cordon", None, shard.core.shard_id))
    cluster.command(om.Command(1, "unload", (0, 0), None))
    cluster.run(0.3)
    if by == "its snapshot":
        cluster.server._snapshot()
    if by == "the same server":
        cluster.link_broke(west.link)
        west.relink()
    else:
        kill(cluster)
        start(cluster)
    cluster.run(0.3)
    cluster.command(om.Command(1, "uncordon", None, west.core.shard_id))
    settle(cluster)
    table = west.core.holdings.table
    assert table.ids.tolist() == ids.tolist()
    assert np.abs(table.position - there).max() < 1e-6, "as the east left it"


@pytest.mark.parametrize("name", ["unload-unmarks", "spawn-unmarked"])
def test_a_server_that_finds_no_mark_of_who_was_sent_an_entity_is_accused(name):
    cluster = two_shards_side_by_side()
    west = cluster.shards[0]
    ids = spawn(west, [5.0])  # in a sector of the east's
    cluster.run(0.3)
    for shard in cluster.shards:  # so that it stays unloaded
        cluster.command(om.Command(1, "cordon", None, shard.core.shard_id))
    cluster.command(om.Command(1, "unload", (0, 0), None))
    cluster.run(0.3)
    (mutant,) = (each for each in MUTANTS if each.name == name)
    kill(cluster)
    with sabotaged(mutant), pytest.raises(Violation) as found:
        start(cluster)
    assert found.value.invariant == "a replay is the record"
    assert list(found.value.entities) == ids.tolist()


def test_by_another_clock_world_time_goes_on_by_the_wall():
    first = SectorManager(SETTINGS, now=10 * NS_PER_S, clock="one", wall_ns=1000 * NS_PER_S)
    began = first.poll().records
    later = SectorManager(
        SETTINGS, term=2, now=2 * NS_PER_S, clock="two", wall_ns=1007 * NS_PER_S, history=began
    )
    assert later.books.tick_at(2 * NS_PER_S) == 7 * SETTINGS.rules.tick_hz


@pytest.mark.parametrize("wrong_s", [-60, -7, 0, 40])
def test_where_the_wall_clock_is_wrong_the_world_goes_on_and_its_time_never_goes_back(wrong_s):
    cluster = moving(9)
    before = cluster.manager.books.tick_at(cluster.server.clock.now)
    had = set(cluster.manager.books.table.ids.tolist())
    for shard in cluster.shards:
        shard.comes_back = True
    cluster.server.crash()
    cluster.wall_error_ns = wrong_s * NS_PER_S
    cluster.run(0.5)
    cluster.restart(elsewhere=True)
    cluster.run(2)
    books = cluster.manager.books
    assert books.counters["fences"] == 0
    assert books.counters["links_ended_for_errors"] == 0
    assert books.tick_at(cluster.server.clock.now) >= before + 2 * SETTINGS.rules.tick_hz
    ticks = [shard.ticked for shard in cluster.shards]
    cluster.run(1)
    assert all(shard.ticked > tick for shard, tick in zip(cluster.shards, ticks, strict=True))
    settle(cluster)
    assert set(books.table.ids.tolist()) == had


def test_world_time_never_goes_back_where_a_second_server_begins_before_shards_came():
    cluster = moving(9)
    for shard in cluster.shards:
        shard.comes_back = True
    before = cluster.manager.books.tick_at(cluster.server.clock.now)
    cluster.server.crash()
    cluster.wall_error_ns = -20 * NS_PER_S
    cluster.restart(elsewhere=True)
    assert cluster.manager.books.by_wall
    cluster.server.crash()  # nobody has told it the time yet; the next one has the same clock
    cluster.restart()
    cluster.run(2)
    books = cluster.manager.books
    assert books.counters["links_ended_for_errors"] == 0
    assert books.tick_at(cluster.server.clock.now) >= before + 2 * SETTINGS.rules.tick_hz
    assert not books.by_wall, "all who knew have come: nobody knows better from here on"
    cluster.server.crash()
    cluster.restart()
    assert not cluster.manager.books.by_wall
    cluster.run(1)
    settle(cluster)


def test_a_journal_of_the_format_before_is_read_and_a_later_one_refused():
    whole = SectorManager(SETTINGS, now=10 * NS_PER_S, clock="one").poll().records
    tag, _, *fields, by_wall = msgpack.decode(whole[0])
    assert by_wall is False
    before = msgpack.encode([tag, 1, *fields])
    later = SectorManager(SETTINGS, term=2, now=12 * NS_PER_S, clock="one", history=[before])
    assert later.books.tick_at(12 * NS_PER_S) == 2 * SETTINGS.rules.tick_hz
    with pytest.raises(StoreDamaged, match="format 3"):
        SectorManager(SETTINGS, history=[msgpack.encode([tag, 3, *fields, by_wall])])


def test_clients_go_by_world_time_where_it_was_set_on():
    cluster = moving(9)
    client = cluster.add_client(comes_back=True)
    cluster.run(0.3)
    cluster.server.crash()
    cluster.wall_error_ns = -20 * NS_PER_S
    cluster.restart(elsewhere=True)
    cluster.run(0.6)
    assert client.core.welcomed, "before any shard has come"
    for shard in cluster.shards:
        shard.comes_back = True
        shard.relink()
    cluster.run(2)
    assert client.core.welcomed
    books = cluster.manager.books
    assert books.counters["world_time_set_on_ticks"] > 0
    server = books.tick_at(cluster.server.clock.now)
    assert abs(client.core.clock.tick_at(cluster.clock.now) - server) <= 2


def test_an_image_stands_for_all_records_before_it():
    cluster = moving(8)
    client = cluster.add_client()
    cluster.run(0.3)
    client.core.possess(int(cluster.manager.books.table.ids[0]))
    shard = cluster.shards[0]
    born = shard.core.spawn(shard.ticked, np.full((1, 2), 5.0), np.zeros((1, 2)))
    cluster.run(0.3)
    image = cluster.manager.image()
    whole = len(history(cluster))
    cluster.run(1)
    short = [image, *history(cluster)[whole:]]
    assert len(short) > 3
    one, other = Replay(cluster.settings), Replay(cluster.settings)
    for data in history(cluster):
        one.apply(records.decode(data))
    for data in short:
        other.apply(records.decode(data))
    assert digest(one.books) == digest(other.books) == digest(cluster.manager.books)
    sent = [each.books.table.phase[np.argsort(each.books.table.ids)] for each in (one, other)]
    assert (sent[0] == sent[1]).all()
    assert set(sent[0].tolist()) == {0, SENT}
    assert [each.books.shards.get(0).spawn_serial for each in (one, other)] == [int(born[0])] * 2
    assert cluster.manager.books.sessions.get(1).possessed


def test_a_world_of_other_rules_and_a_record_that_is_none_are_refused():
    began = SectorManager(SETTINGS).poll().records
    other = type(SETTINGS)(rules=WorldRules(sector_size=50.0))
    with pytest.raises(ConfigError, match=r"100\.0 units"):
        SectorManager(other, term=2, history=began)
    with pytest.raises(StoreDamaged):
        SectorManager(SETTINGS, term=2, history=[b"\xc1"])


def test_an_empty_sector_is_forgotten_but_for_its_epoch_which_goes_on():
    settings = structs.replace(SETTINGS, idle_unload_ns=NS_PER_S)
    cluster = Cluster(13, shards=2, settings=settings, step=lambda world, dt: None)
    cluster.run(0.5)
    for number in range(30):
        cluster.command(om.Command(1, "load", (number, 0), None))
    cluster.run(0.5)
    books = cluster.manager.books
    assert len(books.sectors) == 30
    cluster.run(5)
    assert not books.sectors
    assert books.resting == {(number, 0): 1 for number in range(30)}
    cluster.spawn(np.array([[350.0, 50.0]]), np.zeros((1, 2)))
    cluster.run(1)
    entry = books.sectors[3, 0]
    assert entry.epoch == 2
    told = [e for s in cluster.shards for e in s.log if isinstance(e, ev.SectorAssigned)]
    assert not told[-1].first_time
    other = Replay(settings)
    other.apply(records.decode(cluster.manager.image()))
    assert digest(other.books) == digest(books)
