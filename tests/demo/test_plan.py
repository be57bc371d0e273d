"""A plan names everyone alive in every tick, and replaces each life by the next."""

import numpy as np
import pytest

from sidereal.demo.idhash import hash_ids, id_of_hash, mixed_ids
from sidereal.demo.plan import Plan, motion_of
from sidereal.errors import ConfigError

OPTIONS = {"entities": 200, "crowd": 10.0, "sector_size": 50.0, "speed": 20.0, "seed": 7}


def planned(start=100, ticks=400, **options):
    plan = Plan(motion_of("trace", {**OPTIONS, **options}), start, ticks)
    plan.assign_ids(1000, 150)
    plan.assign_ids(5000, len(plan))
    return plan


def test_each_copy_has_exactly_one_life_at_any_tick():
    plan = planned()
    assert len(plan) > 400
    for tick in (100, 101, 250, 499):
        alive = plan.alive(tick)
        np.testing.assert_array_equal(np.sort(plan.copy[alive]), np.arange(200))
    for copy in range(200):
        mine = np.flatnonzero(plan.copy == copy)
        np.testing.assert_array_equal(plan.loop[mine], np.arange(len(mine)))
        np.testing.assert_array_equal(plan.birth[mine][1:], plan.end[mine][:-1] + 1)
    assert (plan.birth <= plan.last_tick).all()
    assert (plan.end[plan.loop > 0] >= plan.birth[plan.loop > 0]).all()


def test_expected_counts_and_hashes_are_those_of_the_living():
    plan = planned()
    expected = plan.expected()
    assert expected.first_tick == 100
    assert (expected.count == 200).all()
    for tick in range(100, 500, 37):
        assert expected.hash[tick - 100] == hash_ids(plan.ids[plan.alive(tick)])
    short = plan.expected(last_tick=110)
    np.testing.assert_array_equal(short.hash, expected.hash[:11])


def test_births_come_in_order_and_cover_the_plan_once():
    plan = planned()
    parts = [plan.births(100, 100), plan.births(101, 300), plan.births(301, 499)]
    generation = np.concatenate([part.generation for part in parts])
    np.testing.assert_array_equal(generation, np.arange(len(plan)))
    assert len(parts[0]) == 200
    later = parts[1]
    assert (later.state["birth"] == later.birth).all()
    assert (later.state["last"] == later.birth - 1).all()
    np.testing.assert_array_equal(later.state["end"], plan.end[later.generation])
    np.testing.assert_array_equal(later.position, plan.position(later.generation, later.birth))
    assert len(plan.births(500, 900)) == 0


def test_ids_map_back_to_generations():
    plan = planned()
    assert plan.ungranted == 0
    assert plan.ids[149] == 1149
    assert plan.ids[150] == 5000
    generation = plan.generation_of(np.array([5000, 1000, 1149, 1150, 1], np.uint64))
    np.testing.assert_array_equal(generation, [150, 0, 149, -1, -1])


def test_expecting_a_birth_without_an_id_is_an_error():
    plan = Plan(motion_of("trace", OPTIONS), 100, 400)
    plan.assign_ids(1, 200)
    assert plan.expected(100).count.tolist() == [200]
    with pytest.raises(ConfigError, match="only 200 have ids"):
        plan.expected()


def test_a_plan_of_drift_never_ends():
    plan = Plan(motion_of("drift", OPTIONS), 5, 1000)
    assert len(plan) == 200
    moved = plan.position(np.arange(200), 905) - plan.position(np.arange(200), 5)
    assert (np.abs(moved) > 0).any(axis=1).all()


def test_a_plan_of_flock_knows_where_each_begins_and_foresees_nothing():
    plan = Plan(motion_of("flock", OPTIONS), 5, 1000)
    assert not plan.motion.foreseen
    births = plan.births(5, 5)
    assert len(births) == len(plan) == 200
    assert np.isfinite(births.position).all()


def test_what_keeps_no_account_has_no_plan():
    with pytest.raises(ConfigError, match=r"'game:Rules' .* choose trace, drift or flock"):
        motion_of("game:Rules", OPTIONS)


def test_the_id_hash_can_be_undone():
    ids = np.array([0, 1, 2**63, 2**64 - 1, 123456789], np.uint64)
    assert int(mixed_ids(np.array([0], np.uint64))[0]) == 0xE220A8397B1DCDAF
    assert [id_of_hash(int(h)) for h in mixed_ids(ids)] == [int(i) for i in ids]
    with_one_more = hash_ids(ids) - hash_ids(ids[:-1])
    assert id_of_hash(with_one_more) == 123456789
