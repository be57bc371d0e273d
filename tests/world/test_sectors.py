"""A sector's life is one table, and what the table lacks is an error with a name."""

import itertools

import pytest

from sidereal.world.sectors import TRANSITIONS, SectorEvent, SectorLifeError, SectorState, advance


def test_every_pair_is_in_the_table_or_an_error():
    for state, event in itertools.product(SectorState, SectorEvent):
        if (state, event) in TRANSITIONS:
            assert advance(state, event) is TRANSITIONS[state, event]
        else:
            with pytest.raises(SectorLifeError, match=event.value):
                advance(state, event)


def test_every_state_can_be_reached_and_left():
    assert {state for state, _ in TRANSITIONS} == set(SectorState)
    assert set(TRANSITIONS.values()) == set(SectorState)


def test_only_a_fence_or_a_removal_ends_unloaded():
    ends = {event for (_, event), state in TRANSITIONS.items() if state is SectorState.UNLOADED}
    assert ends == {SectorEvent.FENCE, SectorEvent.REMOVED}
