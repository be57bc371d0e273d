"""The planner of rebalancing, run dry: what it moves, what it leaves, and why."""

from random import Random

import numpy as np
import pytest

from sidereal.replication.flux import Flux
from sidereal.replication.plan import Move, View, plan


def view(owner, loads, **other) -> View:
    chosen = {
        "shards": tuple(sorted(set(owner.values()))),
        "cordoned": other.get("draining", frozenset()),
        "draining": frozenset(),
        "resting": frozenset(),
        "flux": Flux(),
        "dead_band": 0.05,
        "budget": 0.09,
        "cold_load": 1.0,
        **other,
    }
    return View(loads=loads, owner=owner, **chosen)


def halves(width: int, split: int) -> dict:
    return {(x, y): int(x >= split) for x in range(width) for y in range(width)}


def after(owner: dict, moves: list[Move]) -> dict:
    moved = dict(owner)
    for move in moves:
        assert moved[move.sector] == move.source
        moved[move.sector] = move.target
    return moved


def test_balanced_shards_are_left_alone():
    owner = halves(10, 5)
    assert plan(view(owner, dict.fromkeys(owner, 10.0))) == []


def test_the_hot_shard_gives_border_sectors_until_its_budget_is_spent():
    owner = halves(10, 8)
    moves = plan(view(owner, dict.fromkeys(owner, 10.0)))
    assert moves
    assert all(move.source == 0 and move.target == 1 for move in moves)
    assert len(moves) * 10.0 <= 0.09 * 1000 + 10.0
    assert all(move.sector[0] >= 6 for move in moves), "only what borders on the other shard"
    assert "is over" in moves[0].reason


def test_rounds_come_to_rest_within_the_dead_band():
    owner = halves(12, 11)
    loads = dict.fromkeys(owner, 10.0)
    for _ in range(30):
        moves = plan(view(owner, loads))
        if not moves:
            break
        owner = after(owner, moves)
    totals = [sum(loads[s] for s in owner if owner[s] == shard) for shard in (0, 1)]
    assert max(totals) <= 1.05 * sum(totals) / 2
    assert plan(view(owner, loads)) == []


def test_a_sector_heavier_than_the_budget_still_moves_alone():
    owner = {(0, 0): 0, (1, 0): 0, (2, 0): 1}
    loads = {(0, 0): 300.0, (1, 0): 300.0, (2, 0): 10.0}
    moves = plan(view(owner, loads))
    assert [move.sector for move in moves] == [(1, 0)]


def test_nothing_moves_where_all_are_cold_and_what_moved_rests():
    owner = halves(10, 8)
    loads = dict.fromkeys(owner, 10.0)
    assert plan(view(owner, loads, cold_load=10_000.0)) == []
    assert plan(view(owner, loads, resting=frozenset(owner))) == []


def test_a_draining_shard_gives_everything_whatever_it_costs():
    owner = halves(6, 3)
    moves = plan(view(owner, dict.fromkeys(owner, 5.0), draining=frozenset({0})))
    assert set(after(owner, moves).values()) == {1}


def test_a_shard_with_nothing_gets_something():
    owner = dict.fromkeys(halves(6, 3), 0)
    moves = plan(view(owner, dict.fromkeys(owner, 50.0), shards=(0, 1), budget=1.0))
    assert sum(move.target == 1 for move in moves) >= 10


def test_of_two_moves_the_one_that_uncuts_more_crossings_is_made():
    owner = {(0, 0): 0, (0, 1): 0, (1, 0): 1, (1, 1): 1}
    loads = {(0, 0): 60.0, (0, 1): 60.0, (1, 0): 20.0, (1, 1): 20.0}
    flux = Flux()
    busy = np.array([[0, 1]] * 200, np.int32), np.array([[1, 1]] * 200, np.int32)
    flux.observe([busy], 1.0)
    moves = plan(view(owner, loads, flux=flux, budget=0.5))
    assert moves[0].sector == (0, 1)


def test_the_same_view_gives_the_same_plan():
    random = Random(5)
    owner = {(x, y): random.randrange(4) for x in range(16) for y in range(16)}
    loads = {sector: random.uniform(0, 100) for sector in owner}
    first = plan(view(owner, loads))
    shuffled = list(owner)
    random.shuffle(shuffled)
    assert plan(view({s: owner[s] for s in shuffled}, loads)) == first


@pytest.mark.parametrize("seed", range(40))
def test_a_sector_moves_at_most_once_a_round_also_off_a_shard_that_is_drained(seed):
    random = Random(seed)
    shards, width = random.randrange(2, 6), random.randrange(2, 9)
    owner = {(x, y): random.randrange(shards) for x in range(width) for y in range(width)}
    loads = {sector: float(random.choice([1, 2, 5, 30, 60])) for sector in owner}
    flux = Flux()
    source = np.array([random.choice(list(owner)) for _ in range(200)], np.int32)
    step = np.array([[random.randint(-1, 1), random.randint(-1, 1)] for _ in range(200)], np.int32)
    flux.observe([(source, source + step)], 1.0)
    draining = frozenset({0} if random.random() < 0.5 else ())
    seen = view(
        owner,
        loads,
        shards=tuple(range(shards + random.randrange(2))),
        draining=draining,
        flux=flux,
        budget=random.choice([0.1, 0.5, 1.0]),
    )
    moves = plan(seen)
    assert len({move.sector for move in moves}) == len(moves)
