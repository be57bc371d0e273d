"""A client's view: what was lost is stale again, unless something newer has been sent."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sidereal.replication.view import View


def u64(*ids: int) -> np.ndarray:
    return np.array(ids, np.uint64)


def viewing(*ids: int) -> View:
    view = View()
    view.enter(u64(*ids), np.zeros(len(ids), np.uint32), np.zeros(len(ids), np.uint32))
    return view


def fly(view: View, datagrams: list[list[int]], tick: int) -> None:
    ids = [entity for datagram in datagrams for entity in datagram]
    offsets = np.cumsum([0, *map(len, datagrams)]).astype(np.uint32)
    view.fly(offsets, u64(*ids), np.full(len(ids), tick, np.int64))


def test_rows_of_a_lost_datagram_are_stale_and_those_of_its_neighbours_are_not():
    view = viewing(9, 1, 5)
    fly(view, [[1, 5], [9]], 7)
    view.sent(100)
    view.notice(acked=[101], lost=[100])
    assert dict(zip(view.ids.tolist(), view.tick.tolist(), strict=True)) == {1: 6, 5: 6, 9: 7}


def test_what_was_sent_anew_since_is_not_stale():
    view = viewing(1)
    fly(view, [[1]], 7)
    view.sent(0)
    fly(view, [[1]], 9)
    view.sent(1)
    view.notice(acked=[], lost=[0])
    assert view.tick.tolist() == [9]
    view.notice(acked=[], lost=[1])
    assert view.tick.tolist() == [8]


def test_what_the_transport_did_not_take_is_stale_at_once():
    view = viewing(1, 2)
    fly(view, [[1, 2]], 7)
    view.sent(-1)
    assert view.tick.tolist() == [6, 6]


def test_a_lost_row_of_an_entity_that_left_or_came_again_changes_nothing():
    view = viewing(1, 2)
    fly(view, [[1, 2]], 7)
    view.sent(0)
    view.leave(view.ids == 1)
    view.leave(view.ids == 2)
    view.enter(u64(2), np.array([9], np.uint32), np.array([9], np.uint32))
    view.notice(acked=[], lost=[0])
    assert (view.ids.tolist(), view.tick.tolist()) == ([2], [9])


@given(st.data())
def test_once_everything_is_answered_nothing_is_in_flight(data):
    view = viewing(*range(1, 20))
    token = 0
    tokens = []
    for tick in range(1, data.draw(st.integers(1, 8))):
        chosen = data.draw(st.lists(st.integers(1, 19), unique=True, min_size=1))
        cut = data.draw(st.integers(1, len(chosen)))
        datagrams = [part for part in (chosen[:cut], chosen[cut:]) if part]
        fly(view, datagrams, tick)
        view.sent(token)
        tokens += range(token, token + len(datagrams))
        token += len(datagrams)
    for answered in data.draw(st.permutations(tokens)):
        lost = data.draw(st.booleans())
        view.notice([] if lost else [answered], [answered] if lost else [])
    assert not view._flights
    assert view.ids.tolist() == sorted(view.ids.tolist())
