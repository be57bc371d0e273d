"""Section 7 of the seed: what is in a sector goes to the shard that is given it."""

import numpy as np

from seed.recorded import Recorded, holds
from sidereal.limits import CHUNK_BYTES_MAX
from sidereal.shard import events as ev
from sidereal.wire import shard_messages as sm


def filled(count: int) -> tuple[Recorded, np.ndarray]:
    """A world whose sector (3, 0) holds a crowd in custody, beside others elsewhere."""
    cluster = Recorded(shards=1)
    draw = np.random.default_rng(3)
    elsewhere = draw.uniform(0, 100, (20, 2)) + [700.0, 0.0]
    cluster.spawn(elsewhere, np.zeros((20, 2)))
    crowd = draw.uniform(0, 100, (count, 2)) + [300.0, 0.0]
    ids = cluster.spawn(crowd, draw.normal(0, 1e-6, (count, 2)))
    cluster.run(1)
    return cluster, ids


def test_exactly_the_entities_of_the_sector_are_sent():
    cluster, ids = filled(200)
    (initial,) = cluster.said(sm.SectorInitialState, sector=(3, 0))
    assert sorted(initial.message.entities.ids.tolist()) == ids.tolist()
    assert set(map(tuple, initial.message.entities.sector.tolist())) == {(3, 0)}


def test_positions_velocities_and_states_arrive_exactly():
    cluster = Recorded(shards=1)
    draw = np.random.default_rng(5)
    position, velocity = draw.uniform(300, 400, (200, 2)), draw.normal(0, 1, (200, 2))
    ids = cluster.spawn(position, velocity)
    cluster.run(1)
    sent = cluster.said(sm.SectorInitialState)
    assert sum(len(entry.message.entities) for entry in sent) == 200
    for rows in (entry.message.entities for entry in sent):
        order = np.searchsorted(ids, rows.ids)
        assert np.array_equal(rows.position, position[order])
        assert np.array_equal(rows.velocity, velocity[order])
        assert rows.states.view(np.uint32).tolist() == rows.ids.tolist()


def test_a_crowd_is_sent_in_chunks_and_the_sector_runs_after_the_last():
    cluster, ids = filled(9000)
    (assigned,) = cluster.said(sm.AssignSector, sector=(3, 0))
    chunks = cluster.said(sm.SectorInitialState, sector=(3, 0))
    (ready,) = cluster.said(sm.SectorReady, sector=(3, 0))
    assert assigned.message.chunks == len(chunks) > 2
    assert [chunk.message.chunk for chunk in chunks] == list(range(len(chunks)))
    sizes = [len(chunk.message.entities.to_bytes()) for chunk in chunks]
    assert max(sizes) < 1.2 * CHUNK_BYTES_MAX
    sent = np.concatenate([chunk.message.entities.ids for chunk in chunks])
    assert sorted(sent.tolist()) == ids.tolist()
    assert ready.at_ns >= chunks[-1].at_ns


def test_the_shard_spawns_them_and_tells_its_game_whether_it_is_the_first_time():
    cluster, ids = filled(50)
    shard = cluster.shards[0]
    assert all(holds(shard, int(entity)) for entity in ids)
    (assigned,) = [e for e in shard.log if isinstance(e, ev.SectorAssigned) and e.sector == (3, 0)]
    assert assigned.first_time
    assert sorted(assigned.entities.ids.tolist()) == ids.tolist()
