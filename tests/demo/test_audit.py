"""The audit agrees with every honest world, and names what is wrong with a dishonest one."""

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demo.model_world import CALM, OPTIONS, STILL, ModelWorld, ids_versions, ticks
from sidereal.demo import audit_file as af
from sidereal.demo.audit import Auditor
from sidereal.demo.plan import Plan, motion_of
from sidereal.errors import ConfigError

SEEDS = st.integers(0, 2**32 - 1)
many = settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def fresh(tmp_path_factory):
    """A new world each time, also within one property."""
    return lambda seed, **kinds: ModelWorld(tmp_path_factory.mktemp("audit"), seed, **kinds)


@many
@given(seed=SEEDS)
def test_a_world_that_loses_nothing_is_clean(fresh, seed):
    world = fresh(seed)
    verdict = world.run()
    assert verdict.wrong == []
    assert not verdict.faulty
    assert world.auditor.settled()
    sums, people = verdict.tally, verdict.census
    assert sums.wrong_ticks == 0
    assert sums.simulated + sums.gaps == sums.alive == 60 * 30
    assert people.created == people.live + people.destroyed
    assert people.position_error_max < 1e-9
    assert len(verdict.passages.handoff_ns) > 0
    assert (verdict.passages.handoff_ns > 0).all()
    assert verdict.rehomed.entities == 0


@many
@given(seed=SEEDS, at=st.integers(15, 55), half=st.booleans())
def test_a_killed_shard_loses_nothing_and_repeats_what_it_had_not_sent(fresh, seed, at, half):
    world = fresh(seed)
    world.kills[at] = (1, half)
    verdict = world.run()
    assert verdict.wrong == []
    assert verdict.faulty
    assert len(verdict.tally.unlogged) == 0
    assert verdict.tally.excused_ticks == verdict.rehomed.state_age_ticks.sum()


@many
@given(seed=SEEDS, first=st.integers(15, 40), gap=st.integers(0, 12))
def test_two_shards_killed_and_one_started(fresh, seed, first, gap):
    world = fresh(seed, shards=4)
    world.kills[first] = (1, False)
    world.kills[first + 1 + gap] = (2, True)
    world.sabotage[first + 2] = ModelWorld.add_shard
    verdict = world.run()
    assert verdict.wrong == []
    assert [shard.done for shard in verdict.shards] == [True, False, False, True, True]


def test_gaps_around_a_death_are_the_fault_s_and_others_are_not(fresh):
    world = fresh(13, rates=replace(CALM, crosses=0.05))
    world.kills[62] = (1, False)
    verdict = world.run()
    assert verdict.rehomed.entities > 5
    assert 3 * verdict.rehomed.entities < verdict.tally.gaps - verdict.gap_ticks
    assert verdict.gap_ticks == verdict.gap_lengths.sum() > 10
    assert verdict.gap_lengths.max() <= 1
    healthy = fresh(13, rates=CALM).run()
    assert healthy.gap_ticks == healthy.tally.gaps > 0


def test_what_no_shard_could_log_is_told_apart(fresh):
    world = fresh(12, rates=CALM)
    world.sends_first = True
    world.kills[40] = (1, True)
    verdict = world.run()
    assert verdict.wrong == []
    unlogged = verdict.tally.unlogged
    assert len(unlogged) > 0
    assert (unlogged.first == 40).all()
    assert (unlogged.last == 40).all()
    assert verdict.rehomed.entities == 0


@pytest.mark.parametrize(("ticks_on", "named"), [(1, False), (2, True)])
def test_who_goes_on_from_a_tick_that_no_shard_had_come_to_is_named(fresh, ticks_on, named):
    """A death explains the tick that was being written down, and no other."""
    world = fresh(12, rates=CALM)
    world.kills[40] = (1, False)

    def set_on(w):
        for _, _, what, arguments in w.queue:
            if what == w.arrive and arguments[2] == af.ACTIVATION:
                arguments[0].tick = 40 + ticks_on

    world.sabotage[41] = set_on
    verdict = world.run()
    went_on = len(np.unique(verdict.tally.unlogged.id))
    assert went_on > 5
    said = [line for line in verdict.wrong if "went on from a tick" in line]
    assert [line.split()[0] for line in said] == ([str(went_on)] if named else [])


def drop(world):
    shard, row = world.someone()
    del shard.rows[row.id]
    return row


def double(world):
    shard, row = world.someone()
    other = next(s for s in world.living if s is not shard)
    other.rows[row.id] = copy.deepcopy(row)
    return row


def roll_back(world):
    _, row = world.someone()
    old = world.newest[row.id]
    assert old.tick <= row.tick
    row.tick -= 3
    row.state["last"] -= 3
    row.state["simulated"] -= 3
    return row


