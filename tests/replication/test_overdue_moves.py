"""A move that a shard never does its part of, though it is heard, is given up; a drain goes on."""

import numpy as np
import pytest

from replication.test_copies import HOME, crowd, move, no_copies_left
from replication.test_drain import info_of, order
from sidereal.limits import MOVE_PART_NS_MAX
from sidereal.replication import rebalance
from sidereal.replication.settings import Settings
from sidereal.testing import checks
from sidereal.testing.cluster import Cluster, SimulatedShard
from sidereal.wire import operator_messages as om
from sidereal.world.rules import NS_PER_S, WorldRules
from sidereal.world.sectors import SectorState

PART_S = MOVE_PART_NS_MAX / NS_PER_S


def drift(world, dt):
    world.position += 0.001


def mute(shard: SimulatedShard, what: str, sector: tuple[int, int] | None = None) -> None:
    """Have a shard do what it is asked for, and say nothing of it."""
    sectors = shard.core.sectors
    does = getattr(sectors, what)
    send_at = {"copy": 1, "copied": 1, "freeze": 2, "_run": 2}[what]

    def silently(*arguments):
        first = arguments[0]
        about = first if isinstance(first, tuple) else first.sector
        if sector in (None, about):
            arguments = (*arguments[:send_at], [], *arguments[send_at + 1 :])
        does(*arguments)

    setattr(sectors, what, silently)


@pytest.mark.parametrize(
    ("who", "what", "lacks"),
    [
        ("source", "copy", "has not said all that is in it"),
        ("target", "copied", "has not said that it has the copy"),
        ("source", "freeze", "has not let go of it"),
    ],
)
def test_a_move_that_is_never_finished_is_given_up_and_its_sector_runs_on(who, what, lacks):
    cluster = crowd(drift, 20, 40.0)
    books = cluster.manager.books
    entry = books.sectors[HOME]
    source = entry.shard_id
    owes = cluster.shards[source if who == "source" else 1 - source]
    mute(owes, what)
    move(cluster)
    cluster.run(PART_S - 1)
    assert HOME in books.copies
    assert (entry.state is SectorState.UNLOADING) == (what == "freeze")
    cluster.run(2)
    assert (entry.state, entry.shard_id) == (SectorState.ACTIVE, source)
    no_copies_left(cluster)
    assert books.counters["moves_given_up"] == 1
    assert books.counters["fences"] == books.counters["migrations"] == 0
    told = cluster.command(om.Why(1, HOME))
    assert told.detail == f"its move was given up: shard {owes.name} {lacks} in 60 s"
    assert len(books.table) == 20
    checks.settled(cluster)


def held_back(shard: SimulatedShard, what: str) -> list:
    """Have a shard put off what it is asked for; return what it puts off."""
    asked: list = []
    setattr(shard.core.sectors, what, lambda message, *more: asked.append((message, *more)))
    return asked


def test_each_has_a_minute_of_its_own_and_nobody_is_told_to_owe_what_another_did():
    cluster = crowd(drift, 20, 40.0)
    books = cluster.manager.books
    entry = books.sectors[HOME]
    source, target = cluster.shards[entry.shard_id], cluster.shards[1 - entry.shard_id]
    said, heard = held_back(source, "copy"), held_back(target, "copied")
    move(cluster)
    for shard, asked, what in ((source, said, "copy"), (target, heard, "copied")):
        cluster.run(PART_S - 1)
        delattr(shard.core.sectors, what)
        ((message, *_),) = asked
        getattr(shard.core.sectors, what)(message, shard.core._send)
        shard.flush()
        cluster.run(0.2)
    cluster.run(1)
    assert books.counters["moves_given_up"] == 0
    assert (entry.state, entry.shard_id) == (SectorState.ACTIVE, target.core.shard_id)
    assert target.core.shard_id not in (None, source.core.shard_id)


def test_while_the_server_stands_still_nobody_owes_it_anything():
    cluster = crowd(drift, 20, 40.0)
    books = cluster.manager.books
    mute(cluster.shards[books.sectors[HOME].shard_id], "copy")
    move(cluster)
    cluster.run(PART_S - 3)
    before = books.sectors[HOME].asked_ns
    cluster.manager.tick(cluster.clock.now + 4 * NS_PER_S)
    assert books.counters["stalls"] == 1
    assert books.counters["moves_given_up"] == 0
    assert books.sectors[HOME].asked_ns > before + 3 * NS_PER_S


def test_an_unloading_that_is_never_finished_is_given_up_and_tried_again_once_it_is_idle_again():
    cluster = crowd(drift, 1, 10.0)
    books = cluster.manager.books
    entry = books.sectors[HOME]
    mute(cluster.shards[entry.shard_id], "freeze")
    cluster.command(om.DestroyByOperator(1, books.table.ids.tolist()))
    cluster.run(cluster.settings.idle_unload_ns / NS_PER_S + 1)
    assert entry.state is SectorState.UNLOADING
    cluster.run(PART_S)
    assert entry.state is SectorState.ACTIVE
    assert entry.why.startswith("its unloading was given up")
    cluster.run(cluster.settings.idle_unload_ns / NS_PER_S)
    assert entry.state is SectorState.UNLOADING


def drained(monkeypatch) -> tuple[Cluster, SimulatedShard, list[SimulatedShard]]:
    """Three shards, the first with four sectors, which it may give away one at a time."""
    settings = Settings(
        rules=WorldRules(sector_size=100.0),
        idle_unload_ns=3600 * NS_PER_S,
        rebalance_ns=3600 * NS_PER_S,
        move_cooldown_ns=20 * NS_PER_S,
    )
    monkeypatch.setattr(rebalance, "DRAIN_LOAD_MAX", 1.0)
    cluster = Cluster(3, shards=3, settings=settings, step=drift)
    cluster.run(0.5)
    first, *others = cluster.shards
    for shard in others:
        order(cluster, "cordon", shard)
    x = np.arange(4) * 100.0 + 50.0
    cluster.spawn(np.column_stack([x, np.full(4, 50.0)]), np.zeros((4, 2)))
    cluster.run(1.5)
    assert len(info_of(cluster, first).sectors) == 4
    for shard in others:
        order(cluster, "uncordon", shard)
    return cluster, first, others


def test_a_drain_goes_to_others_where_one_shard_takes_nothing(monkeypatch):
    cluster, first, others = drained(monkeypatch)
    mute(others[0], "copied")
    order(cluster, "drain", first)
    cluster.run(PART_S + 5)
    assert not info_of(cluster, first).sectors
    assert len(info_of(cluster, others[1]).sectors) == 4
    assert cluster.manager.books.counters["moves_given_up"] == 1
    checks.settled(cluster)


@pytest.mark.parametrize("what", ["copy", "_run"])
def test_a_drain_goes_on_past_a_sector_that_does_not_come_on(what, monkeypatch):
    cluster, first, others = drained(monkeypatch)
    for shard in [first] if what == "copy" else others:
        mute(shard, what, HOME)
    order(cluster, "drain", first)
    cluster.run(PART_S - 5)
    assert len(info_of(cluster, first).sectors) > 2
    cluster.run(15)
    assert info_of(cluster, first).sectors == ({HOME} if what == "copy" else set())
    if what == "copy":
        del first.core.sectors.copy
        cluster.run(20)
        assert not info_of(cluster, first).sectors
    assert len(cluster.manager.books.table) == 4
