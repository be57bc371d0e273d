"""Room for an answer: the first rows of what the caller has, refused before anything is written."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kernel.surface import callables
from sidereal import kernel

N = 500
SIZE = 10.0
RNG = np.random.default_rng(12)
POS = RNG.uniform(-100, 100, (N, 2))
SPEED = RNG.normal(0, 30, (N, 2))
WHERE = kernel.sectors(POS, SIZE)[0]
BEFORE = np.roll(WHERE, 1, axis=0)
SNAPSHOT = kernel.Snapshot(POS, SIZE)
CENSUS = kernel.Census(SIZE)
CENSUS.rebuild(POS)

IDS, SLOTS = np.arange(N, dtype=np.uint64), np.arange(N, dtype=np.uint32)
OWNERS = kernel.SectorMap()
OWNERS.set(WHERE, np.arange(N, dtype=np.int32) % 3, 1)
SHARD = OWNERS.get(WHERE)[0]
TABLE = kernel.EntityTable(SIZE)
TABLE.upsert(IDS, POS, SPEED)
TABLE.bind(SLOTS[: N - 9], SLOTS[: N - 9])  # the rest cannot be packed
TABLE.set_states(SLOTS, SLOTS % np.uint32(9), np.zeros(int((SLOTS % 9).sum()), np.uint8))
# Movers, of which many are too far from their sectors to be packed.
TABLE.sector[:9] = BEFORE[0]
TABLE.sector[9:] = BEFORE[9:]


def collected(**out: Any) -> Any:
    TABLE.dirty[:] = 1
    return kernel.collect_updates(TABLE, SIZE, 0, OWNERS, 1, 6, 200, **out)


CALLS: dict[str, Callable[..., Any]] = {
    "crossings": lambda **out: kernel.crossings(POS, BEFORE, SIZE, **out),
    "near_border": lambda **out: kernel.near_border(POS, WHERE, SIZE, 3.0, **out),
    "reach": lambda **out: kernel.reach(POS, SPEED, 1.0, SIZE, 1.0, **out),
    "counts": lambda **out: kernel.counts(WHERE, **out),
    "flux": lambda **out: kernel.flux(BEFORE, WHERE, **out),
    "Census.counts": lambda **out: CENSUS.counts(**out),
    "Census.csr": lambda **out: CENSUS.csr(**out),
    "Snapshot.query": lambda **out: SNAPSHOT.query(POS, 15.0, **out),
    "SectorMap.get": lambda **out: OWNERS.get(WHERE, **out),
    "SectorMap.sectors": lambda **out: OWNERS.sectors(**out),
    "SectorMap.items": lambda **out: OWNERS.items(**out),
    "EntityTable.find": lambda **out: TABLE.find(tuple(BEFORE[0].tolist()), **out),
    "EntityTable.states": lambda **out: TABLE.states(SLOTS, **out),
    "EntityTable.batch": lambda **out: TABLE.batch(SLOTS, **out),
    "EntityTable.upsert": lambda **out: TABLE.upsert(IDS, POS, SPEED, **out),
    "EntityTable.advance": lambda **out: TABLE.advance(SLOTS, POS * np.nan, SPEED, **out),
    "pack_updates": lambda **out: kernel.pack_updates(TABLE, SLOTS, SIZE, 0, OWNERS, 6, 200, **out),
    "pack_states": lambda **out: kernel.pack_states(TABLE, SLOTS, 6, 200, **out),
    "collect_updates": collected,
    "ghosts": lambda **out: kernel.ghosts(POS, WHERE, SHARD, SIZE, 3.0, OWNERS, **out),
    "pack_ghosts": lambda **out: kernel.pack_ghosts(IDS, POS, SPEED, SLOTS, 6, 1, 200, **out),
}
# An answer with a row for each given goes to an array of just that length.
SAME_LENGTH: dict[str, tuple[Callable[..., Any], Any]] = {
    "sectors": (lambda out: kernel.sectors(POS, SIZE, out)[0], np.empty((N, 2), np.int32)),
    "group": (lambda out: kernel.group(WHERE, out)[0], np.empty(N, np.uint32)),
    "EntityTable.slots": (lambda out: TABLE.slots(IDS, out), np.empty(N, np.uint32)),
    "EntityTable.resolve": (lambda out: TABLE.resolve(SLOTS, out), np.empty(N, np.uint32)),
}
# They answer numbers or nothing; columns of a table are views; `cut` gives bytes, and what
# `unpack_ghosts` reads fits a datagram.
NO_ARRAYS = {
    *("isa", "set_threads", "threads", "hash_ids", "cut", "UpdateTally", "unpack_ghosts"),
    *("Census", "Census.rebuild", "Census.move", "Census.__len__", "Snapshot", "Snapshot.__len__"),
    *("SectorMap", "SectorMap.set", "SectorMap.remove", "SectorMap.__len__", "EntityTable"),
    *(f"EntityTable.{name}" for name in ("remove", "bind", "set_states", "stamp", "arrange")),
    *("EntityTable.reserve", "EntityTable.clear", "EntityTable.__len__"),
    *("mark_updates", "apply_updates", "apply_states"),
}
# These want room for the most that there can be, before they change anything.
CHANGING = {"EntityTable.upsert", "EntityTable.advance", "collect_updates"}


def test_no_function_is_forgotten() -> None:
    assert set(CALLS) | set(SAME_LENGTH) == callables() - NO_ARRAYS


@pytest.mark.parametrize("name", SAME_LENGTH)
def test_a_row_for_each_given_goes_to_an_array_as_long(name: str) -> None:
    call, out = SAME_LENGTH[name]
    want = call(None)
    assert call(out) is out
    np.testing.assert_array_equal(out, want)
    before = out.copy()
    read_only = out.copy()
    read_only.setflags(write=False)
    for bad in (out[:-1], np.concatenate([out, out[:1]]), read_only):
        with pytest.raises(ValueError, match=r"out (has|is read-only)"):
            call(bad)
    with pytest.raises(TypeError, match="out is an array of float32"):
        call(out.astype(np.float32))
    np.testing.assert_array_equal(out, before)


def room_for(want: Any, more: int) -> Any:
    arrays = want if isinstance(want, tuple) else (want,)
    rooms = tuple(np.full((len(a) + more, *a.shape[1:]), 99, a.dtype) for a in arrays)
    return rooms if isinstance(want, tuple) else rooms[0]


def as_tuple(arrays: Any) -> tuple[Any, ...]:
    return arrays if isinstance(arrays, tuple) else (arrays,)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("more", [0, 7])
def test_the_answer_is_the_first_rows_of_the_room(name: str, more: int) -> None:
    call = CALLS[name]
    want = call()
    assert all(len(a) > 0 for a in as_tuple(want))
    room = room_for(want, more + 44 * N if name in CHANGING else more)
    got = call(out=room)
    for a, b, memory in zip(as_tuple(got), as_tuple(want), as_tuple(room), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.base is memory
        assert np.all(memory[len(b) :] == 99)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_room_that_does_not_do_is_refused_and_left_as_it_was(call: Callable[..., Any]) -> None:
    room = as_tuple(room_for(call(), 0))
    dirty = TABLE.dirty.copy()
    read_only = [a.copy() for a in room]
    for a in read_only:
        a.setflags(write=False)
    bad: list[tuple[Any, type[Exception], str]] = [
        ([a[:-1] for a in room], ValueError, "the answer has"),
        (read_only, ValueError, "read-only"),
        ([a.astype(np.float32) for a in room], TypeError, "array of float32: expected"),
        ([a[::2] for a in room], ValueError, "not C-contiguous"),
        ([3 for _ in room], TypeError, "expected"),
    ]
    for arrays, error, message in bad:
        with pytest.raises(error, match=message):
            call(out=tuple(arrays) if len(arrays) > 1 else arrays[0])
    assert all(np.all(a == 99) for a in room)
    if call is collected:
        assert TABLE.dirty.all()
    else:
        np.testing.assert_array_equal(TABLE.dirty, dirty)


@pytest.mark.parametrize("name", ["crossings", "counts", "flux", "Snapshot.query", "Census.csr"])
def test_room_is_a_tuple_of_as_many_arrays_as_the_answer_has(name: str) -> None:
    for wrong in (np.zeros(9, np.uint32), (np.zeros(9, np.uint32),), []):
        with pytest.raises(TypeError, match="tuple of"):
            CALLS[name](out=wrong)


def test_room_that_overlaps_is_refused() -> None:
    memory = np.zeros(N * 4, np.int32)
    where = memory[: N * 2].reshape(-1, 2)
    calls: list[Callable[[], object]] = [
        lambda: kernel.counts(where, (where, np.zeros(N, np.uint32))),
        lambda: kernel.counts(where, (np.zeros((N, 2), np.int32), memory[:N].view(np.uint32))),
        lambda: kernel.counts(
            WHERE, (memory[: N * 2].reshape(-1, 2), memory[N : N * 2].view(np.uint32))
        ),
        lambda: kernel.near_border(POS, where, SIZE, 1.0, memory[:N].view(np.uint32)),
        lambda: kernel.flux(WHERE, where, (where, where.copy(), np.zeros(N, np.uint32))),
        lambda: kernel.crossings(POS, where, SIZE, out=(np.zeros(N, np.uint32), where)),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="overlaps"):
            call()
    assert not memory.any()


def test_a_tables_own_columns_are_no_room_for_its_answers() -> None:
    version, tick = TABLE.version, TABLE.tick
    calls: list[Callable[[], object]] = [
        lambda: TABLE.slots(IDS, version),
        lambda: TABLE.resolve(SLOTS, version),
        lambda: TABLE.find((0, 0), out=version),
        lambda: TABLE.upsert(IDS, POS, SPEED, out=version),
        lambda: TABLE.upsert(IDS, POS, SPEED, slots=SLOTS, out=SLOTS),
        lambda: TABLE.advance(SLOTS, POS, SPEED, out=version),
        lambda: TABLE.advance(SLOTS, POS, SPEED, out=SLOTS),
        lambda: TABLE.states(SLOTS, (version, np.zeros(9 * N, np.uint8))),
        lambda: TABLE.batch(SLOTS, (IDS, TABLE.position, SPEED, version, tick, TABLE.phase)),
        lambda: kernel.pack_states(
            TABLE, SLOTS, 6, 200, (np.zeros(99 * N, np.uint8), version, tick, SLOTS, SLOTS)
        ),
        lambda: kernel.ghosts(POS, WHERE, SHARD, SIZE, 3.0, OWNERS, (SHARD, SLOTS)),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="overlaps"):
            call()
    assert not version.any()
    np.testing.assert_array_equal(SLOTS, np.arange(N))


def test_collecting_wants_room_for_all_rows_before_it_takes_marks_away() -> None:
    TABLE.dirty[:] = 1
    enough = [np.zeros(44 * N, np.uint8), np.zeros(N + 1, np.uint32), np.zeros(N, np.uint32)]
    for i in range(3):
        room = [a[:-1] if i == k else a for k, a in enumerate(enough)]
        with pytest.raises(ValueError, match="out has"):
            kernel.collect_updates(TABLE, SIZE, 0, OWNERS, 1, 6, 200, tuple(room))
        assert TABLE.dirty.all()
    kernel.collect_updates(TABLE, SIZE, 0, OWNERS, 1, 6, 200, tuple(enough))
    assert not TABLE.dirty.any()


def test_advancing_and_upserting_want_room_for_all_rows_before_they_write() -> None:
    before = TABLE.position.copy()
    for call in (
        lambda out: TABLE.advance(SLOTS, POS + 1.0, SPEED, out=out),
        lambda out: TABLE.upsert(IDS, POS + 1.0, SPEED, out=out),
    ):
        with pytest.raises(ValueError, match="the answer has 500"):
            call(np.zeros(N - 1, np.uint32))
        np.testing.assert_array_equal(TABLE.position, before)


def test_crossings_that_update_want_room_for_all_rows_before_they_write() -> None:
    prev = BEFORE.copy()
    room = np.zeros(N - 1, np.uint32), np.zeros((N - 1, 2), np.int32)
    with pytest.raises(ValueError, match="the answer has 500"):
        kernel.crossings(POS, prev, SIZE, update=True, out=room)
    np.testing.assert_array_equal(prev, BEFORE)
