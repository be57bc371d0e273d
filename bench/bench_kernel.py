"""The kernel against what a user would otherwise write. Each answer is compared, then timed."""

import gc
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import machine
import ratios
from sidereal import kernel

pytest.importorskip("numba")
pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
spatial = pytest.importorskip("scipy.spatial")

import crowds  # noqa: E402
import peers  # noqa: E402
from crowds import SIDE, SIZE  # noqa: E402

N = ratios.ROWS


@pytest.fixture(scope="module", params=crowds.KINDS)
def kind(request: Any) -> Iterator[str]:
    yield request.param
    gc.collect()


@pytest.fixture(scope="module")
def pos(kind: str) -> Any:
    return crowds.positions(kind)


@pytest.fixture(scope="module")
def where(pos: Any) -> Any:
    return kernel.sectors(pos, SIZE)[0]


@pytest.fixture(scope="module")
def memory() -> machine.Bandwidth:
    """What the machine gives for streams as long as the positions in float32."""
    return machine.bandwidth(N * 8)


def test_sectors(benchmark: Any, kind: str, pos: Any, memory: machine.Bandwidth) -> None:
    out, other = np.empty((N, 2), np.int32), np.empty((N, 2), np.int32)
    kernel.sectors(pos, SIZE, out)
    peers.sectors(pos, SIZE, other)
    np.testing.assert_array_equal(out, other)
    np.testing.assert_array_equal(out, peers.numpy_sectors(pos, SIZE))
    others = {
        "numpy": lambda: peers.numpy_sectors(pos, SIZE),
        "numba": lambda: peers.sectors(pos, SIZE, other),
    }
    limit = (pos.nbytes + out.nbytes) / memory.copy
    own = lambda: kernel.sectors(pos, SIZE, out)  # noqa: E731
    ratios.compare(benchmark, crowds.name("sectors", kind), own, others, N, limit)


def test_crossings(
    benchmark: Any, kind: str, pos: Any, where: Any, memory: machine.Bandwidth
) -> None:
    moved, movers = displaced(pos)
    room = np.empty(N, np.uint32)
    want = kernel.crossings(moved, where, SIZE)[0]
    np.testing.assert_array_equal(want, movers)
    np.testing.assert_array_equal(want, room[: peers.crossings(moved, where, SIZE, room)])
    np.testing.assert_array_equal(want, peers.numpy_crossings(moved, where, SIZE))
    others = {
        "numpy": lambda: peers.numpy_crossings(moved, where, SIZE),
        "numba": lambda: peers.crossings(moved, where, SIZE, room),
    }
    limit = (moved.nbytes + where.nbytes) / memory.read
    own = lambda: kernel.crossings(moved, where, SIZE)  # noqa: E731
    ratios.compare(benchmark, crowds.name("crossings", kind), own, others, N, limit)


