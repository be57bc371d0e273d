"""A shard's link breaks and is made anew: it goes on, and nothing is lost or doubled."""

import numpy as np
import pytest

from sidereal.replication.settings import MS, Settings
from sidereal.shard import events as ev
from sidereal.shard.phase import SPAWNING
from sidereal.testing import checks
from sidereal.testing.cluster import Cluster, SimulatedShard
from sidereal.testing.links import Weather
from sidereal.wire import operator_messages as om
from sidereal.world.rules import NS_PER_S, WorldRules

SETTINGS = Settings(
    rules=WorldRules(sector_size=100.0),
    lease_ns=2 * NS_PER_S,
    idle_unload_ns=20 * NS_PER_S,
    cold_load=1e9,
)
SLOW = Weather(delay_ns=20 * MS, jitter_ns=0, datagram_loss=0.0)


def moving(seed: int, shards: int = 2, **more) -> Cluster:
    """A crowd that crosses many borders between two shards."""
    cluster = Cluster(seed, shards=shards, settings=SETTINGS, weather=SLOW, **more)
    cluster.run(0.5)
    random = np.random.default_rng(seed)
    cluster.spawn(random.uniform(-150, 150, (60, 2)), random.uniform(-90, 90, (60, 2)))
    cluster.run(1)
    return cluster


def told(shard: SimulatedShard, kind: type) -> list:
    return [event for event in shard.log if isinstance(event, kind)]


def settle(cluster: Cluster) -> None:
    cluster.step = lambda world, dt: None
    cluster.run(3)
    checks.at_rest(cluster)


@pytest.mark.parametrize("after_ms", range(0, 100, 7))
@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])
def test_a_session_that_breaks_at_any_instant_is_resumed_by_the_same_incarnation(after_ms, noticed):
    cluster = moving(after_ms)
    shard = cluster.shards[0]
    life, had = shard.core.incarnation, len(cluster.manager.books.table)
    cluster.run(after_ms / 1000)
    if noticed:
        cluster.link_broke(shard.link)
    shard.relink()
    cluster.run(2)
    settle(cluster)
    counters = cluster.manager.books.counters
    assert counters["shard_sessions_resumed"] == 1
    assert counters["fences"] == counters["rehomed"] == 0
    assert shard.core.incarnation == life
    assert len(told(shard, ev.SessionResumed)) == 1
    assert len(cluster.manager.books.table) == had


def test_a_shard_simulates_on_while_its_link_is_away_within_its_lease():
    cluster = moving(3)
    shard = cluster.shards[0]
    cluster.run(0.1)
    cluster.link_broke(shard.link)
    shard.up.cut = shard.down.cut = True
    shard.core.lost()
    before = shard.ticked
    cluster.run(1)
    table = shard.core.holdings.table
    assert shard.ticked >= before + 19
    assert (table.tick[table.phase == 0] == shard.ticked).all()
    assert (table.phase == 0).any()
    shard.relink()
    cluster.run(1)
    settle(cluster)
    assert not told(shard, ev.LeaseLost)


def test_a_shard_that_was_away_for_longer_than_its_lease_is_told_that_it_is_dead_and_begins_anew():
    cluster = moving(4)
    shard = cluster.shards[0]
    life = shard.core.incarnation
    cluster.link_broke(shard.link)
    shard.up.cut = shard.down.cut = True
    shard.core.lost()
    cluster.run(3)
    assert told(shard, ev.LeaseLost)
    held = set(shard.core.holdings.table.ids.tolist())
    shard.relink()
    cluster.run(2)
    (ended,) = told(shard, ev.SessionEnded)
    assert set(ended.ids.tolist()) <= held
    assert shard.core.incarnation != life
    assert len(told(shard, ev.Registered)) == 2
    settle(cluster)


