"""Room for an answer: the first rows of what the caller has, refused before anything is written."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

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

CALLS: dict[str, Callable[..., Any]] = {
    "crossings": lambda **out: kernel.crossings(POS, BEFORE, SIZE, **out),
    "near_border": lambda **out: kernel.near_border(POS, WHERE, SIZE, 3.0, **out),
    "reach": lambda **out: kernel.reach(POS, SPEED, 1.0, SIZE, 1.0, **out),
    "counts": lambda **out: kernel.counts(WHERE, **out),
    "flux": lambda **out: kernel.flux(BEFORE, WHERE, **out),
    "census.counts": lambda **out: CENSUS.counts(**out),
    "census.csr": lambda **out: CENSUS.csr(**out),
    "query": lambda **out: SNAPSHOT.query(POS, 15.0, **out),
}


def room_for(want: Any, more: int) -> Any:
    arrays = want if isinstance(want, tuple) else (want,)
    rooms = tuple(np.full((len(a) + more, *a.shape[1:]), 99, a.dtype) for a in arrays)
    return rooms if isinstance(want, tuple) else rooms[0]


def as_tuple(arrays: Any) -> tuple[Any, ...]:
    return arrays if isinstance(arrays, tuple) else (arrays,)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("more", [0, 7])
def test_the_answer_is_the_first_rows_of_the_room(call: Callable[..., Any], more: int) -> None:
    want = call()
    room = room_for(want, more)
    got = call(out=room)
    for a, b, memory in zip(as_tuple(got), as_tuple(want), as_tuple(room), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.base is memory
        assert np.all(memory[len(b) :] == 99)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_room_that_does_not_do_is_refused_and_left_as_it_was(call: Callable[..., Any]) -> None:
    room = as_tuple(room_for(call(), 0))
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


@pytest.mark.parametrize("name", ["crossings", "counts", "flux", "query", "census.csr"])
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


def test_crossings_that_update_want_room_for_all_rows_before_they_write() -> None:
    prev = BEFORE.copy()
    room = np.zeros(N - 1, np.uint32), np.zeros((N - 1, 2), np.int32)
    with pytest.raises(ValueError, match="the answer has 500"):
        kernel.crossings(POS, prev, SIZE, update=True, out=room)
    np.testing.assert_array_equal(prev, BEFORE)