def still(world):
    """From now on nothing moves between shards, so that a sabotage stays what it is."""
    world.rates = STILL
    give_all_a_lease(world)


def give_all_a_lease(world):
    world.rates = replace(world.rates, lease_flips=0)
    for shard in world.living:
        shard.leased = True


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (drop, "is simulated by nobody"),
        (double, "is simulated twice"),
        (roll_back, "is simulated twice"),
    ],
)
def test_sabotage_in_mid_run_is_caught_and_named(fresh, seed, harm, says):
    world = fresh(seed)
    harmed = {}

    def sabotage(w):
        harmed["row"] = harm(w)

    world.sabotage[36] = still
    world.sabotage[46] = sabotage
    verdict = world.run()
    id_ = harmed["row"].id
    named = [line for line in verdict.wrong if f"entity {id_} {says}" in line]
    assert named, verdict.wrong
    assert named[0].startswith(f"from tick {43 if harm is roll_back else 46}:")
    assert verdict.tally.wrong_ticks == (3 if harm is roll_back else 70 - 46)
    lost, duplicated = verdict.census.lost.tolist(), verdict.census.duplicated.tolist()
    assert lost == ([id_] if harm is drop else [])
    assert duplicated == ([id_] if harm is double else [])


@many
@given(seed=SEEDS, at=st.integers(20, 50), killed=st.booleans())
def test_an_entity_dropped_in_the_midst_of_it_all_is_missed_and_named(fresh, seed, at, killed):
    world = fresh(seed)
    gone = []

    def drop_one(w):
        gone.append(drop(w).id)

    world.sabotage[at - 1] = give_all_a_lease
    world.sabotage[at] = drop_one
    if killed:
        world.kills[at + 5] = (1, False)
    verdict = world.run()
    assert verdict.census.lost.tolist() == gone
    assert any(f"lost: nobody holds them at the end: {gone[0]}" in line for line in verdict.wrong)
    assert f"from tick {at}: entity {gone[0]} is simulated by nobody" in verdict.wrong[0]


def test_a_state_rolled_back_behind_a_fresh_tick_is_caught_by_blob_and_position(fresh):
    world = fresh(3)
    old, harmed = {}, {}

    def remember(w):
        still(w)
        _, row = w.someone()
        old["row"] = copy.deepcopy(row)

    def swap(w):
        shard = next(s for s in w.living if old["row"].id in s.rows)
        row = shard.rows[old["row"].id]
        row.position, row.state = old["row"].position, old["row"].state
        harmed["id"] = row.id

    world.sabotage[40], world.sabotage[45] = remember, swap
    verdict = world.run()
    assert verdict.census.unaccounted.tolist() == [harmed["id"]]
    assert any("state blob" in line and str(harmed["id"]) in line for line in verdict.wrong)
    assert verdict.census.position_error_max > 1e-6
    assert verdict.census.worst == harmed["id"]


def test_several_lost_at_once_are_counted_and_named_at_the_end(fresh):
    world = fresh(4)
    gone = []

    def drop_three(w):
        gone.extend(drop(w).id for _ in range(3))

    world.sabotage[36], world.sabotage[46] = still, drop_three
    verdict = world.run()
    assert any("from tick 46: 3 too few are simulated" in line for line in verdict.wrong)
    assert sorted(verdict.census.lost.tolist()) == sorted(gone)
    assert any(line.startswith("3 lost") for line in verdict.wrong)


def test_a_swap_of_ids_is_seen_though_the_number_is_right(fresh):
    world = fresh(5)
    ids = {}

    def swap(w):
        shard, row = w.someone()
        del shard.rows[row.id]
        ids["gone"], row.id = row.id, 77
        shard.rows[77] = row

    world.sabotage[36], world.sabotage[46] = still, swap
    verdict = world.run()
    assert any("from tick 46: others than planned" in line for line in verdict.wrong)
    assert verdict.census.foreign.tolist() == [77]
    assert verdict.census.lost.tolist() == [ids["gone"]]


def test_two_living_shards_are_not_excused_by_a_dead_one(fresh):
    world = fresh(6, shards=4)
    world.kills[30] = (3, False)
    harmed = {}

    def give_twice(w):
        """Two shards get it, and both write down that they did."""
        shard, row = w.someone()
        other = next(s for s in w.living if s is not shard)
        w.arrive(copy.deepcopy(row), other, af.HANDOFF)
        harmed["id"] = row.id

    world.sabotage[31], world.sabotage[50] = still, give_twice
    verdict = world.run()
    assert any(f"entity {harmed['id']} is simulated twice" in line for line in verdict.wrong)