def test_a_spawn_and_a_destruction_asked_for_without_a_session_happen_once_it_is_there():
    cluster = moving(5)
    shard = cluster.shards[0]
    had = len(cluster.manager.books.table)
    cluster.link_broke(shard.link)
    shard.up.cut = shard.down.cut = True
    shard.core.lost()
    table = shard.core.holdings.table
    doomed = table.ids[np.flatnonzero(table.phase == 0)[:2]].copy()
    shard.destroy(doomed)
    born = shard.core.spawn(shard.ticked, np.full((3, 2), 10.0), np.zeros((3, 2)))
    assert (table.phase[table.slots(born)] & SPAWNING != 0).all()
    cluster.run(0.3)
    shard.relink()
    cluster.run(1)
    settle(cluster)
    ids = set(cluster.manager.books.table.ids.tolist())
    assert set(born.tolist()) <= ids
    assert not ids & set(doomed.tolist())
    assert len(ids) == had + 3 - 2


@pytest.mark.parametrize(("late_ms", "counts"), [(2020, True), (2600, False)])
def test_a_spawn_asked_for_again_after_the_lease_counts_only_while_no_death_was_declared(
    late_ms, counts
):
    """A lease is no fence for what was made within it: the session is, and it is the server's."""
    cluster = Cluster(7, shards=1, settings=SETTINGS, weather=SLOW)
    cluster.run(0.5)
    shard = cluster.shards[0]
    shard.core.spawn(shard.ticked, np.full((1, 2), 10.0), np.zeros((1, 2)))
    cluster.run(0.5)
    born = shard.core.spawn(shard.ticked, np.full((1, 2), 20.0), np.zeros((1, 2)))
    cluster.link_broke(shard.link)  # before it is said
    shard.relink()
    opened = cluster.clock.now
    shard.down.extra_ns = late_ms * MS
    cluster.run(late_ms / 1000 + 0.03)
    lease_over = cluster.clock.now - opened > SETTINGS.lease_ns
    assert lease_over
    assert not shard.leased
    shard.down.extra_ns = 0
    cluster.run(0.2)
    books = cluster.manager.books
    assert (int(born[0]) in books.table.ids.tolist()) == counts
    assert books.counters["fences"] == (0 if counts else 1)


def test_what_is_asked_for_while_a_session_opens_is_not_forgotten():
    cluster = moving(6)
    shard = cluster.shards[0]
    cluster.link_broke(shard.link)
    shard.relink()
    table = shard.core.holdings.table
    doomed = table.ids[np.flatnonzero(table.phase == 0)[:1]].copy()
    shard.destroy(doomed)
    born = shard.core.spawn(shard.ticked, np.full((1, 2), 10.0), np.zeros((1, 2)))
    cluster.run(1)
    settle(cluster)
    ids = cluster.manager.books.table.ids.tolist()
    assert int(born[0]) in ids
    assert int(doomed[0]) not in ids


@pytest.mark.parametrize("after_ms", [0, 15, 45, 85, 125, 145, 165, 185])
@pytest.mark.parametrize("victim", ["source", "target"])
def test_a_break_in_the_middle_of_a_migration_leaves_one_owner(after_ms, victim):
    cluster = moving(7)
    books = cluster.manager.books
    entry = max(
        (e for e in books.sectors.values() if e.shard_id == 0), key=lambda e: (e.entities, e.coords)
    )
    cluster.command(om.Command(1, "migrate", entry.coords, 1))
    cluster.run(after_ms / 1000)
    shard = cluster.shards[0 if victim == "source" else 1]
    cluster.link_broke(shard.link)
    shard.relink()
    cluster.run(2)
    settle(cluster)
    assert books.counters["fences"] == 0


def test_letters_written_around_a_break_arrive_once_each_and_in_order():
    cluster = moving(8)
    cluster.step = lambda world, dt: None
    cluster.run(1)
    writer, reader = cluster.shards
    entity = int(checks.simulated_by(reader, cluster.clock.now)[0])
    heard: list[int] = []
    cluster.hear = lambda shard, events: heard.extend(
        int.from_bytes(e.payload, "little") for e in events if isinstance(e, ev.MailReceived)
    )
    number = 0
    for turn in range(60):
        for _ in range(3):
            writer.core.send_mail(entity, number.to_bytes(4, "little"))
            number += 1
        cluster.run(0.02)
        if turn in (10, 30):
            cluster.link_broke(writer.link)
            writer.relink()
        if turn in (20, 31):
            cluster.link_broke(reader.link)
            reader.relink()
    cluster.run(2)
    assert heard == list(range(number))


