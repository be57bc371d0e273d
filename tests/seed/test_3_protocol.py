"""Section 3 of the seed: registration, load reports, assignment and unassignment, in order."""

from itertools import pairwise

from seed.recorded import SERVER, SETTINGS, Recorded, holds, listen, named_by, row
from sidereal.wire import operator_messages as om
from sidereal.wire import shard_messages as sm
from sidereal.world.entities import PLAYER
from sidereal.world.rules import NS_PER_S
from sidereal.world.sectors import SectorState


def test_a_shard_registers_and_is_sent_its_unique_id():
    cluster = Recorded(shards=3)
    for shard in cluster.shards:
        mine = [e for e in cluster.transcript if shard.name in (e.sender, e.receiver)]
        assert isinstance(mine[0].message, sm.RegisterShard)
        assert isinstance(mine[1].message, sm.RegistrationAck)
        assert mine[1].message.shard_id == shard.core.shard_id
        assert cluster.manager.books.shards.get(shard.core.shard_id).name == shard.name
    assert len({shard.core.shard_id for shard in cluster.shards}) == 3


def test_a_shard_that_comes_back_is_another_shard():
    cluster = Recorded(shards=2)
    gone = cluster.shards[0]
    cluster.kill(gone)
    cluster.run(0.1)
    again = cluster.add_shard(gone.name)
    cluster.run(0.5)
    assert again.core.shard_id not in {None, gone.core.shard_id}


def test_shards_report_their_load_periodically_and_the_server_keeps_it():
    cluster = Recorded(shards=1)
    for number in range(4):
        cluster.one(50, 50, flags=PLAYER if number == 0 else 0)
    cluster.run(16)
    reports = cluster.said(sm.ShardLoadUpdate)
    gaps = [b.at_ns - a.at_ns for a, b in pairwise(reports)]
    assert len(gaps) >= 3
    assert all(abs(gap - SETTINGS.load_report_ns) < 0.1 * NS_PER_S for gap in gaps)
    stats = reports[-1].message.stats
    assert (stats.entity_count, stats.player_count) == (4, 1)
    assert cluster.manager.books.shards.get(cluster.shards[0].core.shard_id).load == stats


def test_tick_time_and_processor_load_are_optional():
    stats = sm.ShardLoadStats(entity_count=1, player_count=0)
    assert stats.avg_tick_time_ms is None
    assert stats.cpu_load_percent is None


def test_a_sector_is_assigned_loaded_and_active_in_this_order():
    cluster = Recorded(shards=1)
    entity = cluster.one(350, 50)
    cluster.run(1)
    told = cluster.said(sm.AssignSector, sm.SectorInitialState, sm.SectorReady, sector=(3, 0))
    assert [(e.kind, e.sender, e.state.value) for e in told] == [
        ("AssignSector", SERVER, "Loading"),
        ("SectorInitialState", SERVER, "Loading"),
        ("SectorReady", "shard-0", "Active"),
    ]
    assert entity in named_by(told[1].message)
    assert holds(cluster.shards[0], entity)
    assert cluster.state((3, 0)) is SectorState.ACTIVE


def test_nothing_of_a_sector_is_simulated_before_all_of_it_has_come():
    cluster = Recorded(shards=1)
    entity = cluster.one(350, 50)
    table, seen = cluster.shards[0].core.holdings.table, []

    def look(message):
        if isinstance(message, sm.AssignSector) and message.sector == (3, 0):
            seen.append(entity in table.ids.tolist())

    listen(cluster.shards[0], look)
    cluster.run(1)
    assert seen == [False]
    assert row(table, entity, "tick") > 0


def test_a_sector_is_unassigned_frozen_removed_and_unloaded_in_this_order():
    cluster = Recorded(shards=1)
    entity = cluster.one(350, 50, velocity=(1, 0))
    cluster.run(1)
    cluster.command(om.Command(1, "unload", (3, 0), None))
    assert cluster.state((3, 0)) is SectorState.UNLOADING
    cluster.run(0.02)
    told = cluster.said(sm.UnassignSector, sm.SectorRemoved, sm.ReleaseSector, sector=(3, 0))
    assert [(e.kind, e.sender) for e in told] == [
        ("UnassignSector", SERVER),
        ("SectorRemoved", "shard-0"),
        ("ReleaseSector", SERVER),
    ]
    final = told[1].message.entities
    assert final.ids.tolist() == [entity]
    table = cluster.manager.books.table
    assert row(table, entity, "position") == final.position.tolist()[0]
    assert row(table, entity, "tick") == final.tick.tolist()[0]


def test_a_shard_stops_simulating_when_it_is_told_to_give_a_sector_up():
    cluster = Recorded(shards=1)
    entity = cluster.one(350, 50, velocity=(1, 0))
    cluster.run(1)
    shard = cluster.shards[0]
    runnable = []

    def look(message):
        if isinstance(message, sm.UnassignSector):
            slots = shard.core.runnable(10**9)
            runnable.append(shard.core.holdings.table.ids[slots].tolist())

    listen(shard, look)
    cluster.command(om.Command(1, "unload", (3, 0), None))
    cluster.run(0.02)
    assert runnable == [[]]
    assert not holds(shard, entity)
