"""Which values occur, and among others: the same answer for few and for many."""

import numpy as np
import pytest

from sidereal.world.columns import SMALL, among, rising


@pytest.mark.parametrize("count", [0, 1, 5, SMALL, SMALL + 1, 700])
@pytest.mark.parametrize("others", [0, 1, 5, SMALL, 700])
def test_among_is_what_isin_says_however_many_there_are(count, others):
    numbers = np.random.default_rng(count * 1000 + others)
    values = numbers.integers(0, 2 * SMALL, count).astype(np.uint64)
    among_these = numbers.integers(0, 2 * SMALL, others).astype(np.uint64)
    found = among(values, among_these)
    assert found.dtype == bool
    assert np.array_equal(found, np.isin(values, among_these))


@pytest.mark.parametrize("count", [0, 1, SMALL, SMALL + 1, 5 * SMALL])
def test_rising_is_what_unique_says_however_many_there_are(count):
    numbers = np.random.default_rng(count)
    values = numbers.integers(-3, 5, count).astype(np.int32)
    found = rising(values)
    assert found == np.unique(values).tolist()
    assert all(type(value) is int for value in found)
