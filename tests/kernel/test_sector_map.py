"""A sector map is a dictionary of sectors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidereal import kernel
from sidereal.kernel import reference

near = st.tuples(st.integers(-4, 4), st.integers(-4, 4))
far = st.tuples(st.integers(1 - 2**31, 2**31 - 1), st.integers(1 - 2**31, 2**31 - 1))
rows = st.lists(near | far, max_size=30)


def column(sectors: list[tuple[int, int]]) -> np.ndarray:
    return np.array(sectors, dtype=np.int32).reshape(-1, 2)


@given(st.lists(st.tuples(st.booleans(), rows, st.integers(-1, 5), st.integers(0, 2**32 - 1))))
def test_as_a_dictionary(steps: list) -> None:
    compiled, twin = kernel.SectorMap(), reference.SectorMap()
    for add, sectors, shard, epoch in steps:
        if add:
            compiled.set(column(sectors), shard, epoch)
            twin.set(column(sectors), shard, epoch)
        else:
            assert compiled.remove(column(sectors)) == twin.remove(column(sectors))
        assert len(compiled) == len(twin)
        for got, want in zip(compiled.items(), twin.items(), strict=True):
            np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(compiled.sectors(), twin.sectors())
        for got, want in zip(compiled.get(column(sectors)), twin.get(column(sectors)), strict=True):
            np.testing.assert_array_equal(got, want)


def test_columns_of_owners() -> None:
    owners = kernel.SectorMap()
    where = column([(0, 0), (1, 0), (0, 1)])
    owners.set(where, np.array([5, 6, 7], np.int32), np.array([1, 2, 3], np.uint32))
    shard, epoch = owners.get(column([(1, 0), (9, 9), (-(2**31), -(2**31))]))
    assert shard.tolist() == [6, -1, -1]
    assert epoch.tolist() == [2, 0, 0]


def test_no_sector_has_no_owner() -> None:
    owners = kernel.SectorMap()
    with pytest.raises(ValueError, match=r"sectors\[1\] is no sector"):
        owners.set(column([(0, 0), (-(2**31), 0)]), 1, 1)
    assert len(owners) == 0
