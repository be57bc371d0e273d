"""Every position lies in exactly the sector that exact arithmetic says."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel import adversarial
from sidereal import kernel
from sidereal.kernel import reference
from sidereal.kernel.reference.space import coordinates

NONE = np.int32(-(2**31))
every_size = pytest.mark.parametrize("size", adversarial.SIZES)
every_dtype = pytest.mark.parametrize("dtype", adversarial.DTYPES)


def truth(value: float, size: float) -> int | None:
    if not np.isfinite(value):
        return None
    k = Fraction(value) // Fraction(size)
    return k if abs(k) <= 2**31 - 1 else None


@every_size
@every_dtype
def test_the_twin_agrees_with_fractions(size: float, dtype: type) -> None:
    rng = np.random.default_rng(11)
    values = np.concatenate(
        [adversarial.borders(rng, size, dtype, 800), adversarial.specials(dtype)]
    )
    got = coordinates(values, size)
    want = [truth(float(v), size) for v in values]
    assert got.tolist() == [NONE if k is None else k for k in want]


@every_size
@every_dtype
def test_sectors_are_exact(size: float, dtype: type) -> None:
    # 14 cases of 40,000 rows and more: over a million values in all.
    pos = adversarial.positions(np.random.default_rng(12), size, dtype, 40_000)
    got, invalid = kernel.sectors(pos, size)
    want, want_invalid = reference.sectors(pos, size)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(invalid, want_invalid)
    out = np.empty_like(got)
    assert kernel.sectors(pos, size, out=out)[0] is out
    np.testing.assert_array_equal(out, want)


@given(
    size=st.floats(min_value=1e-300, max_value=1e300),
    value=st.floats(width=64),
    other=st.floats(width=32),
)
def test_any_value_and_any_size(size: float, value: float, other: float) -> None:
    pos = np.array([[value, other]])
    x, y = truth(value, size), truth(other, size)
    want = [NONE, NONE] if x is None or y is None else [x, y]
    assert kernel.sectors(pos, size)[0].tolist() == [want]


def previous(rng: np.random.Generator, pos: np.ndarray, size: float) -> np.ndarray:
    """Sectors where rows might have been: here, beside, or nowhere."""
    now = reference.sectors(pos, size)[0]
    step = rng.integers(-1, 2, now.shape) * (rng.random(now.shape) < 0.3)
    prev = np.clip(now.astype(np.int64) + step, -(2**31 - 1), 2**31 - 1).astype(np.int32)
    prev[rng.random(len(prev)) < 0.02] = NONE
    return prev


@every_size
@every_dtype
@pytest.mark.parametrize("margin_share", [0.0, 0.02, 0.5])
def test_crossings(size: float, dtype: type, margin_share: float) -> None:
    rng = np.random.default_rng(13)
    pos = adversarial.positions(rng, size, dtype, 4_000)
    prev = previous(rng, pos, size)
    margin = margin_share * size
    index, new = kernel.crossings(pos, prev, size, margin)
    want_index, want_new = reference.crossings(pos, prev, size, margin)
    np.testing.assert_array_equal(index, want_index)
    np.testing.assert_array_equal(new, want_new)

    written = prev.copy()
    kernel.crossings(pos, written, size, margin, update=True)
    prev[want_index] = want_new
    np.testing.assert_array_equal(written, prev)


def test_a_margin_counts_only_between_shards() -> None:
    rng = np.random.default_rng(14)
    size, margin = 10.0, 1.0
    pos = rng.uniform(-40, 40, (4000, 2))
    prev = kernel.sectors(pos + rng.normal(0, 1.0, pos.shape), size)[0]
    grid = np.stack(np.meshgrid(np.arange(-6, 6), np.arange(-6, 6)), -1).reshape(-1, 2)
    grid = np.ascontiguousarray(grid, dtype=np.int32)
    shards = rng.integers(-1, 3, len(grid)).astype(np.int32)
    compiled, twin = kernel.SectorMap(), reference.SectorMap()
    for owners in (compiled, twin):
        owners.set(grid[shards >= 0], shards[shards >= 0], 1)
    index, new = kernel.crossings(pos, prev, size, margin, shard_of=compiled)
    want_index, want_new = reference.crossings(pos, prev, size, margin, shard_of=twin)
    np.testing.assert_array_equal(index, want_index)
    np.testing.assert_array_equal(new, want_new)
    without, _ = kernel.crossings(pos, prev, size, margin)
    everything, _ = kernel.crossings(pos, prev, size)
    assert len(without) < len(index) < len(everything)


def test_an_invalid_position_crosses_to_nowhere_once() -> None:
    pos = np.array([[np.nan, 1.0], [1.0, 1.0]])
    prev = np.zeros((2, 2), dtype=np.int32)
    index, new = kernel.crossings(pos, prev, 10.0, margin=5.0, update=True)
    assert index.tolist() == [0]
    assert new.tolist() == [[NONE, NONE]]
    assert kernel.crossings(pos, prev, 10.0)[0].tolist() == []
    pos[0] = 11.0
    assert kernel.crossings(pos, prev, 10.0, margin=5.0)[1].tolist() == [[1, 1]]


@every_size
@every_dtype
def test_near_border(size: float, dtype: type) -> None:
    rng = np.random.default_rng(15)
    pos = adversarial.positions(rng, size, dtype, 4_000)
    held = previous(rng, pos, size)
    for margin in (0.0, 0.1 * size, 0.5 * size):
        got = kernel.near_border(pos, held, size, margin)
        np.testing.assert_array_equal(got, reference.near_border(pos, held, size, margin))


@every_size
@every_dtype
def test_reach(size: float, dtype: type) -> None:
    rng = np.random.default_rng(16)
    pos = adversarial.positions(rng, size, dtype, 200)
    velocity = (rng.normal(0, size, pos.shape)).astype(dtype)
    velocity[::17] = np.finfo(dtype).max
    velocity[::19] = np.nan
    radius = np.abs(rng.normal(0, size / 2, len(pos)))
    radius[::23], radius[::29], radius[::31] = np.inf, -1.0, np.nan
    for r in (radius, radius.astype(np.float32), 0.0, size):
        got = kernel.reach(pos, velocity, r, size, 2.0)
        np.testing.assert_array_equal(got, reference.reach(pos, velocity, r, size, 2.0))


def test_reach_of_one_mover() -> None:
    one = kernel.reach(np.array([[995.0, 5.0]]), np.array([[10.0, 0.0]]), 0.0, 1000.0, 2.0)
    assert one.tolist() == [[0, 0], [1, 0]]
    absurd = kernel.reach(np.array([[0.5, 0.5]]), np.array([[1e300, 0.0]]), 0.0, 1.0, 1.0)
    assert absurd.tolist() == [[x, 0] for x in range(5)]


@pytest.mark.parametrize("size", [1e300, 1e307, 1e308, 1.7e308])
def test_reach_in_sectors_as_large_as_numbers_get_stays_small(size: float) -> None:
    pos = np.array([[0.0, size / 2], [-1.7e308, 1.7e308]])
    speed = np.array([[1e308, -1e308], [0.0, -1e308]])
    got = kernel.reach(pos, speed, size * 0.9, size, 3.0)
    assert 1 < len(got) <= 2 * 37**2
    np.testing.assert_array_equal(got, reference.reach(pos, speed, size * 0.9, size, 3.0))


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50), st.randoms())
def test_hash_of_ids_is_that_of_the_set(ids: list[int], random) -> None:
    column = np.array(ids, dtype=np.uint64)
    assert kernel.hash_ids(column) == reference.hash_ids(column)
    random.shuffle(ids)
    assert kernel.hash_ids(np.array(ids, dtype=np.uint64)) == kernel.hash_ids(column)


def test_hash_of_ids_is_the_published_function() -> None:
    # SplitMix64 seeded with 1234567 gives this first; the same constant as in its paper.
    assert kernel.hash_ids(np.array([1234567], dtype=np.uint64)) == 6457827717110365317
