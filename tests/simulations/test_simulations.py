"""Simulations move what they are given, by what came with it, wherever they run."""

import sys

import numpy as np
import pytest

from sidereal.errors import SimulationError
from sidereal.simulations import blob, load
from sidereal.simulations.drift import DriftField, DriftSimulation, folded
from sidereal.simulations.flock import FlockSimulation
from sidereal.simulations.neighbours import CANDIDATES_MAX, near_pairs
from sidereal.simulations.replay import Replay
from sidereal.simulations.trace import TraceSimulation
from simulations.small_world import SmallWorld

OPTIONS = {"entities": 300, "crowd": 10.0, "sector_size": 50.0, "speed": 2.0, "seed": 7}


def spawned(motion, copies, loop=0, birth=10):
    """A world of newly spawned copies, at the first tick of their lives."""
    loops = np.full(len(copies), loop)
    births = np.full(len(copies), birth)
    ends = births - 1 + motion.life(copies, loops)
    return SmallWorld(
        motion.position(copies, loops, np.full(len(copies), -1)),
        motion.velocity(copies, loops, np.full(len(copies), -1)),
        blob.spawn_state(copies, loops, births, ends),
        tick=birth,
    )


def test_trace_integrates_to_where_the_track_is():
    replay, simulation = Replay.from_options(OPTIONS), TraceSimulation(OPTIONS)
    copies = np.arange(300)
    for loop in (0, 1):
        world = spawned(replay, copies, loop)
        world.run(simulation, 400)
        expected = replay.position(copies, np.full(300, loop), np.full(300, world.tick - 1 - 10))
        np.testing.assert_allclose(world.position, expected, atol=1e-9)
        np.testing.assert_array_equal(
            world.state["simulated"], np.minimum(400, replay.life(copies, np.full(300, loop)))
        )


def test_trace_catches_up_over_a_gap_and_counts_it():
    replay, simulation = Replay.from_options(OPTIONS), TraceSimulation(OPTIONS)
    copies = np.flatnonzero(replay.life(np.arange(300), np.zeros(300)) > 100)
    world = spawned(replay, copies)
    world.run(simulation, 5)
    world.tick += 7
    world.run(simulation, 1)
    assert (world.state["skipped"] == 7).all()
    assert (world.state["simulated"] == 6).all()
    assert (world.state["last"] == 22).all()
    np.testing.assert_allclose(
        world.position,
        replay.position(copies, np.zeros(len(copies)), np.full(len(copies), 12)),
        atol=1e-9,
    )


def test_a_stale_position_is_never_mended():
    replay, simulation = Replay.from_options(OPTIONS), TraceSimulation(OPTIONS)
    copies = np.flatnonzero(replay.life(np.arange(300), np.zeros(300)) > 100)
    world = spawned(replay, copies)
    world.position[0] += (0.0, 3.0)
    world.run(simulation, 50)
    expected = replay.position(copies, np.zeros(len(copies)), np.full(len(copies), 49))
    off = np.abs(world.position - expected).max(axis=1)
    assert off[0] == pytest.approx(3.0)
    assert off[1:].max() < 1e-9


def test_a_state_rolled_back_shows_in_the_blob():
    simulation = DriftSimulation(OPTIONS)
    world = spawned(DriftField(OPTIONS), np.arange(4))
    world.run(simulation, 3)
    old = world.state.copy()
    world.run(simulation, 3)
    world.state[1] = old[1]
    world.run(simulation, 2)
    counted = world.state["simulated"].astype(int) + world.state["skipped"]
    due = world.state["last"].astype(int) - world.state["birth"] + 1
    np.testing.assert_array_equal(due - counted, [0, 3, 0, 0])
    world.tick = 12
    world.since[:] = 11
    world.run(simulation, 1)
    assert (world.state["repeated"] == 1).all()


def replace_rows(world, order):
    rows = (column[order] for column in (world.position, world.velocity, world.state))
    return SmallWorld(*rows, ids=world.ids[order])


