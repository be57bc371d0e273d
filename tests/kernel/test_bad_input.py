"""Bad input is refused by name, with what was expected, before anything is written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sidereal import kernel

GOOD = np.zeros((4, 2))
HELD = np.zeros((4, 2), dtype=np.int32)
IDS = np.arange(4, dtype=np.uint64)
SLOTS = np.arange(4, dtype=np.uint32)
OWNERS = kernel.SectorMap()

POSITIONS: list[tuple[object, type[Exception], str]] = [
    ([[0.0, 0.0]], TypeError, "is list: expected"),
    (None, TypeError, "is NoneType: expected"),
    (np.zeros((4, 2), np.int64), TypeError, "array of int64: expected"),
    (np.zeros((4, 2), ">f8"), TypeError, "array of >f8: expected"),
    (np.zeros((4, 2), np.float16), TypeError, "array of float16: expected"),
    (np.zeros(8), ValueError, r"shape \(8,\): expected a C-contiguous float64"),
    (np.zeros((4, 3)), ValueError, r"shape \(4, 3\): expected"),
    (np.zeros((4, 2, 1)), ValueError, r"shape \(4, 2, 1\): expected"),
    (np.zeros((8, 2))[::2], ValueError, "not C-contiguous: expected"),
    (np.zeros((2, 4)).T, ValueError, "not C-contiguous: expected"),
    (np.zeros(65, np.uint8)[1:].view("V64").view(np.uint8).tobytes(), TypeError, "is bytes"),
    (np.frombuffer(b"\0" * 65, np.uint8, 64, 1).view(float).reshape(4, 2), ValueError, "aligned"),
]


@pytest.mark.parametrize(("pos", "error", "message"), POSITIONS)
def test_positions(pos: object, error: type[Exception], message: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: kernel.sectors(pos, 1.0),
        lambda: kernel.crossings(pos, HELD, 1.0),
        lambda: kernel.near_border(pos, HELD, 1.0, 0.1),
        lambda: kernel.reach(pos, GOOD, 1.0, 1.0, 1.0),
        lambda: kernel.Census(1.0).rebuild(pos),
        lambda: kernel.Snapshot(pos, 1.0),
        lambda: kernel.Snapshot(GOOD, 1.0).query(pos, 1.0),
        lambda: kernel.EntityTable(1.0).upsert(IDS, pos, GOOD),
        lambda: kernel.EntityTable(1.0).upsert(IDS, GOOD, pos),
        lambda: kernel.ghosts(pos, HELD, HELD[:, 0].copy(), 1.0, 1.0, OWNERS),
        lambda: kernel.pack_ghosts(IDS, pos, GOOD, SLOTS, 1, 1, 1200),
    ]
    for call in calls:
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize("size", [0.0, -1.0, np.nan, np.inf, -np.inf])
def test_sizes(size: float) -> None:
    calls: list[Callable[[], object]] = [
        lambda: kernel.sectors(GOOD, size),
        lambda: kernel.crossings(GOOD, HELD, size),
        lambda: kernel.near_border(GOOD, HELD, size, 0.0),
        lambda: kernel.reach(GOOD, GOOD, 1.0, size, 1.0),
        lambda: kernel.Census(size),
        lambda: kernel.Snapshot(GOOD, size),
        lambda: kernel.EntityTable(size),
        lambda: kernel.ghosts(GOOD, HELD, HELD[:, 0].copy(), size, 0.0, OWNERS),
        lambda: kernel.pack_updates(kernel.EntityTable(1.0), SLOTS[:0], size, 1, OWNERS, 1, 1200),
        lambda: kernel.apply_updates(kernel.EntityTable(1.0), [], 1, OWNERS, size),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"size is .*expected a finite, positive"):
            call()


@pytest.mark.parametrize("margin", [-0.1, 0.6, np.nan, np.inf])
def test_margins(margin: float) -> None:
    for call in (kernel.crossings, kernel.near_border):
        with pytest.raises(ValueError, match=r"margin is .*expected between 0 and half"):
            call(GOOD, HELD, 1.0, margin)


def test_rows_must_match() -> None:
    with pytest.raises(ValueError, match="prev has 3 rows: expected 4, as many as pos"):
        kernel.crossings(GOOD, HELD[:3], 1.0)
    with pytest.raises(ValueError, match="velocity has 3 rows"):
        kernel.EntityTable(1.0).upsert(IDS, GOOD, GOOD[:3])
    with pytest.raises(ValueError, match="slots has 3 rows"):
        kernel.EntityTable(1.0).upsert(IDS, GOOD, GOOD, SLOTS[:3].copy())
    with pytest.raises(ValueError, match="radius has 3 rows"):
        kernel.reach(GOOD, GOOD, np.ones(3), 1.0, 1.0)


def test_out_must_be_writable_and_apart() -> None:
    fixed = np.zeros((4, 2), np.int32)
    fixed.flags.writeable = False
    with pytest.raises(ValueError, match="out is read-only"):
        kernel.sectors(GOOD, 1.0, out=fixed)
    with pytest.raises(ValueError, match="prev is read-only"):
        kernel.crossings(GOOD, fixed, 1.0, update=True)
    assert kernel.crossings(GOOD, fixed, 1.0)[0].tolist() == []
    shared = np.ones((4, 2), np.float32)
    with pytest.raises(ValueError, match="out overlaps pos"):
        kernel.sectors(shared, 1.0, out=shared.view(np.int32))
    with pytest.raises(ValueError, match="prev overlaps pos"):
        kernel.crossings(shared, shared.view(np.int32), 1.0, update=True)
    with pytest.raises(TypeError, match="out is an array of int64"):
        kernel.sectors(GOOD, 1.0, out=np.zeros((4, 2), np.int64))
    assert (shared == 1).all()


def test_slots_must_be_rows() -> None:
    table = kernel.EntityTable(1.0)
    table.upsert(IDS, GOOD, GOOD)
    beyond = np.array([0, 4], np.uint32)
    one = np.ones(2, np.uint32)
    calls: list[Callable[[], object]] = [
        lambda: table.bind(beyond, one),
        lambda: table.states(beyond),
        lambda: table.set_states(beyond, one, np.zeros(2, np.uint8)),
        lambda: kernel.pack_updates(table, beyond, 1.0, 1, OWNERS, 1, 1200),
        lambda: kernel.pack_states(table, beyond, 1, 1200),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"slots\[1\] is 4: the table has 4 rows"):
            call()
    assert (table.handle == kernel.NO_HANDLE).all()
    assert table.state_bytes == 0


def test_states_must_add_up() -> None:
    table = kernel.EntityTable(1.0)
    table.upsert(IDS, GOOD, GOOD)
    with pytest.raises(ValueError, match="data has 3 bytes: expected the sum of lengths, 4"):
        table.set_states(SLOTS, np.ones(4, np.uint32), np.zeros(3, np.uint8))
    with pytest.raises(ValueError, match="60001: a state has at most 60000 bytes"):
        table.set_states(SLOTS[:1], np.array([60001], np.uint32), np.zeros(60001, np.uint8))
    assert table.state_bytes == 0


def test_numbers_within_their_bounds() -> None:
    table = kernel.EntityTable(1.0)
    with pytest.raises(ValueError, match=r"payload_bytes is 43: expected between 44 and 65535"):
        kernel.pack_updates(table, SLOTS[:0], 1.0, 1, OWNERS, 1, 43)
    with pytest.raises(ValueError, match=r"payload_bytes is 65536"):
        kernel.pack_states(table, SLOTS[:0], 1, 65536)
    with pytest.raises(ValueError, match=r"radius is .*expected between 0 and the sector size"):
        kernel.ghosts(GOOD, HELD, HELD[:, 0].copy(), 1.0, 1.1, OWNERS)
    with pytest.raises(ValueError, match="horizon_s is"):
        kernel.reach(GOOD, GOOD, 1.0, 1.0, -1.0)
    with pytest.raises(ValueError, match="radius holds"):
        kernel.Snapshot(GOOD, 1.0).query(GOOD, -1.0)
    with pytest.raises(TypeError, match=r"radius is str: expected a number"):
        kernel.Snapshot(GOOD, 1.0).query(GOOD, "wide")
    with pytest.raises(ValueError, match="threads is 0"):
        kernel.set_threads(0)
    with pytest.raises(ValueError, match="shard is 2147483648"):
        OWNERS.set(HELD, 2**31, 1)
    with pytest.raises(TypeError, match="epoch is float: expected an integer"):
        OWNERS.set(HELD, 1, 0.5)


def test_payloads_are_bytes() -> None:
    table = kernel.EntityTable(1.0)
    with pytest.raises(TypeError, match="payloads: expected a list or tuple"):
        kernel.apply_updates(table, b"one", 1, OWNERS, 1.0)
    with pytest.raises(TypeError, match="payloads holds int: expected contiguous bytes-like"):
        kernel.apply_states(table, [b"", 5], 1)
    with pytest.raises(TypeError, match="payload holds str"):
        kernel.unpack_ghosts("text")


def vast(path: Path, dtype: type, columns: int) -> np.ndarray:
    """2^32 rows of zeros, which no disk and no memory holds."""
    with path.open("wb") as file:
        file.truncate(2**32 * columns * np.dtype(dtype).itemsize)
    shape = (2**32, columns) if columns > 1 else (2**32,)
    return np.memmap(path, dtype, "r+", shape=shape)


def test_2_to_the_32_rows_are_refused(tmp_path: Path) -> None:
    pos = vast(tmp_path / "pos", np.float32, 2)
    where = vast(tmp_path / "where", np.int32, 2)
    ids = vast(tmp_path / "ids", np.uint64, 1)
    table = kernel.EntityTable(1.0)
    calls: list[Callable[[], object]] = [
        lambda: kernel.sectors(pos, 1.0),
        lambda: kernel.crossings(pos, where, 1.0),
        lambda: kernel.near_border(pos, where, 1.0, 0.1),
        lambda: kernel.reach(pos, pos, 1.0, 1.0, 1.0),
        lambda: kernel.counts(where),
        lambda: kernel.group(where),
        lambda: kernel.flux(where, where),
        lambda: kernel.Census(1.0).rebuild(pos),
        lambda: kernel.Snapshot(pos, 1.0),
        lambda: kernel.Snapshot(GOOD, 1.0).query(pos, 1.0),
        lambda: table.upsert(ids, pos, pos),
        lambda: table.remove(ids),
        lambda: table.slots(ids),
        lambda: OWNERS.set(where, 1, 1),
        lambda: OWNERS.get(where),
        lambda: kernel.hash_ids(ids),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"4294967296 rows: expected fewer than 2\^32 - 1"):
            call()
    with pytest.raises(ValueError, match=r"expected between|fewer than 2\^32 - 1 rows"):
        table.reserve(2**32)
    assert (len(table), len(OWNERS)) == (0, 0)


def test_an_id_twice_in_a_batch_writes_nothing() -> None:
    table = kernel.EntityTable(1.0)
    table.upsert(IDS, GOOD, GOOD)
    slots = SLOTS.copy()
    for ids in ([0, 1, 1, 3], [9, 2, 9, 3], [3, 9, 0, 3]):
        with pytest.raises(ValueError, match="comes twice in one batch"):
            table.upsert(np.array(ids, np.uint64), GOOD + 5, GOOD + 5, slots)
    assert len(table) == 4
    np.testing.assert_array_equal(slots, SLOTS)
    assert not table.position.any()
    assert not table.velocity.any()


def test_group_writes_only_to_an_order_of_its_own() -> None:
    where = np.arange(40, dtype=np.int32).reshape(20, 2) % 3
    order = np.zeros(20, dtype=np.uint32)
    got = kernel.group(where, out=order)
    assert got[0] is order
    for a, b in zip(got, kernel.group(where), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(TypeError, match="out"):
        kernel.group(where, out=np.zeros(20, dtype=np.int32))
    with pytest.raises(ValueError, match="out has 19 rows"):
        kernel.group(where, out=np.zeros(19, dtype=np.uint32))
    with pytest.raises(ValueError, match="overlaps"):
        kernel.group(where, out=where.reshape(-1).view(np.uint32)[:20])
    order.setflags(write=False)
    with pytest.raises(ValueError, match="read-only"):
        kernel.group(where, out=order)
