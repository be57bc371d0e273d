"""What of a datagram is news to a client: late, early and unknown ones are told apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidereal.client.core import ClientCore
from sidereal.client.events import EntitiesUpdated
from sidereal.client.sight import Sight
from sidereal.errors import LimitError, ProtocolError
from sidereal.limits import EARLY_UPDATE_ROWS_MAX, MAIL_BYTES_MAX, MAIL_PER_ENTITY_MAX
from sidereal.wire import client_messages as cm
from sidereal.wire import shard_messages as sm
from sidereal.world.entities import EntityRows


def arrival(ids: list[int], tick: int) -> EntityRows:
    count = len(ids)
    columns = {
        name: np.zeros((count, width) if width > 1 else count, dtype)
        for name, (dtype, width) in EntityRows.LAYOUT.items()
    }
    columns |= {"ids": np.array(ids, np.uint64), "tick": np.full(count, tick, np.uint32)}
    return EntityRows(**columns, lengths=np.zeros(count, np.uint32), states=np.empty(0, np.uint8))


def update(ids: list[int], tick: int) -> EntitiesUpdated:
    count = len(ids)
    place = np.full((count, 2), float(tick))
    return EntitiesUpdated(tick, np.array(ids, np.uint64), place, place, np.zeros(count, np.uint32))


def test_only_rows_that_are_newer_are_news():
    sight = Sight()
    sight.enter(arrival([5, 3], 10))
    assert sight.update(update([3, 5], 10)) is None
    assert sight.update(update([3], 12)).ids.tolist() == [3]
    assert sight.update(update([3, 5], 11)).ids.tolist() == [5]


def test_an_update_that_overtook_its_entity_is_told_when_it_enters():
    sight = Sight()
    assert sight.update(update([3, 4], 12)) is None
    (news,) = sight.enter(arrival([3], 10))
    assert (news.tick, news.ids.tolist()) == (12, [3])
    assert sight.enter(arrival([4], 13)) == []


def test_what_comes_of_an_entity_that_left_is_ignored():
    sight = Sight()
    sight.enter(arrival([3], 10))
    sight.leave(np.array([3, 9], np.uint64))
    assert sight.update(update([3], 11)) is None
    assert sight.enter(arrival([3], 12)) == []


def test_early_updates_are_bounded():
    sight = Sight()
    ids = list(range(1, 1001))
    for tick in range(EARLY_UPDATE_ROWS_MAX // 1000 + 10):
        sight.update(update(ids, tick))
    assert sight._early_rows <= EARLY_UPDATE_ROWS_MAX


@given(st.lists(st.tuples(st.sampled_from("eul"), st.integers(1, 4), st.integers(0, 30))))
def test_ticks_never_go_back_and_nothing_moves_that_is_not_there(story):
    sight = Sight()
    ticks: dict[int, int] = {}

    def told(news: EntitiesUpdated) -> None:
        for entity in news.ids.tolist():
            assert news.tick > ticks[entity]
            ticks[entity] = news.tick

    for what, entity, tick in story:
        if what == "e" and entity not in ticks:
            ticks[entity] = tick
            for news in sight.enter(arrival([entity], tick)):
                told(news)
        elif what == "u":
            news = sight.update(update([entity], tick))
            if news is not None:
                told(news)
        elif what == "l":
            sight.leave(np.array([entity], np.uint64))
            ticks.pop(entity, None)
    assert sight.ids.tolist() == sorted(ticks)


def test_a_server_that_speaks_out_of_turn_is_refused():
    core = ClientCore()
    core.open(0)
    with pytest.raises(ProtocolError, match="before ClientWelcome"):
        core.receive(cm.EntitiesEnter(EntityRows.empty()), 1)
    core.receive(cm.ClientWelcome(1, b"x" * 16, False, 20.0, 0, 0, 1), 1)
    with pytest.raises(ProtocolError, match="may not send ReleaseSector"):
        core.receive(sm.ReleaseSector((0, 0), 1, 1), 1)


def test_malformed_datagrams_are_counted_and_dropped():
    core = ClientCore()
    core.receive_datagrams([b"", b"\x01", b"\x04short"], 0)
    assert core.datagrams_malformed == 3
    assert core.events() == []


def test_wishes_that_cannot_be_are_refused_where_they_are_made():
    core = ClientCore()
    with pytest.raises(ValueError, match="one of them"):
        core.subscribe(1.0)
    with pytest.raises(ValueError, match="radius of nan"):
        core.subscribe(float("nan"), point=(0, 0))
    with pytest.raises(KeyError):
        core.unsubscribe(1)
    with pytest.raises(LimitError, match=str(MAIL_BYTES_MAX)):
        core.send_mail(1, bytes(MAIL_BYTES_MAX + 1))
    for _ in range(MAIL_PER_ENTITY_MAX):
        core.send_mail(1, b"x")
    with pytest.raises(LimitError, match="wait for a session"):
        core.send_mail(1, b"x")


def answered(core: ClientCore, *outcomes: cm.PossessOutcome) -> None:
    for outcome in outcomes:
        core.receive(outcome, 2)


@pytest.mark.parametrize("newest", [True, False], ids=["possess", "release"])
def test_the_answer_to_an_older_wish_cancels_no_newer_one(newest):
    core = ClientCore()
    core.open(1)
    core.receive(cm.ClientWelcome(1, b"x" * 16, False, 20.0, 1, 0, 1), 1)
    for hold in (newest, not newest, newest):
        core.possess(7) if hold else core.release(7)
    refused, released = cm.PossessOutcome(7, False, "taken"), cm.PossessOutcome(7, False, "")
    answered(core, *([refused, released] if newest else [released, refused]))
    core.ended("the link broke")  # before the newest was answered: it is said again
    core.open(3)
    core.receive(cm.ClientWelcome(1, b"x" * 16, True, 20.0, 3, 0, 1), 3)
    said = [m for m in core.poll() if isinstance(m, cm.Possess)]
    assert said == [cm.Possess(7, newest)]
    answered(core, cm.PossessOutcome(7, False, "taken"))
    core.ended("the link broke")
    core.open(5)
    core.receive(cm.ClientWelcome(1, b"x" * 16, True, 20.0, 5, 0, 1), 5)
    assert not [m for m in core.poll() if isinstance(m, cm.Possess)], "it was answered"