def test_the_compiled_tick_and_its_twin_do_the_same_to_whatever_blobs():
    replay, simulation = Replay.from_options(OPTIONS), TraceSimulation(OPTIONS)
    draw, gone = np.random.default_rng(5), 0
    whole = [spawned(replay, np.arange(300)) for _ in range(2)]
    for tick in [*range(1, 8), 12, 11, 13]:
        # Rows go, come back and change places: what the last tick kept of them is of some use only.
        order = draw.permutation(300) if tick == 5 else np.roll(np.arange(300), tick * 3)
        order = np.delete(order, [tick, *range(50, 50 + 2 * tick), 290])
        worlds = [replace_rows(world, order) for world in whole]
        for name in ("loop", "birth", "end", "last"):
            changed = draw.integers(0, len(order), 40)
            value = draw.integers(0, 20, 40)
            for world in worlds:
                world.state[name][changed] = value
        late = draw.integers(0, len(order), 30)
        for world, step in zip(worlds, (simulation.step, simulation.step_at_length), strict=True):
            world.tick, world.since[:] = tick, tick - 1
            world.since[late] = max(0, tick - 3)
            step(world, 1 / world.tick_hz)
        one, other = worlds
        np.testing.assert_array_equal(one.state, other.state)
        np.testing.assert_allclose(one.position, other.position, rtol=1e-14, atol=1e-11)
        np.testing.assert_allclose(one.velocity, other.velocity, rtol=1e-12, atol=1e-9)
        assert one.destroyed == other.destroyed
        for world, part in zip(whole, worlds, strict=True):
            world.position[order], world.state[order] = part.position, part.state
        gone += len(one.destroyed)
    assert gone


def test_past_the_track_s_end_an_entity_rests_and_is_destroyed():
    replay, simulation = Replay.from_options(OPTIONS), TraceSimulation(OPTIONS)
    copies = np.arange(300)
    life = replay.life(copies, np.zeros(300))
    short = copies[life == np.sort(life)[5]][:1]
    world = spawned(replay, short)
    lived = int(life[short[0]])
    world.run(simulation, lived)
    assert world.destroyed == []
    rest = world.position.copy()
    world.run(simulation, 2)
    assert set(world.destroyed) == {1}
    np.testing.assert_array_equal(world.position, rest)
    assert world.state["simulated"][0] == lived


def test_an_end_in_a_gap_counts_the_skipped_part_of_life_only():
    world = SmallWorld([[0.0, 0.0]], state=blob.spawn_state(*np.array([[0], [0], [10], [14]])))
    world.tick = 12
    world.since[:] = 9
    blob.account(world)
    assert tuple(world.state[0]) == (0, 0, 10, 14, 1, 2, 0, 12)
    world.tick = 30
    world.since[:] = 12
    assert not blob.account(world)[0]
    assert tuple(world.state[0]) == (0, 0, 10, 14, 1, 4, 0, 12)


def test_a_copy_that_is_not_planned_is_refused_by_name():
    simulation = TraceSimulation(OPTIONS)
    world = spawned(Replay.from_options({**OPTIONS, "entities": 400}), np.array([399]))
    with pytest.raises(SimulationError, match=r"entity 1 replays copy 399.*300"):
        simulation.step(world, 0.05)


def test_copies_fill_the_world_evenly_and_draw_tracks_by_duration():
    replay = Replay.from_options({**OPTIONS, "entities": 40_000})
    assert replay.side == pytest.approx(np.sqrt(4000) * 50.0)
    ages = np.zeros(40_000, int)
    position = replay.position(np.arange(40_000), ages, ages)
    inner = (np.abs(position) < replay.side / 4).all(axis=1).mean()
    assert inner == pytest.approx(0.25, abs=0.02)
    drawn = np.bincount(replay.track, minlength=75) / 40_000
    np.testing.assert_allclose(drawn, replay.steps.life / replay.steps.life.sum(), atol=0.005)
    assert ((replay.phase >= 0) & (replay.phase < replay.steps.life[replay.track])).all()


def test_every_process_builds_the_same_replay_and_a_seed_makes_another():
    one, two = Replay.from_options(OPTIONS), Replay.from_options(dict(OPTIONS))
    other = Replay.from_options({**OPTIONS, "seed": 8})
    copies, zero = np.arange(300), np.zeros(300, int)
    np.testing.assert_array_equal(
        one.position(copies, zero, zero), two.position(copies, zero, zero)
    )
    assert (one.position(copies, zero, zero) != other.position(copies, zero, zero)).any()


@pytest.mark.parametrize(
    ("option", "value"),
    [("entities", 0), ("crowd", "many"), ("speed", -1.0), ("tick_hz", float("inf")), ("seed", 1.5)],
)
def test_an_option_out_of_range_is_named(option, value):
    with pytest.raises(SimulationError, match=f"option {option} is"):
        TraceSimulation({**OPTIONS, option: value})


def test_drift_follows_its_closed_form_over_gaps_and_walls():
    field, simulation = DriftField(OPTIONS), DriftSimulation({**OPTIONS, "trace": "ignored"})
    copies, zero = np.arange(300), np.zeros(300, int)
    world = spawned(field, copies)
    start = world.velocity.copy()
    for step in range(60):
        world.tick += step % 3 * 40
        world.run(simulation, 1)
    age = np.full(300, world.tick - 1 - 10)
    np.testing.assert_allclose(world.position, field.position(copies, zero, age), atol=1e-7)
    np.testing.assert_allclose(world.velocity, field.velocity(copies, zero, age), atol=1e-12)
    assert (np.sign(world.velocity) != np.sign(start)).any(axis=1).mean() > 0.5
    assert (np.abs(world.position) <= field.side / 2).all()


