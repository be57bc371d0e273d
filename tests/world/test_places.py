"""Which sectors occur among rows, and which rows are in each."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sidereal.world.places import labels, rows_by_sector, same_sector, unique_sectors

ROWS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=40)


@given(ROWS)
def test_sectors_and_their_rows_are_those_that_a_loop_finds(rows):
    where = np.array(rows, np.int32).reshape(-1, 2)
    known = sorted(set(rows), key=lambda c: (c[1], c[0]))
    assert unique_sectors(where) == known
    found = [(coords, at.tolist()) for coords, at in rows_by_sector(where)]
    assert found == [(c, [i for i, row in enumerate(rows) if row == c]) for c in known]
    if rows:
        numbers, sectors = labels(where)
        assert [sectors[number] for number in numbers] == rows


@given(st.lists(st.tuples(*[st.integers(-1, 1)] * 4), max_size=40))
def test_rows_name_the_same_sector_where_both_coordinates_are_equal(rows):
    pairs = np.array(rows, np.int32).reshape(-1, 4)
    same = same_sector(pairs[:, :2], pairs[:, 2:])
    assert same.tolist() == [(x, y) == (u, v) for x, y, u, v in rows]
