"""Each life is one table; what it lacks is an error with a name, and nobody takes such a step."""

import itertools

import pytest

from lives import page
from lives.watch import COPY_STEPS, HOLDER_STEPS, Watch
from sidereal.shard.lives import Copy
from sidereal.testing.plan import draw
from sidereal.testing.simulation import Simulation
from sidereal.world.life import LifeError

LIVES = pytest.mark.parametrize("life", page.LIVES.values(), ids=page.LIVES)


def test_the_page_is_drawn_from_the_tables():
    assert page.PAGE.read_text() == page.page(), "run: PYTHONPATH=tests python -m lives.page"


@LIVES
def test_every_pair_is_in_the_table_or_an_error(life):
    states = type(life.start)
    events = type(next(event for _, event in life.transitions))
    for state, event in itertools.product(states, events):
        if (state, event) in life.transitions:
            assert life.after(state, event) is life.transitions[state, event]
        else:
            with pytest.raises(LifeError, match="cannot"):
                life.after(state, event)
    assert {event for _, event in life.transitions} == set(events)


@LIVES
def test_every_state_can_be_reached(life):
    reached = {life.start}
    for _ in life.transitions:
        reached |= {after for (state, _), after in life.transitions.items() if state in reached}
    begins = {"HALF_OPEN"}  # where a server's connection begins
    assert {state for state in type(life.start) if state.name not in begins} <= reached


@pytest.mark.parametrize("seed", range(70_000, 70_003))
def test_no_entity_takes_a_step_that_no_table_holds(seed, monkeypatch):
    watch = Watch()
    watch.over(monkeypatch)
    report = Simulation(draw(seed)).run()
    assert report.violation is None, report.violation
    assert set(watch.copies) - COPY_STEPS == set()
    assert set(watch.holders) - HOLDER_STEPS == set()
    assert len(watch.holders) >= 2, "no entity lived"
    assert {Copy.PENDING, Copy.HELD} <= {state for state, _ in watch.copies}
