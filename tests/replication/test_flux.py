"""Crossings per border, smoothed."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidereal.replication.flux import HALF_LIFE_S, Flux

SECTOR = st.tuples(st.integers(-2, 2), st.integers(-2, 2))


@given(st.lists(st.lists(st.tuples(SECTOR, SECTOR), max_size=20), min_size=1, max_size=3))
def test_each_edge_has_its_crossings_of_both_directions(batches):
    flux = Flux()
    crossed = [
        (
            np.array([a for a, _ in batch], np.int32).reshape(-1, 2),
            np.array([b for _, b in batch], np.int32).reshape(-1, 2),
        )
        for batch in batches
    ]
    flux.observe(crossed, 2.0)
    # Who stays in its sector crosses nothing.
    expected = Counter(tuple(sorted((a, b))) for batch in batches for a, b in batch if a != b)
    weight = (1 - 0.5 ** (2.0 / HALF_LIFE_S)) / 2.0
    assert flux.per_s == pytest.approx({e: weight * n for e, n in expected.items()})