@pytest.mark.parametrize(("beside", "seen"), [(31, True), (30, False)])
def test_a_shard_that_goes_on_beside_who_has_taken_over_is_not_excused_by_its_end(
    fresh, beside, seen
):
    """It was given up, and simulates all the same, until it is fenced and wiped at last.

    The other one may be behind, and have the first one's ticks at a later time.
    """
    world = fresh(6, ticks=80)
    harmed = {}

    def take_over(w):
        shard, row = w.someone()
        other = next(s for s in w.living if s is not shard)
        arrived = copy.deepcopy(row)
        arrived.version += 1
        w.arrive(arrived, other, af.REHOMED)
        harmed.update(shard=shard, row=row)

    def fence(w):
        shard, row = harmed["shard"], harmed["row"]
        shard.recorder.left(*ids_versions([row]), ticks([row]), w.now, lost=True)
        del shard.rows[row.id]

    world.sabotage |= {39: still, 50: take_over, 50 + beside: fence}
    verdict = world.run()
    assert verdict.tally.excused_ticks == beside
    said = [line for line in verdict.wrong if "by two shards at once" in line]
    assert len(said) == seen
    assert all(f"1 simulated by two shards at once: {harmed['row'].id}" in line for line in said)


def moved_without_release(world, ids):
    """From tick 46 on a shard keeps a frozen copy of what another one simulates."""

    def move(w):
        still(w)
        shard, row = w.someone()
        other = next(s for s in w.living if s is not shard)
        arrived = copy.deepcopy(row)
        shard.recorder.left(*ids_versions([row]), ticks([row]), w.now)
        row.frozen = True
        w.arrive(arrived, other, af.MIGRATION)
        ids.append(row.id)

    world.sabotage[46] = move


def thaw(world):
    for shard in world.living:
        for row in shard.rows.values():
            row.frozen = False


def test_a_frozen_copy_that_awaits_its_release_is_nobody_s_second(fresh):
    world, moved = fresh(9), []
    moved_without_release(world, moved)
    verdict = world.run()
    assert sum(moved[0] in shard.rows for shard in world.living) == 2
    assert verdict.wrong == []
    assert len(verdict.census.lost) == len(verdict.census.duplicated) == 0


def test_two_shards_that_may_both_simulate_an_entity_are_named_though_only_one_does(fresh):
    """Every tick was simulated once: only what is held at the end tells."""
    world, moved = fresh(9), []
    moved_without_release(world, moved)
    world.before_judging = lambda: thaw(world)
    verdict = world.run()
    assert verdict.tally.wrong_ticks == 0
    assert verdict.census.duplicated.tolist() == moved
    assert any(
        line.startswith(f"1 held by more than one shard at the end: {moved[0]}")
        for line in verdict.wrong
    )


def test_one_whose_move_is_not_decided_is_not_lost(fresh):
    world = fresh(10)
    frozen = []

    def freeze():
        row = next(iter(world.living[0].rows.values()))
        row.frozen = True
        frozen.append(row.id)

    world.before_judging = freeze
    verdict = world.run()
    assert frozen
    assert verdict.wrong == []


def test_the_end_is_awaited_until_nobody_is_held_twice(fresh):
    world = fresh(11)
    world.run()
    files, alive = world.auditor.files(), len(world.plan.alive(69))
    files[0]["held"] = alive
    assert world.auditor.landed(alive)
    for held in (alive - 1, alive + 1):
        files[0]["held"] = held
        assert not world.auditor.landed(alive)


def test_a_full_log_fails_the_audit(fresh):
    world = fresh(7)
    file = world.shards[0].recorder.file
    file.moves = file.moves[:5]
    verdict = world.run()
    assert any("did not fit" in line and line.startswith("s0") for line in verdict.wrong)


def test_an_entity_that_nobody_steps_any_more_is_named(fresh):
    world = fresh(8)

    def forget(w):
        still(w)
        _, row = w.someone()
        row.frozen = True
        harmed.append(row.id)

    harmed = []
    world.sabotage[46] = forget
    verdict = world.run()
    assert verdict.census.behind.tolist() == harmed
    assert any("before the last tick" in line for line in verdict.wrong)


def test_there_is_nothing_to_judge_without_files_or_a_stop(tmp_path):
    plan = Plan(motion_of("trace", OPTIONS), 1, 10)
    with pytest.raises(ConfigError, match="nothing to judge"):
        Auditor(tmp_path, plan).verdict()


def test_stopping_reaches_shards_that_start_later(fresh):
    world = fresh(9)
    world.auditor.stop_at(66)
    world.add_shard()
    assert world.shards[-1].recorder.stop_tick is None
    world.auditor.files()
    assert [s.recorder.stop_tick for s in world.shards] == [66] * 4
    assert not any(s.recorder.finish for s in world.shards)
    assert not world.auditor.answered()
    assert world.auditor.answered(frozenset(range(100, 104)))
    np.testing.assert_array_equal([f.name for f in world.auditor.files()], ["s0", "s1", "s2", "s3"])