def displaced(pos: Any) -> tuple[Any, Any]:
    """One row in a hundred a sector further, towards the middle."""
    moved = pos.copy()
    movers = np.sort(np.random.default_rng(2).choice(N, N // 100, replace=False))
    step = np.where(moved[movers, 0] < SIDE * SIZE / 2, SIZE, -SIZE).astype(pos.dtype)
    moved[movers, 0] += step
    crossed = peers.numpy_crossings(moved, peers.numpy_sectors(pos, SIZE), SIZE)
    return moved, crossed


def test_counts(benchmark: Any, kind: str, where: Any, memory: machine.Bandwidth) -> None:
    dense = peers.counts(where, SIDE)
    found, n = kernel.counts(where)
    np.testing.assert_array_equal(n, dense[dense > 0])
    frame = polars.DataFrame({"x": where[:, 0], "y": where[:, 1]})
    assert frame.group_by("y", "x").len().height == len(found)
    others = {
        "unique": lambda: np.unique(where, axis=0, return_counts=True),
        "unique 1-d": lambda: np.unique(where.view(np.int64).ravel(), return_counts=True),
        "numba": lambda: peers.counts(where, SIDE),
        "bincount": lambda: np.bincount(peers.flat(where, SIDE), minlength=SIDE * SIDE),
        "polars": lambda: frame.group_by("y", "x").len(),
    }
    own = lambda: kernel.counts(where)  # noqa: E731
    limit = where.nbytes / memory.read
    ratios.compare(benchmark, crowds.name("counts", kind), own, others, N, limit)


def test_group(benchmark: Any, kind: str, where: Any, memory: machine.Bandwidth) -> None:
    order = np.empty(N, np.uint32)
    np.testing.assert_array_equal(kernel.group(where, order)[0], peers.group(where, SIDE))
    flat = peers.flat(where, SIDE)
    others = {
        "argsort": lambda: np.argsort(flat, kind="stable"),
        "numba": lambda: peers.group(where, SIDE),
    }
    own = lambda: kernel.group(where, order)  # noqa: E731
    limit = (where.nbytes + order.nbytes) / memory.copy
    ratios.compare(benchmark, crowds.name("group", kind), own, others, N, limit)


def test_whole_tick(
    benchmark: Any, kind: str, pos: Any, where: Any, memory: machine.Bandwidth
) -> None:
    """Crossings, counts and groups brought up to date, by turns there and back."""
    moved, _ = displaced(pos)
    held = where.copy()
    census = kernel.Census(SIZE)
    census.rebuild(pos)
    turns = [moved, pos]

    def own() -> Any:
        turns.reverse()
        index, now = kernel.crossings(turns[1], held, SIZE, update=True)
        census.move(index, None, now)
        return census.counts()

    for _ in range(2):
        for got, want in zip(own(), kernel.counts(held), strict=True):
            np.testing.assert_array_equal(got, want)
    _, offsets, _ = census.csr()
    np.testing.assert_array_equal(offsets, kernel.group(held)[1])
    room = np.empty(N, np.uint32)

    def by_numpy() -> None:
        peers.numpy_crossings(moved, where, SIZE)
        flat = peers.flat(where, SIDE)
        np.unique(flat, return_counts=True)
        np.argsort(flat, kind="stable")

    def by_numba() -> None:
        peers.crossings(moved, where, SIZE, room)
        peers.counts(where, SIDE)
        peers.group(where, SIDE)

    others = {"numpy": by_numpy, "numba": by_numba}
    limit = (pos.nbytes + held.nbytes) / memory.read
    ratios.compare(benchmark, crowds.name("tick", kind), own, others, N, limit)


@pytest.fixture(scope="module")
def million(kind: str) -> Any:
    """Positions for queries: a million at most, as dense as the others."""
    return crowds.positions(kind, min(N, 1_000_000))


def test_query(benchmark: Any, kind: str, million: Any, memory: machine.Bandwidth) -> None:
    centres = million[: 200 if kind.startswith("clustered") else 2000]
    snapshot, tree = kernel.Snapshot(million, SIZE), spatial.cKDTree(million.astype(np.float64))
    index, offsets = snapshot.query(centres, SIZE)
    for c, hits in enumerate(tree.query_ball_point(centres[:50].astype(np.float64), SIZE)):
        assert sorted(hits) == sorted(index[offsets[c] : offsets[c + 1]])
    others = {"ckdtree": lambda: tree.query_ball_point(centres, SIZE)}
    own = lambda: snapshot.query(centres, SIZE)  # noqa: E731
    # A hit's coordinates and row are read, its row written.
    limit = len(index) * (million.itemsize * 2 + 4 + 4) / memory.copy
    ratios.compare(benchmark, crowds.name("query", kind), own, others, len(centres), limit)


def test_building_a_snapshot(
    benchmark: Any, kind: str, million: Any, memory: machine.Bandwidth
) -> None:
    wide = million.astype(np.float64)
    assert len(kernel.Snapshot(million, SIZE)) == len(million)
    own = lambda: kernel.Snapshot(million, SIZE)  # noqa: E731
    others = {"ckdtree": lambda: spatial.cKDTree(wide)}
    limit = (2 * million.nbytes + 4 * len(million)) / memory.copy
    ratios.compare(benchmark, crowds.name("build", kind), own, others, len(million), limit)


@pytest.mark.parametrize("order", ["same_order", "random_order", "with_slots"])
def test_upsert(benchmark: Any, order: str, memory: machine.Bandwidth) -> None:
    """pandas finds rows, writes both columns, says who has crossed; and only finds rows."""
    rng = np.random.default_rng(3)
    ids = rng.permutation(N).astype(np.uint64) * np.uint64(7)
    wide = crowds.positions("float64")
    speed = rng.normal(0, 1, wide.shape)
    table = kernel.EntityTable(SIZE, N)
    table.upsert(ids, wide, speed)
    held = table.sector.copy()
    frame_index = pandas.Index(ids)
    position, velocity = wide.copy(), speed.copy()
    shuffle = np.arange(N) if order == "same_order" else rng.permutation(N)
    keys = ids[shuffle]
    values = np.ascontiguousarray(wide[shuffle] + 0.25)
    slots = table.slots(keys) if order == "with_slots" else None

    def by_pandas() -> Any:
        rows = frame_index.get_indexer(keys)
        position[rows] = values
        velocity[rows] = speed
        return rows[peers.numpy_crossings(values, held[rows], SIZE)]

    want = by_pandas()
    np.testing.assert_array_equal(table.upsert(keys, values, speed, slots), want)
    np.testing.assert_array_equal(table.position, position)
    np.testing.assert_array_equal(table.velocity, velocity)
    own = lambda: table.upsert(keys, values, speed, slots)  # noqa: E731
    others = {
        "pandas": by_pandas,
        "pandas, lookup": lambda: frame_index.get_indexer(keys),
    }
    # Read are ids, both columns and what tells a row and its sector; both columns are written.
    limit = (2 * ids.nbytes + 2 * values.nbytes + held.nbytes + 2 * values.nbytes) / memory.copy
    ratios.compare(benchmark, f"upsert_{order}", own, others, N, limit)


def second_core() -> dict[str, float]:
    """How much faster two bare threads are than one, at computing and at reading at random.

    Each has work and memory of its own: 2 where a second core, and its part of memory, is free.
    """
    data, rows = bytes(1 << 24), 1 << 22
    index = np.random.default_rng(4).permutation(rows)
    values, taken = (np.zeros((2, rows), np.uint32) for _ in range(2))
    works = {
        "hashes": lambda _: hashlib.sha256(data),
        "reads": lambda k: values[k].take(index, out=taken[k], mode="clip"),
    }
    with ThreadPoolExecutor(2) as pool:
        one = {name: ratios.best_s(lambda w=work: w(0), 3) for name, work in works.items()}
        both = {
            name: ratios.best_s(lambda w=work: list(pool.map(w, range(2))), 3)
            for name, work in works.items()
        }
    return {name: 2 * one[name] / both[name] for name in works}


@pytest.mark.parametrize("work", ["group", "query"])
def test_two_threads(work: str) -> None:
    pos = crowds.positions("float32")
    where = kernel.sectors(pos, SIZE)[0]
    million = crowds.positions("float32", min(N, 1_000_000))
    snapshot, centres = kernel.Snapshot(million, SIZE), million[:20_000]
    order = np.empty(N, np.uint32)

    def own() -> Any:
        return kernel.group(where, order) if work == "group" else snapshot.query(centres, SIZE)

    one_answer = [array.copy() for array in own()]
    one_s = ratios.best_s(own, 7)
    kernel.set_threads(2)
    try:
        for got, want in zip(own(), one_answer, strict=True):
            np.testing.assert_array_equal(got, want)
        two_s = ratios.best_s(own, 7)
    finally:
        kernel.set_threads(1)
    units = N if work == "group" else len(centres)
    figure = ratios.add(f"two_threads_{work}", "one thread", two_s / units, one_s / units)
    bare = second_core()
    if min(bare.values()) < 1.7:
        shown = ", ".join(f"{name} {times:.2f} times" for name, times in bare.items())
        pytest.skip(f"NOT TESTED: no second core is free (two bare threads: {shown})")
    assert figure.floor is None or figure.ratio >= figure.floor
