"""The ledger of who may simulate what, where it has to allow for what it cannot know."""

import numpy as np
import pytest

from sidereal.testing.clocks import Clockwork, LocalClock
from sidereal.testing.ledger import Ledger
from sidereal.testing.lives import Life
from sidereal.testing.observer import Violation
from sidereal.wire import shard_messages as sm
from sidereal.world.entities import ClaimRows, EnterRows

BORN = 7


def arrival(version=1):
    """A message that gives one entity."""
    columns = {
        name: np.zeros((1, width) if width > 1 else 1, dtype)
        for name, (dtype, width) in EnterRows.LAYOUT.items()
    }
    columns["ids"][0], columns["version"][0] = BORN, version
    lengths, states = np.zeros(1, np.uint32), np.empty(0, np.uint8)
    return sm.EntityEnterSector(EnterRows(**columns, lengths=lengths, states=states))


def end():
    """A message that says that it is no more."""
    return sm.EntitiesDestroyed(ClaimRows(ids=np.array([BORN]), version=np.array([1])))


@pytest.fixture
def ledger():
    ledger = Ledger()
    ledger.wished([BORN])
    return ledger


@pytest.fixture
def life():
    return Life("shard-0", LocalClock(Clockwork()))


def test_an_end_before_the_record_has_an_entity_may_have_no_effect(ledger, life):
    """Seed 100101: a shard heard of the entity before the witness looked at the record."""
    ledger.doom([BORN])
    ledger.said(arrival(), life)
    known = ledger.born(BORN)
    assert known is not None
    assert not known.doomed
    assert ledger.alive() == {BORN}
    with pytest.raises(Violation, match="neither its holder nor an operator wanted"):
        ledger.said(end(), life)


def test_it_may_have_none_where_nobody_has_heard_of_it_yet(ledger):
    ledger.doom([BORN])
    assert ledger.born(BORN) is None


def test_it_has_one_where_the_record_had_it(ledger, life):
    assert ledger.born(BORN) is None
    ledger.doom([BORN])
    ledger.said(arrival(), life)
    ledger.said(end(), life)
    assert not ledger.alive()


@pytest.mark.parametrize("by", ["its holder", "an operator"])
def test_what_ended_after_it_was_given_does_not_come_back(ledger, life, by):
    ledger.doom([BORN])
    ledger.said(arrival(), life)
    if by == "an operator":
        ledger.doom([BORN])
    else:
        claims = ClaimRows(ids=np.array([BORN]), version=np.array([1]))
        ledger.heard(sm.DestroyEntities(claims), life)
    known = ledger.born(BORN)
    assert known is not None
    assert known.doomed


def test_what_the_record_had_when_it_was_ended_is_not_born_again(ledger):
    """A spawn that is repeated after its end."""
    assert ledger.born(BORN) is None
    ledger.doom([BORN])
    known = ledger.born(BORN)
    assert known is not None
    assert known.doomed


def test_what_a_shard_was_told_has_ended_is_not_born_again(ledger, life):
    ledger.doom([BORN])
    ledger.said(arrival(), life)
    ledger.said(end(), life)
    known = ledger.born(BORN)
    assert known is not None
    assert known.doomed


def test_a_spawn_that_died_with_its_server_may_be_asked_for_again(ledger):
    assert ledger.born(BORN) is None
    ledger.doom([BORN])
    ledger.restored({})
    assert ledger.born(BORN) is None


def test_what_an_operator_was_told_has_ended_is_not_born_again(ledger):
    ledger.doom([BORN])
    ledger.gone([BORN])
    known = ledger.born(BORN)
    assert known is not None
    assert known.doomed


def test_nobody_is_told_that_something_has_ended_which_nobody_ended(ledger):
    ledger.born(BORN)
    with pytest.raises(Violation, match="neither its holder nor an operator wanted"):
        ledger.gone([BORN])


@pytest.mark.parametrize("told", ["a shard", "an operator"])
def test_what_somebody_was_told_has_ended_stays_so_whoever_leads(ledger, life, told):
    assert ledger.born(BORN) is None
    ledger.doom([BORN])
    if told == "a shard":
        ledger.said(end(), life)
    else:
        ledger.gone([BORN])
    ledger.restored({})
    known = ledger.born(BORN)
    assert known is not None
    assert known.doomed
    with pytest.raises(Violation, match="have ended, and a new server has them"):
        ledger.restored({BORN: 1})


def test_an_end_of_which_nobody_was_told_may_be_lost_with_its_server(ledger, life):
    ledger.said(arrival(), life)
    ledger.doom([BORN])
    ledger.restored({BORN: 1})
    assert ledger.alive() == {BORN}
