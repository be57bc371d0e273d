"""The kernel against what a user would otherwise write. Each answer is compared, then timed."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ratios
from sidereal import kernel

numba = pytest.importorskip("numba")
pandas = pytest.importorskip("pandas")
spatial = pytest.importorskip("scipy.spatial")

SIZE = 1000.0
N = ratios.ROWS
SIDE = int(500 * math.sqrt(N / 1e7)) + 1  # 40 rows a sector


@numba.njit(cache=False)
def numba_sectors(pos: Any, size: float, out: Any) -> None:
    for i in range(len(pos)):
        for a in range(2):
            x = float(pos[i, a])
            q = math.floor(x / size)
            if q * size > x:
                q -= 1
            out[i, a] = q


@numba.njit(cache=False)
def numba_crossings(pos: Any, prev: Any, size: float, index: Any) -> int:
    found = 0
    for i in range(len(pos)):
        x = math.floor(float(pos[i, 0]) / size)
        y = math.floor(float(pos[i, 1]) / size)
        if x != prev[i, 0] or y != prev[i, 1]:
            index[found] = i
            found += 1
    return found


@numba.njit(cache=False)
def numba_counts(where: Any, side: int) -> Any:
    n = np.zeros(side * side, np.uint32)
    for i in range(len(where)):
        n[where[i, 1] * side + where[i, 0]] += 1
    return n


@numba.njit(cache=False)
def numba_group(where: Any, side: int) -> Any:
    offsets = np.zeros(side * side + 1, np.uint32)
    for i in range(len(where)):
        offsets[where[i, 1] * side + where[i, 0] + 1] += 1
    for s in range(side * side):
        offsets[s + 1] += offsets[s]
    following = offsets[:-1].copy()
    order = np.empty(len(where), np.uint32)
    for i in range(len(where)):
        s = where[i, 1] * side + where[i, 0]
        order[following[s]] = i
        following[s] += 1
    return order


@pytest.fixture(scope="module")
def pos() -> NDArray[np.float32]:
    rng = np.random.default_rng(1)
    inside = np.float32(np.nextafter(np.float32(SIDE * SIZE), np.float32(0)))
    return np.minimum(rng.uniform(0, SIDE * SIZE, (N, 2)).astype(np.float32), inside)


@pytest.fixture(scope="module")
def where(pos: NDArray[np.float32]) -> NDArray[np.int32]:
    return kernel.sectors(pos, SIZE)[0]


@pytest.fixture(scope="module")
def copy_bytes_per_s() -> float:
    source = np.ones(max(N * 2, 1 << 22), np.float32)
    target = np.empty_like(source)
    return 2 * source.nbytes / ratios.best_s(lambda: np.copyto(target, source), 5)


@pytest.fixture(scope="module")
def read_bytes_per_s() -> float:
    source = np.ones(max(N * 2, 1 << 22), np.float32)
    return source.nbytes / ratios.best_s(lambda: source.view(np.int32).max(), 5)


def test_sectors(benchmark: Any, pos: Any, copy_bytes_per_s: float) -> None:
    out, other = np.empty((N, 2), np.int32), np.empty((N, 2), np.int32)
    wide = pos.astype(np.float64)
    kernel.sectors(pos, SIZE, out)
    numba_sectors(pos, SIZE, other)
    np.testing.assert_array_equal(out, other)
    np.testing.assert_array_equal(out, np.floor_divide(wide, SIZE))
    peers = {
        "numpy": lambda: np.floor_divide(pos.astype(np.float64), SIZE).astype(np.int32),
        "numba": lambda: numba_sectors(pos, SIZE, other),
    }
    limit = (pos.nbytes + out.nbytes) / copy_bytes_per_s
    ratios.compare(benchmark, "sectors", lambda: kernel.sectors(pos, SIZE, out), peers, N, limit)


def test_crossings(benchmark: Any, pos: Any, where: Any, read_bytes_per_s: float) -> None:
    moved = pos.copy()
    movers = np.sort(np.random.default_rng(2).choice(N, N // 100, replace=False))
    moved[movers, 0] -= np.float32(SIZE)
    room = np.empty(N, np.uint32)
    want = kernel.crossings(moved, where, SIZE)[0]
    np.testing.assert_array_equal(want, room[: numba_crossings(moved, where, SIZE, room)])
    np.testing.assert_array_equal(want, movers)

    def by_numpy() -> Any:
        now = np.floor_divide(moved.astype(np.float64), SIZE).astype(np.int32)
        return np.flatnonzero((now != where).any(axis=1))

    np.testing.assert_array_equal(want, by_numpy())
    peers = {"numpy": by_numpy, "numba": lambda: numba_crossings(moved, where, SIZE, room)}
    limit = (moved.nbytes + where.nbytes) / read_bytes_per_s
    ratios.compare(
        benchmark, "crossings", lambda: kernel.crossings(moved, where, SIZE), peers, N, limit
    )


def test_counts(benchmark: Any, where: Any) -> None:
    dense = numba_counts(where, SIDE)
    np.testing.assert_array_equal(kernel.counts(where)[1], dense[dense > 0])
    flat = where[:, 1].astype(np.int64) * SIDE + where[:, 0]
    peers = {
        "unique": lambda: np.unique(flat, return_counts=True),
        "numba": lambda: numba_counts(where, SIDE),
    }
    ratios.compare(benchmark, "counts", lambda: kernel.counts(where), peers, N)


def test_group(benchmark: Any, where: Any) -> None:
    np.testing.assert_array_equal(kernel.group(where)[0], numba_group(where, SIDE))
    flat = where[:, 1].astype(np.int64) * SIDE + where[:, 0]
    peers = {
        "argsort": lambda: np.argsort(flat, kind="stable"),
        "numba": lambda: numba_group(where, SIDE),
    }
    ratios.compare(benchmark, "group", lambda: kernel.group(where), peers, N)


def test_query(benchmark: Any, pos: Any) -> None:
    centres = pos[:2000]
    snapshot, tree = kernel.Snapshot(pos, SIZE), spatial.cKDTree(pos.astype(np.float64))
    index, offsets = snapshot.query(centres, SIZE)
    for c, hits in enumerate(tree.query_ball_point(centres[:50].astype(np.float64), SIZE)):
        assert sorted(hits) == sorted(index[offsets[c] : offsets[c + 1]])
    peers = {"ckdtree": lambda: tree.query_ball_point(centres, SIZE)}
    ratios.compare(benchmark, "query", lambda: snapshot.query(centres, SIZE), peers, len(centres))


@pytest.mark.parametrize("order", ["same_order", "random_order", "with_slots"])
def test_upsert(benchmark: Any, pos: Any, order: str) -> None:
    rng = np.random.default_rng(3)
    ids = rng.permutation(N).astype(np.uint64) * np.uint64(7)
    table = kernel.EntityTable(SIZE, N)
    wide = pos.astype(np.float64)
    still = np.zeros_like(wide)
    table.upsert(ids, wide, still)
    frame_index = pandas.Index(ids)
    columns = wide.copy()
    shuffle = np.arange(N) if order == "same_order" else rng.permutation(N)
    keys, values = ids[shuffle], np.ascontiguousarray(wide[shuffle] + 0.25)
    slots = table.slots(keys) if order == "with_slots" else None

    def by_pandas() -> None:
        columns[frame_index.get_indexer(keys)] = values

    by_pandas()
    table.upsert(keys, values, still, slots)
    np.testing.assert_array_equal(table.position, columns)
    ratios.compare(
        benchmark,
        f"upsert_{order}",
        lambda: table.upsert(keys, values, still, slots),
        {"pandas": by_pandas},
        N,
    )
