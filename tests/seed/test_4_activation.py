"""Section 4 of the seed: what makes a sector load, and what makes it unload."""

import pytest

from seed.recorded import SETTINGS, Recorded, holds
from sidereal.replication import lifecycle
from sidereal.wire import operator_messages as om
from sidereal.wire import shard_messages as sm
from sidereal.world.rules import NS_PER_S
from sidereal.world.sectors import SectorState


def loaded(cluster: Recorded) -> set:
    sectors = cluster.manager.books.sectors
    return {at for at, entry in sectors.items() if entry.state is not SectorState.UNLOADED}


def test_nothing_is_loaded_for_nobody():
    cluster = Recorded(shards=2)
    cluster.run(3)
    assert loaded(cluster) == set()


def test_a_sector_is_loaded_before_an_entity_that_moves_towards_it_arrives():
    cluster = Recorded(shards=2)
    entity = cluster.one(10, 50, velocity=(30, 0))
    cluster.run(0.8)
    assert loaded(cluster) == {(0, 0)}, "1 s and more away: beyond the horizon of 2 s"
    cluster.run(5)
    (ready,) = cluster.said(sm.SectorReady, sector=(1, 0))
    (asked, *_) = cluster.said(sm.EntityTransitionRequest, entity=entity)
    assert ready.at_ns < asked.at_ns - NS_PER_S


def test_a_sector_is_loaded_where_a_sensor_reaches():
    cluster = Recorded(shards=2)
    cluster.one(350, 50, sensor=60.0)
    cluster.run(1)
    around = {(x, y) for x in (2, 3, 4) for y in (-1, 0, 1)}
    corners = {(2, -1), (2, 1), (4, -1), (4, 1)}
    assert around - corners <= loaded(cluster) <= around


def test_a_sector_is_loaded_because_an_administrator_says_so():
    cluster = Recorded(shards=2)
    answer = cluster.command(om.Command(1, "load", (7, -7), None))
    assert answer.ok
    cluster.run(0.5)
    assert cluster.state((7, -7)) is SectorState.ACTIVE


def test_a_sector_is_unloaded_once_it_has_been_empty_for_the_set_time_and_not_before():
    cluster = Recorded(shards=1)
    cluster.one(350, 50)
    cluster.command(om.Command(1, "load", (9, 9), None))
    cluster.run(SETTINGS.idle_unload_ns / NS_PER_S - 0.3)
    assert cluster.state((9, 9)) is SectorState.ACTIVE
    cluster.run(1)
    assert cluster.state((9, 9)) is SectorState.UNLOADED
    assert cluster.state((3, 0)) is SectorState.ACTIVE, "somebody is in it"
    assert [e.kind for e in cluster.said(sm.UnassignSector, sm.SectorRemoved)] == [
        "UnassignSector",
        "SectorRemoved",
    ]


def test_the_shard_proposes_and_the_server_agrees(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lifecycle, "unload_idle", lambda books, now: None)
    cluster = Recorded(shards=1)
    cluster.command(om.Command(1, "load", (9, 9), None))
    cluster.run(4)
    proposed = cluster.said(sm.ProposeSectorDeactivation, sector=(9, 9))
    assert proposed[0].sender == "shard-0"
    assert cluster.state((9, 9)) is SectorState.UNLOADED


def test_the_server_sees_by_itself_that_a_sector_is_empty():
    cluster = Recorded(shards=1)
    cluster.shards[0].core.sectors.propose = lambda idle_ns, now: []
    cluster.command(om.Command(1, "load", (9, 9), None))
    cluster.run(4)
    assert not cluster.said(sm.ProposeSectorDeactivation)
    assert cluster.state((9, 9)) is SectorState.UNLOADED


def test_a_proposal_is_declined_while_something_is_about_to_enter():
    cluster = Recorded(shards=1)
    cluster.one(350, 50, sensor=60.0)
    cluster.run(5)
    assert cluster.said(sm.ProposeSectorDeactivation, sector=(4, 0))
    assert cluster.state((4, 0)) is SectorState.ACTIVE


def test_a_sector_that_is_reclaimed_while_it_unloads_is_activated_and_was_not_moved():
    cluster = Recorded(shards=2)
    cluster.put((0, 0), 0)
    books = cluster.manager.books
    cluster.command(om.Command(1, "unload", (0, 0), None))
    assert cluster.state((0, 0)) is SectorState.UNLOADING
    entity = cluster.one(50, 50)
    cluster.run(1)
    first, again = cluster.said(sm.AssignSector, sector=(0, 0))
    assert (again.message.epoch, again.message.cause) == (first.message.epoch + 1, "activation")
    assert cluster.state((0, 0)) is SectorState.ACTIVE
    assert sum(holds(shard, entity) for shard in cluster.shards) == 1
    assert books.freezes_ns == []
    assert books.counters["migrations"] == 0
