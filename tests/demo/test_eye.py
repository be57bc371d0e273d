"""The compiled eye and its readable twin see the same."""

import numpy as np
import pytest

from sidereal.demo import _eye, eye_twin

LOOKS = [pytest.param(_eye.look, id="compiled"), pytest.param(eye_twin.look, id="twin")]


def rows(seed, n=4000, tick=50):
    draw = np.random.default_rng(seed)
    state = np.zeros(n, [("birth", "<u4"), ("end", "<u4")])  # columns with a stride, as blobs have
    state["birth"] = draw.integers(tick - 20, tick + 3, n)
    state["end"] = np.where(draw.random(n) < 0.5, 2**32 - 1, draw.integers(tick - 5, tick + 20, n))
    maybe = (draw.random(1 << 16) < 0.01).astype(np.uint8)
    pending = (draw.random(n) < 0.1).view(np.uint8)
    since = draw.integers(tick - 3, tick, n).astype(np.uint32)
    ids = draw.integers(1, 2**63, n).astype(np.uint64)
    return tick, ids, since, state["birth"], state["end"], pending, maybe


@pytest.mark.parametrize("seed", range(5))
def test_both_see_the_same(seed):
    seen = _eye.look(*rows(seed))
    expected = eye_twin.look(*rows(seed))
    assert seen[:2] == expected[:2]
    for one, other in zip(seen[2:], expected[2:], strict=True):
        np.testing.assert_array_equal(one, other)
    assert all(len(found) for found in seen[2:])


@pytest.mark.parametrize("look", LOOKS)
def test_nobody_is_seen_where_nobody_is(look):
    tick, *columns, maybe = rows(0)
    count, total, *found = look(tick, *(column[:0] for column in columns), maybe)
    assert (count, total, [len(each) for each in found]) == (0, 0, [0, 0, 0])


@pytest.mark.parametrize("look", LOOKS)
def test_columns_of_other_lengths_are_refused(look):
    tick, ids, since, birth, end, pending, maybe = rows(0)
    with pytest.raises(ValueError, match="length"):
        look(tick, ids, since[1:], birth, end, pending, maybe)
    with pytest.raises(ValueError, match="65536"):
        look(tick, ids, since, birth, end, pending, maybe[1:])