def test_folding_is_many_reflections():
    position = np.array([[0.5, 0.5], [1.25, -1.25], [3.5, -7.0], [-4.75, 1.0]])
    got, velocity = folded(position, np.ones((4, 2)), 1.0)
    np.testing.assert_allclose(got, [[0.5, 0.5], [0.75, -0.75], [-0.5, 1.0], [-0.75, 1.0]])
    np.testing.assert_array_equal(velocity[:, 0], [1, -1, 1, 1])


def test_drift_pushes_what_stands_still_without_a_plan():
    simulation = DriftSimulation(OPTIONS)
    world = SmallWorld(np.zeros((50, 2)))
    world.run(simulation, 20)
    assert world.destroyed == []
    np.testing.assert_allclose(np.hypot(*world.position.T), 20.0)
    assert len(np.unique(world.position.round(6), axis=0)) == 50


def test_near_pairs_are_all_pairs_within_the_radius():
    draw = np.random.default_rng(3)
    here, there = draw.uniform(-50, 50, (40, 2)), draw.uniform(-30, 80, (60, 2))
    i, j = near_pairs(here, there, 7.0)
    wide = np.hypot(*(here[:, None] - there[None]).transpose(2, 0, 1)) <= 7.0
    assert sorted(zip(i.tolist(), j.tolist(), strict=True)) == [
        (int(a), int(b)) for a, b in np.argwhere(wide)
    ]
    assert len(i) > 10


def test_near_pairs_stay_bounded_in_a_crowd():
    i, _ = near_pairs(np.zeros((2000, 2)), np.zeros((2000, 2)), 1.0)
    assert len(i) <= 2000 * 3 * CANDIDATES_MAX
    assert (np.bincount(i) >= CANDIDATES_MAX).all()


def test_a_flock_aligns_stays_home_and_sees_ghosts():
    draw = np.random.default_rng(5)
    simulation = FlockSimulation({**OPTIONS, "entities": 200, "crowd": 50.0})
    angle = draw.uniform(0, 2 * np.pi, 200)
    velocity = 20 * np.stack((np.cos(angle), np.sin(angle)), axis=1)
    world = SmallWorld(draw.uniform(-20, 20, (200, 2)), velocity)
    side_by_side = near_pairs(world.position, world.position, 2.5)

    def disorder():
        i, j = side_by_side
        heading = world.velocity / np.hypot(*world.velocity.T)[:, None]
        return 1 - (heading[i] * heading[j]).sum(axis=1)[i != j].mean()

    wild = disorder()
    world.run(simulation, 20)
    assert disorder() < wild
    world.run(simulation, 600)
    assert np.hypot(*world.position.T).max() < 200
    assert np.isfinite(world.position).all()

    lone = [SmallWorld([[0.0, 0.0]], [[20.0, 0.0]]) for _ in range(2)]
    lone[1].ghosts.ids = np.array([99], np.uint64)
    lone[1].ghosts.position = np.array([[0.0, 1.0]])
    lone[1].ghosts.velocity = np.array([[0.0, 20.0]])
    for one in lone:
        one.run(simulation, 1)
    assert (lone[0].velocity != lone[1].velocity).any()


def test_simulations_are_found_by_name():
    assert load("trace") is TraceSimulation
    assert load("drift") is DriftSimulation
    assert load("flock") is FlockSimulation
    assert load("sidereal.simulations.drift:DriftSimulation") is DriftSimulation


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("swim", "'swim' is none of trace, drift, flock"),
        ("sidereal.nowhere:Thing", "no module 'sidereal.nowhere'"),
        ("nowhere.at_all:Thing", "no module 'nowhere'"),
        ("sidereal.simulations.drift:Thing", "has no class 'Thing'"),
        ("sidereal.simulations.trace_file:Trace", "'Trace' has no step"),
        ("broken_game:Game", "importing it failed: RuntimeError: two lines"),
        ("hungry_game:Game", "needs 'not_installed_anywhere'"),
    ],
)
def test_a_simulation_that_cannot_be_used_is_one_clear_line(spec, says, tmp_path, monkeypatch):
    (tmp_path / "broken_game.py").write_text("raise RuntimeError('two\\nlines')")
    (tmp_path / "hungry_game.py").write_text("import not_installed_anywhere")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SimulationError) as caught:
        load(spec)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    sys.modules.pop("broken_game", None)