def test_a_server_that_took_over_and_had_no_letter_yet_loses_none_with_a_link():
    cluster = moving(8, comes_back=True)
    cluster.step = lambda world, dt: None
    cluster.run(1)
    writer, reader = cluster.shards
    entity = int(checks.simulated_by(reader, cluster.clock.now)[0])
    cluster.server.crash()
    cluster.restart()
    cluster.run(1)
    assert writer.core.term_seen == 2
    writer.core.send_mail(entity, b"first")
    writer.flush()
    cluster.link_broke(writer.link)
    writer.relink()
    cluster.run(2)
    assert [event.payload for event in told(reader, ev.MailReceived)] == [b"first"]
    assert not told(writer, ev.MailRefused)


def test_a_shard_that_is_dead_is_told_of_each_letter_that_may_not_have_come():
    cluster = moving(13)
    cluster.step = lambda world, dt: None
    writer, reader = cluster.shards
    entity = int(checks.simulated_by(reader, cluster.clock.now)[0])
    given: list[bytes] = []
    cluster.hear = lambda shard, events: given.extend(
        e.payload for e in events if isinstance(e, ev.MailReceived)
    )
    writer.core.send_mail(entity, b"before")
    cluster.run(1)
    cluster.link_broke(writer.link)
    writer.up.cut = writer.down.cut = True
    writer.core.lost()
    writer.core.send_mail(entity, b"while it was away")
    writer.core.send_mail(entity + 1, b"likewise")
    cluster.run(3)
    assert not told(writer, ev.MailRefused)
    writer.relink()
    cluster.run(1)
    assert told(writer, ev.SessionEnded)
    assert [e.entity for e in told(writer, ev.MailRefused)] == [entity, entity + 1]
    assert given == [b"before"]


def test_who_steers_what_is_known_again_after_a_break():
    cluster = moving(9)
    cluster.step = lambda world, dt: None
    cluster.run(1)
    shard = cluster.shards[0]
    first, second = checks.simulated_by(shard, cluster.clock.now)[:2].tolist()
    client = cluster.add_client()
    cluster.run(0.2)
    client.core.possess(first)
    cluster.run(0.2)
    shard.up.cut = shard.down.cut = True
    client.core.release(first)
    client.core.possess(second)
    cluster.run(0.2)
    cluster.link_broke(shard.link)
    shard.relink()
    cluster.run(0.5)
    changes = [(e.entity, e.held) for e in told(shard, ev.PossessionChanged)]
    assert changes == [(first, True), (first, False), (second, True)]


def test_a_second_process_under_the_name_of_one_that_runs_is_refused():
    cluster = moving(10)
    twin = cluster.add_shard("shard-0")
    cluster.run(3)
    assert "shard 'shard-0' runs already" in twin.ended
    assert twin.core.shard_id is None
    assert len(cluster.manager.books.shards) == 2


def test_a_restart_under_the_same_name_is_let_in_once_the_old_process_is_silent():
    cluster = moving(11)
    old = cluster.shards[0]
    old.alive = False  # and nobody noticed the end of its link
    again = cluster.add_shard("shard-0")
    cluster.run(1.5)
    assert again.core.shard_id == 2
    assert cluster.manager.books.counters["fences"] == 0
    cluster.run(3)
    assert cluster.manager.books.counters["fences"] == 1
    settle(cluster)


def test_a_registration_whose_answer_was_lost_is_answered_again():
    cluster = moving(12)
    late = cluster.add_shard("late")
    late.down.cut = True
    cluster.run(1)  # registered, given sectors perhaps, and it knows nothing of it
    assert len(cluster.manager.books.shards) == 3
    assert late.core.shard_id is None
    cluster.link_broke(late.link)
    late.relink()
    cluster.run(1)
    assert late.core.shard_id == 2
    books = cluster.manager.books
    born = late.core.spawn(late.ticked, np.full((1, 2), 5.0), np.zeros((1, 2)))
    cluster.run(0.5)
    assert books.slot_of(int(born[0])) is not None
    settle(cluster)
    assert {*late.core.sectors.held} == books.shards.get(2).sectors
