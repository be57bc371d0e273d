"""Section 2 of the seed: the maps of shards and sectors, and where entities are tracked."""

from seed.recorded import Recorded
from sidereal.wire.shard_messages import ShardLoadStats
from sidereal.world.sectors import SectorState


def test_active_shards_maps_an_id_to_link_load_and_sectors():
    cluster = Recorded(shards=2)
    cluster.put((0, 0), 1)
    first, second = cluster.shards
    info = cluster.manager.books.shards.get(second.core.shard_id)
    assert info.link == second.link
    assert isinstance(info.load, ShardLoadStats)
    assert info.sectors == {(0, 0)}
    assert cluster.manager.books.shards.get(first.core.shard_id).sectors == set()


def test_a_sector_is_in_one_of_exactly_four_states():
    assert [state.value for state in SectorState] == ["Unloaded", "Loading", "Active", "Unloading"]


def test_the_sector_map_names_the_shard_unless_unloaded():
    cluster = Recorded(shards=2)
    nobody = cluster.owner((5, 5))
    assert cluster.state((5, 5)) is SectorState.UNLOADED
    assert nobody not in {shard.core.shard_id for shard in cluster.shards}
    cluster.put((5, 5), 0)
    assert cluster.owner((5, 5)) == cluster.shards[0].core.shard_id


def test_the_record_knows_the_sector_of_every_entity_and_follows_the_shards_messages():
    cluster = Recorded(shards=1)
    entity = cluster.one(50, 50, velocity=(40, 0))
    assert cluster.sector_of(entity) == [0, 0]
    cluster.run(3)
    assert cluster.sector_of(entity) == [1, 0]


def test_sectors_are_squares_of_one_size_in_an_endless_plane():
    cluster = Recorded(shards=1)
    far = 2 * 10**9
    places = {
        (-0.001, 99.999): [-1, 0],
        (100.0, -100.0): [1, -1],
        (far * 100.0, -far * 100.0): [far, -far],
    }
    entities = {cluster.one(*place): sector for place, sector in places.items()}
    cluster.run(1)
    assert {entity: cluster.sector_of(entity) for entity in entities} == entities
