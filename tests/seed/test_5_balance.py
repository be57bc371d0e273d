"""Section 5 of the seed: which shard gets a sector, and which sectors move."""

import numpy as np
import pytest
from msgspec import structs

from seed.recorded import SETTINGS, SIZE, Recorded
from sidereal.replication import balance
from sidereal.wire import operator_messages as om
from sidereal.wire import shard_messages as sm
from sidereal.wire.shard_messages import ShardLoadStats
from sidereal.world.rules import NS_PER_S

LIVELY = structs.replace(
    SETTINGS,
    rebalance_ns=10 * NS_PER_S,
    move_cooldown_ns=10 * NS_PER_S,
    idle_unload_ns=1000 * NS_PER_S,
    cold_load=10.0,
)


def loads(cluster: Recorded, *stats: tuple[int, int]) -> None:
    """Pretend that the shards have reported these counts of entities and players."""
    for shard, (entities, players) in zip(cluster.shards, stats, strict=True):
        info = cluster.manager.books.shards.get(shard.core.shard_id)
        info.load = ShardLoadStats(entities, players)
        info.assigned_since_report = 0.0


def chosen(cluster: Recorded, sector) -> int:
    """The number of the shard that would get a sector."""
    choice = balance.choose(cluster.manager.books, sector)
    ids = [shard.core.shard_id for shard in cluster.shards]
    return ids.index(choice.shard.shard_id)


def test_a_player_weighs_as_much_as_ten_entities():
    cluster = Recorded(shards=1)
    loads(cluster, (30, 4))
    info = cluster.manager.books.shards.get(cluster.shards[0].core.shard_id)
    assert info.load_score(SETTINGS.player_weight) == 30 + 4 * 10


def test_the_least_loaded_shard_gets_a_sector_far_from_all():
    cluster = Recorded(shards=3)
    loads(cluster, (500, 0), (400, 0), (300, 9))
    assert chosen(cluster, (50, 50)) == 2
    loads(cluster, (500, 0), (400, 0), (300, 11))
    assert chosen(cluster, (50, 50)) == 1


def test_a_shard_beside_the_sector_is_preferred_to_one_that_is_not():
    cluster = Recorded(shards=2)
    cluster.put((0, 0), 0)
    loads(cluster, (1010, 0), (1000, 0))
    assert chosen(cluster, (50, 50)) == 1
    assert chosen(cluster, (1, 1)) == 0
    assert chosen(cluster, (2, 0)) == 1, "two away is not beside"


def test_being_beside_does_not_outweigh_every_load():
    cluster = Recorded(shards=2)
    cluster.put((0, 0), 0)
    loads(cluster, (3000, 0), (100, 0))
    assert chosen(cluster, (1, 1)) == 1


def test_a_shard_that_left_or_is_drained_is_no_candidate():
    cluster = Recorded(shards=3)
    loads(cluster, (0, 0), (50, 0), (900, 0))
    cluster.command(om.Command(1, "drain", None, cluster.shards[0].core.shard_id))
    cluster.kill(cluster.shards[1])
    assert chosen(cluster, (50, 50)) == 2


def row_of_sectors(cluster: Recorded, counts: list[int], shard: int, x: int) -> None:
    """Sectors side by side on one shard, each with so many entities at rest."""
    for offset, count in enumerate(counts):
        sector = (x + offset, 0)
        cluster.put(sector, shard)
        middle = (np.array(sector) + 0.5) * SIZE
        cluster.spawn(np.tile(middle, (count, 1)), np.zeros((count, 2)))


@pytest.fixture
def lopsided() -> Recorded:
    cluster = Recorded(shards=2, settings=LIVELY)
    row_of_sectors(cluster, [30] * 12, 0, 0)
    row_of_sectors(cluster, [30] * 4, 1, 12)
    return cluster


def test_loads_are_reviewed_periodically_and_not_between(lopsided: Recorded):
    lopsided.transcript.clear()
    start = lopsided.clock.now
    lopsided.run(60)
    moved = [entry.at_ns for entry in lopsided.said(sm.UnassignSector)]
    assert moved
    rounds = {(at - moved[0]) // NS_PER_S for at in moved}
    assert all(since % 10 in (0, 9) for since in rounds), rounds
    assert start < moved[0]


def test_an_overloaded_shard_gives_sectors_at_the_border_to_the_underloaded(lopsided: Recorded):
    lopsided.transcript.clear()
    lopsided.run(40)
    given = lopsided.said(sm.UnassignSector)
    assert {entry.receiver for entry in given} == {"shard-0"}
    for number, entry in enumerate(given):
        assert entry.message.sector == (11 - number, 0), "the one beside shard-1's, each time"
    taken = lopsided.said(sm.AssignSector)
    assert [e.message.sector for e in taken] == [e.message.sector for e in given]
    assert {entry.receiver for entry in taken} == {"shard-1"}
    sizes = [len(shard.core.holdings.table) for shard in lopsided.shards]
    assert max(sizes) / (sum(sizes) / 2) < 1.2, sizes


def test_a_moved_sector_keeps_its_entities_and_their_states(lopsided: Recorded):
    lopsided.run(40)
    table = lopsided.shards[1].core.holdings.table
    lengths, states = table.states(table.slots(table.ids))
    assert len(table) > 120
    assert states.view(np.uint32).tolist() == table.ids.tolist()
    assert set(lengths.tolist()) == {4}


def test_a_balanced_world_is_left_alone():
    cluster = Recorded(shards=2, settings=LIVELY)
    row_of_sectors(cluster, [50] * 4, 0, 0)
    row_of_sectors(cluster, [50] * 4, 1, 4)
    cluster.transcript.clear()
    cluster.run(40)
    assert not cluster.said(sm.UnassignSector)


@pytest.mark.parametrize("where", ["even", "heaped"])
def test_a_world_at_rest_stops_migrating(where):
    settings = structs.replace(
        LIVELY, rebalance_ns=NS_PER_S, move_cooldown_ns=NS_PER_S, cold_load=1.0
    )
    cluster = Recorded(shards=3, settings=settings)
    draw = np.random.default_rng(3)
    place = {"even": draw.uniform(-250, 250, (90, 2)), "heaped": draw.normal(0, 60, (90, 2))}
    cluster.spawn(place[where], np.zeros((90, 2)))
    cluster.run(6)
    moved = cluster.manager.books.counters["migrations"]
    assert moved > 0
    cluster.run(6)
    assert cluster.manager.books.counters["migrations"] == moved
