"""Counts, groups, census and range queries agree with their twins, and with each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kernel import adversarial
from sidereal import kernel
from sidereal.kernel import reference

NONE = -(2**31)
coordinate = st.one_of(
    st.integers(-3, 3), st.sampled_from([NONE, NONE + 1, 2**31 - 1]), st.integers(NONE, 2**31 - 1)
)
sector_rows = hnp.arrays(np.int32, st.tuples(st.integers(0, 60), st.just(2)), elements=coordinate)


def assert_same(got: tuple[np.ndarray, ...], want: tuple[np.ndarray, ...]) -> None:
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@given(sector_rows)
def test_counts_and_groups(rows: np.ndarray) -> None:
    assert_same(kernel.counts(rows), reference.counts(rows))
    assert_same(kernel.group(rows), reference.group(rows))


@pytest.mark.parametrize("spread", [1.5, 40.0, 3000.0, 5e8])
@pytest.mark.parametrize("count", [1, 1000, 200_000])
def test_counts_and_groups_of_many(spread: float, count: int) -> None:
    rng = np.random.default_rng(21)
    rows = np.clip(rng.normal(0, spread, (count, 2)), -(2**31), 2**31 - 1).astype(np.int32)
    rows[rng.random(count) < 0.01] = NONE
    assert_same(kernel.counts(rows), reference.counts(rows))
    assert_same(kernel.group(rows), reference.group(rows))


def test_a_crowd_and_one_at_the_far_corner() -> None:
    rows = np.zeros((100_000, 2), dtype=np.int32)
    rows[777], rows[778] = 2**31 - 1, -(2**31 - 1)
    found, n = kernel.counts(rows)
    assert found.tolist() == [[-(2**31 - 1)] * 2, [0, 0], [2**31 - 1] * 2]
    assert n.tolist() == [1, 99_998, 1]
    assert_same(kernel.group(rows), reference.group(rows))


def test_the_census_follows_movers() -> None:
    rng = np.random.default_rng(22)
    size = 10.0
    pos = rng.normal(0, 60, (3000, 2))
    compiled, twin = kernel.Census(size), reference.Census(size)
    compiled.rebuild(pos)
    twin.rebuild(pos)
    where, _ = kernel.sectors(pos, size)
    for tick in range(60):
        # Drift towards one point and back out, so that buckets overflow and empty.
        pos *= 0.9 if tick % 20 < 12 else 1.15
        pos += rng.normal(0, 2, pos.shape)
        pos[rng.integers(0, len(pos))] = np.nan if tick % 5 == 0 else 7.0
        before = where.copy()
        index, new = kernel.crossings(pos, where, size, update=True)
        shuffled = rng.permutation(len(index))
        moved = index[shuffled]
        for census in (compiled, twin):
            census.move(moved, before[moved], new[shuffled])
        assert_same(compiled.counts(), twin.counts())
        assert_same(compiled.csr(), twin.csr())
        assert_same(compiled.counts(), kernel.counts(where))
        pos[~np.isfinite(pos)] = 3.0
    assert len(compiled) == 3000


@pytest.mark.parametrize(
    ("index", "old", "why"),
    [
        ([5], [[0, 0]], "not in the census"),
        ([1], [[3, 0]], "not in the sector"),
        ([0, 1, 0], [[0, 0], [1, 0], [0, 0]], "listed twice"),
    ],
)
def test_the_census_refuses_a_false_move(index: list, old: list, why: str) -> None:
    census = kernel.Census(1.0)
    census.rebuild(np.array([[0.5, 0.5], [1.5, 0.5]]))
    before = census.csr()
    with pytest.raises(ValueError, match=why):
        census.move(
            np.array(index, np.uint32), np.array(old, np.int32), np.array(old, np.int32) + 1
        )
    assert_same(census.csr(), before)


@pytest.mark.parametrize("dtype", adversarial.DTYPES)
@pytest.mark.parametrize("size", [1000.0, 0.1])
def test_queries_find_what_brute_force_finds(dtype: type, size: float) -> None:
    rng = np.random.default_rng(23)
    pos = (rng.normal(0, 8 * size, (5000, 2))).astype(dtype)
    pos[:40] = adversarial.positions(rng, size, dtype, 40)[:40]
    pos[7] = np.nan
    centres = np.concatenate([pos[:100], (rng.normal(0, 9 * size, (60, 2))).astype(dtype)])
    compiled, twin = kernel.Snapshot(pos, size), reference.Snapshot(pos, size)
    # Distances that occur, so that "<=" is decided on the last bit.
    exact = np.hypot(*(pos[200:360].astype(np.float64) - centres.astype(np.float64)).T)
    radii = np.where(np.isfinite(exact), exact, 0.0)
    for radius in (radii, radii.astype(np.float32), size, 0.0, 50 * size, 1e18):
        with np.errstate(over="ignore", invalid="ignore"):
            want = twin.query(centres, radius)
        assert_same(compiled.query(centres, radius), want)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1000.0])
@pytest.mark.parametrize("radius", [0.0, 5e-324, 1e-170, 1e-161])
def test_distances_whose_squares_vanish_are_no_distances(size: float, radius: float) -> None:
    tiny = np.array([0.0, 5e-324, 1e-323, 1e-200, 1e-163, 1e-162, 3e-162, 1e-160])
    axis = np.concatenate([-tiny, tiny])
    pos = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    compiled, twin = kernel.Snapshot(pos, size), reference.Snapshot(pos, size)
    assert_same(compiled.query(pos, radius), twin.query(pos, radius))


def test_a_radius_whose_square_is_infinite_takes_in_all_rows() -> None:
    pos, centres = np.array([[0.0, 1.0], [5e299, 1.0]]), np.array([[1e302, 0.0], [0.0, -1e307]])
    with np.errstate(over="ignore"):
        want = reference.Snapshot(pos, 1e300).query(centres, 1e300)
    assert_same(kernel.Snapshot(pos, 1e300).query(centres, 1e300), want)
    assert want[1].tolist() == [0, 2, 4]


@pytest.mark.parametrize("radius", [0.0, 1.0, 1e200])
def test_a_centre_that_is_not_finite_has_no_hits(radius: float) -> None:
    pos = np.zeros((3, 2))
    centres = np.array([[np.inf, 0.0], [0.0, -np.inf], [np.nan, 0.0], [0.0, 0.0]])
    for module in (kernel, reference):
        with np.errstate(over="ignore", invalid="ignore"):
            index, offsets = module.Snapshot(pos, 1.0).query(centres, radius)
        assert (index.tolist(), offsets.tolist()) == ([0, 1, 2], [0, 0, 0, 0, 3])


def test_an_empty_snapshot_and_no_centres() -> None:
    empty = kernel.Snapshot(np.empty((0, 2)), 1.0)
    index, offsets = empty.query(np.zeros((2, 2)), 1.0)
    assert len(empty) == 0
    assert (index.tolist(), offsets.tolist()) == ([], [0, 0, 0])
    index, offsets = empty.query(np.empty((0, 2)), 1.0)
    assert (index.tolist(), offsets.tolist()) == ([], [0])


@pytest.mark.parametrize("count", [5_000, 300_000, 3_000_000])
def test_one_row_far_away_is_merged_into_its_place(count: int) -> None:
    rng = np.random.default_rng(7)
    where = np.ascontiguousarray(rng.integers(-40, 40, (count, 2), dtype=np.int32))
    far = [[2**31 - 1, 0], [-(2**31) + 1, 0], [0, 2**31 - 1], [-(2**31), -(2**31)], [7, -(2**30)]]
    rows = rng.choice(count, len(far), replace=False)
    where[rows] = far
    order, offsets, sectors = kernel.group(where)
    np.testing.assert_array_equal(order, np.lexsort((where[:, 0], where[:, 1])))
    key = sectors[:, 1].astype(np.int64) * 2**32 + sectors[:, 0]
    assert np.all(np.diff(key) > 0)
    np.testing.assert_array_equal(np.repeat(sectors, np.diff(offsets), axis=0), where[order])
    counted, n = kernel.counts(where)
    np.testing.assert_array_equal(counted, sectors)
    np.testing.assert_array_equal(n, np.diff(offsets))


@given(sector_rows, st.data())
def test_flux(old: np.ndarray, data: st.DataObject) -> None:
    new = data.draw(hnp.arrays(np.int32, old.shape, elements=coordinate))
    stays = data.draw(hnp.arrays(np.bool_, len(old)))
    new[stays] = old[stays]
    new[::2] = np.clip(old[::2].astype(np.int64) + 1, NONE, 2**31 - 1)
    got = kernel.flux(old, new)
    assert_same(got, reference.flux(old, new))
    there = (old != NONE).all(axis=1) & (new != NONE).all(axis=1)
    assert got[2].sum() == ((old != new).any(axis=1) & there).sum()


def test_a_census_moves_rows_whose_sectors_it_is_not_told() -> None:
    rng = np.random.default_rng(9)
    pos = rng.uniform(-300, 300, (3_000, 2))
    compiled, twin = kernel.Census(10.0), reference.Census(10.0)
    compiled.rebuild(pos)
    twin.rebuild(pos)
    for _ in range(12):
        index = rng.permutation(3_000)[:200].astype(np.uint32)
        new = rng.integers(-30, 30, (200, 2), dtype=np.int32)
        compiled.move(index, None, new)
        twin.move(index, None, new)
        assert_same(compiled.csr(), twin.csr())
