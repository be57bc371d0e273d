"""A fuzz target for the kernel's Python face, for Atheris: every call is compared with its twin.

``python -m kernel.fuzz.bindings LIBRARY [CORPUS] [libFuzzer's options]``, where LIBRARY is the
extension built for fuzzing; ``.ci/fuzz`` does all of it. What may happen to a call: an answer
equal to the twin's, or, where an argument was spoiled, a named error with nothing written.
"""

import importlib.util
import itertools
import sys
from collections.abc import Callable
from typing import Any

import atheris


def load(library: str) -> None:
    """Make ``library`` the extension that `sidereal.kernel` will find."""
    name = "sidereal.kernel._kernel"
    spec = importlib.util.spec_from_file_location(name, library)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


load(sys.argv[1])

import numpy as np  # noqa: E402

from kernel.fuzz.feed import ROWS_MAX, Feed  # noqa: E402
from sidereal import kernel  # noqa: E402
from sidereal.kernel import reference  # noqa: E402
from sidereal.kernel.reference.table import COLUMNS  # noqa: E402

REFUSED = (TypeError, ValueError, BufferError)


def attempt(feed: Feed, call: Callable[[], Any]) -> Any:
    """The call's answer, or None where it was refused, as it may be."""
    try:
        answer = call()
    except REFUSED:
        assert feed.spoiled, "right arguments were refused"
        assert feed.untouched(), "something was written before the refusal"
        return None
    feed.settled()
    return None if feed.spoiled else answer


def equal(got: Any, want: Any) -> None:
    """Arrays, or tuples of them: same values, and same types."""
    if isinstance(want, tuple):
        for a, b in zip(got, want, strict=True):
            equal(a, b)
        return
    assert got.dtype == want.dtype, (got.dtype, want.dtype)
    np.testing.assert_array_equal(got, want)


def in_room(feed: Feed, call: Callable[..., Any], want: Any, most: tuple[int, ...] = ()) -> None:
    """The same answer in the caller's memory, or a refusal where one array of that is short."""
    arrays = want if isinstance(want, tuple) else (want,)
    rows = most or tuple(len(a) for a in arrays)
    short = feed.whole(len(arrays)) if feed.now_and_then() else len(arrays)
    room = tuple(
        np.full((max(0, n + (-1 if i == short else feed.whole(2))), *a.shape[1:]), 7, a.dtype)
        for i, (n, a) in enumerate(zip(rows, arrays, strict=True))
    )
    try:
        got = call(out=room if isinstance(want, tuple) else room[0])
    except ValueError:
        assert short < len(arrays), "room enough was refused"
        assert all(np.all(a == 7) for a in room), "something was written before the refusal"
        return
    assert short == len(arrays) or rows[short] == 0, "room that is short was taken"
    equal(got, want)


def rows_of(array: Any) -> int:
    """How many rows an argument has, if it has any."""
    return len(array) if isinstance(array, np.ndarray) and array.ndim else 0


def owners(feed: Feed) -> tuple[Any, Any]:
    """A map of owners, and its twin."""
    rng = feed.random()
    held = rng.integers(-3, 4, (feed.whole(20), 2)).astype(np.int32)
    shard = rng.integers(0, 3, len(held)).astype(np.int32)
    pair = kernel.SectorMap(), reference.SectorMap()
    for one in pair:
        one.set(held, shard, 5)
        one.remove(held[: len(held) // 4])
    equal(pair[0].items(), pair[1].items())
    return pair


def sectors(feed: Feed) -> None:
    """With and without room for the answer."""
    size = feed.size()
    pos = feed.points(feed.whole(ROWS_MAX), size)
    room = feed.room((rows_of(pos), 2), np.int32) if feed.whole(1) else None
    got = attempt(feed, lambda: kernel.sectors(pos, size, room))
    if got is not None:
        equal(got, reference.sectors(pos, size))


def crossings(feed: Feed) -> None:
    """With margins, owners, and updates in place."""
    size = feed.size()
    rows = feed.whole(ROWS_MAX)
    pos, prev = feed.points(rows, size), feed.sectors(rows)
    margin = feed.one_of((0.0, 0.1, 0.5)) * size
    maps = owners(feed) if feed.whole(1) else (None, None)
    update = bool(feed.whole(1))
    before = prev.copy() if isinstance(prev, np.ndarray) else prev
    got = attempt(feed, lambda: kernel.crossings(pos, prev, size, margin, maps[0], update))
    if got is None:
        return
    want = reference.crossings(pos, before, size, margin, maps[1])
    equal(got, want)
    if update:
        before[want[0]] = want[1]
    equal(prev, before)


def near_border(feed: Feed) -> None:
    """Rows near borders."""
    size, rows = feed.size(), feed.whole(ROWS_MAX)
    pos, where = feed.points(rows, size), feed.sectors(rows)
    margin = feed.one_of((0.0, 0.25, 0.5)) * size
    got = attempt(feed, lambda: kernel.near_border(pos, where, size, margin))
    if got is not None:
        with np.errstate(all="ignore"):
            equal(got, reference.near_border(pos, where, size, margin))


def reach(feed: Feed) -> None:
    """Few rows: each may touch a thousand sectors."""
    size, rows = feed.size(), feed.whole(4)
    dtype = feed.one_of((np.float32, np.float64))
    pos, speed = feed.points(rows, size, dtype), feed.points(rows, size, dtype)
    radius, horizon_s = feed.one_of((0.0, 0.5, 3.0, 1e9)) * size, feed.one_of((0.0, 0.5, 9.0))
    got = attempt(feed, lambda: kernel.reach(pos, speed, radius, size, horizon_s))
    if got is not None:
        with np.errstate(all="ignore"):
            equal(got, reference.reach(pos, speed, radius, size, horizon_s))


def groups(feed: Feed) -> None:
    """Counts and groups."""
    where = feed.sectors(feed.whole(ROWS_MAX) * feed.one_of((1, 1, 30)))
    room = feed.room(rows_of(where), np.uint32) if feed.whole(1) else None
    got = attempt(feed, lambda: kernel.group(where, room))
    if got is not None:
        equal(got, reference.group(where))
    got = attempt(feed, lambda: kernel.counts(where))
    if got is not None:
        equal(got, reference.counts(where))
        in_room(feed, lambda out: kernel.counts(where, out), got)


def census(feed: Feed) -> None:
    """Rows that move, and moves that are refused."""
    size, rows = 10.0, feed.whole(ROWS_MAX)
    pos = feed.points(rows, size)
    compiled, twin = kernel.Census(size), reference.Census(size)
    if attempt(feed, lambda: compiled.rebuild(pos)) is None and feed.spoiled:
        return
    twin.rebuild(pos)
    held = reference.sectors(pos, size)[0]
    while feed:
        index = np.flatnonzero(feed.random().random(rows) < 0.4).astype(np.uint32)
        index = feed.given(feed.random().permutation(index))
        if not isinstance(index, np.ndarray) or index.dtype != np.uint32 or index.ndim != 1:
            attempt(feed, lambda index=index: compiled.move(index, held[:1], held[:1]))
            return
        old, new = feed.given(held[index]), feed.sectors(len(index))
        if feed.now_and_then() and len(index):
            feed.spoiled = True
            index = np.roll(index, 1)
            index[0] = feed.one_of((index[-1], rows, 2**32 - 1))
        before = compiled.csr()
        try:
            compiled.move(index, old, new)
        except REFUSED:
            assert feed.spoiled
            equal(compiled.csr(), before)
            return
        if feed.spoiled:
            return
        twin.move(index, old, new)
        held[index] = new
        equal(compiled.csr(), twin.csr())
        equal(compiled.counts(), twin.counts())


def snapshot(feed: Feed) -> None:
    """Queries by disc."""
    size = feed.size()
    pos = feed.points(feed.whole(ROWS_MAX), size)
    made = attempt(feed, lambda: kernel.Snapshot(pos, size))
    if made is None:
        return
    centres = feed.points(feed.whole(6), size)
    radius = min(feed.one_of((0.0, 0.5, 1.0, 20.0, 1e10)) * size, 1e300)
    got = attempt(feed, lambda: made.query(centres, radius))
    if got is not None:
        with np.errstate(all="ignore"):
            equal(got, reference.Snapshot(pos, size).query(centres, radius))


def table(feed: Feed) -> None:
    """A table through everything that can be done to it, and datagrams that were tampered with."""
    size = 10.0
    pair = kernel.EntityTable(size), reference.EntityTable(size)
    maps = owners(feed)
    while feed and not feed.spoiled:
        step = feed.one_of((upsert, remove, states, advance, updates, state_messages))
        step(feed, *pair, *maps)
        if feed.spoiled:
            break
        for name in COLUMNS:
            assert getattr(pair[0], name).tobytes() == pair[1].column(name).tobytes(), name
        equal(pair[0].ids, pair[1].ids)
    rows = len(pair[0])
    equal(pair[0].slots(pair[0].ids.copy()), np.arange(rows, dtype=np.uint32))


def upsert(feed: Feed, compiled: Any, twin: Any, *_: Any) -> None:
    ids = feed.column(feed.whole(12), np.uint64, 30)
    rows = len(ids) if isinstance(ids, np.ndarray) else 1
    position, velocity = feed.points(rows, 10.0), feed.points(rows, 10.0)
    hints = feed.column(rows, np.uint32, 20) if feed.whole(1) else None
    twice = isinstance(ids, np.ndarray) and len(np.unique(ids)) < len(ids)
    feed.spoiled |= twice
    guess = None if hints is None or feed.spoiled else hints.copy()
    before = compiled.position.tobytes()
    got = attempt(feed, lambda: compiled.upsert(ids, position, velocity, hints))
    if twice:
        assert got is None
        assert compiled.position.tobytes() == before
        return
    if got is not None:
        wide = position.astype(np.float64), velocity.astype(np.float64)
        equal(got, twin.upsert(ids, *wide, guess))
        if hints is not None:
            equal(hints, guess)
        slots = np.arange(len(twin), dtype=np.uint32)
        for one in (compiled, twin):
            one.bind(slots, slots * 3 + (1 << 24))


def remove(feed: Feed, compiled: Any, twin: Any, *_: Any) -> None:
    ids = feed.column(feed.whole(6), np.uint64, 30)
    got = attempt(feed, lambda: compiled.remove(ids))
    if got is not None:
        assert got == twin.remove(ids)


def slots_of(feed: Feed, twin: Any) -> Any:
    slots = feed.random().permutation(len(twin)).astype(np.uint32)[: feed.whole(8)]
    return feed.given(slots)


def states(feed: Feed, compiled: Any, twin: Any, *_: Any) -> None:
    slots = slots_of(feed, twin)
    lengths = feed.column(len(slots) if isinstance(slots, np.ndarray) else 1, np.uint32, 90)
    total = int(lengths.sum()) if isinstance(lengths, np.ndarray) and not feed.spoiled else 3
    data = feed.given(feed.random().integers(0, 256, total, dtype=np.uint8))
    if attempt(feed, lambda: (compiled.set_states(slots, lengths, data, 2),)) is not None:
        twin.set_states(slots, lengths, data, 2)
        equal(compiled.states(slots), twin.states(slots))
        in_room(feed, lambda out: compiled.states(slots, out), twin.states(slots))
        in_room(feed, lambda out: compiled.batch(slots, out), twin.batch(slots))


def advance(feed: Feed, compiled: Any, twin: Any, *_: Any) -> None:
    slots = slots_of(feed, twin)
    rows = len(slots) if isinstance(slots, np.ndarray) else 1
    position, velocity = feed.points(rows, 10.0), feed.points(rows, 10.0)
    got = attempt(feed, lambda: compiled.advance(slots, position, velocity, 1))
    if got is not None:
        wide = position.astype(np.float64), velocity.astype(np.float64)
        equal(got, twin.advance(slots, *wide, 1))


def tampered(feed: Feed, packed: Any) -> list[bytes]:
    """The payloads, some bytes of them changed, some cut off."""
    data, offsets = packed[0].tobytes(), packed[1].tolist()
    found = []
    for first, last in itertools.pairwise(offsets):
        payload = bytearray(data[first:last])
        for _ in range(feed.whole(3)):
            payload[feed.whole(2**31) % len(payload)] = feed.whole(255)
        found.append(bytes(payload[: len(payload) - (feed.whole(40) if feed.whole(3) == 3 else 0)]))
    return [*found, feed.bytes(feed.whole(60))]


def counted(tally: Any) -> list[int]:
    names = ("applied", "stale_tick", "wrong_owner", "wrong_handle", "malformed")
    return [getattr(tally, name) for name in names]


def updates(feed: Feed, compiled: Any, twin: Any, *maps: Any) -> None:
    slots = np.arange(len(twin), dtype=np.uint32)
    tick, most = feed.whole(3), feed.one_of((44, 150, 1200))
    ticks = np.full(len(twin), tick, np.uint32)
    compiled.tick[...] = ticks
    compiled.shard[...] = 1
    twin.set_column("tick", ticks)
    twin.set_column("shard", np.ones(len(twin), np.int32))
    with np.errstate(all="ignore"):
        want = reference.pack_updates(twin, slots, 10.0, tick, maps[1], 9, most)
    got = kernel.pack_updates(compiled, slots, 10.0, tick, maps[0], 9, most)
    equal(got, want)
    in_room(
        feed,
        lambda out: kernel.pack_updates(compiled, slots, 10.0, tick, maps[0], 9, most, out),
        want,
    )
    payloads, shard = tampered(feed, got), feed.whole(2)
    tallies = (
        kernel.apply_updates(compiled, payloads, shard, maps[0], 10.0),
        reference.apply_updates(twin, payloads, shard, maps[1], 10.0),
    )
    assert counted(tallies[0]) == counted(tallies[1])


def state_messages(feed: Feed, compiled: Any, twin: Any, *_: Any) -> None:
    slots = np.arange(len(twin), dtype=np.uint32)
    most = feed.one_of((150, 1200, 65535))
    got = kernel.pack_states(compiled, slots, 9, most)
    equal(got, reference.pack_states(twin, slots, 9, most))
    in_room(feed, lambda out: kernel.pack_states(compiled, slots, 9, most, out), got)
    payloads, shard = tampered(feed, got), feed.whole(2)
    tallies = (
        kernel.apply_states(compiled, payloads, shard),
        reference.apply_states(twin, payloads, shard),
    )
    assert counted(tallies[0]) == counted(tallies[1])


def ghosts(feed: Feed) -> None:
    """What a shard is shown: unpacking whatever arrives, packing what fits."""
    payload = feed.bytes(feed.whole(200))
    answers = []
    for module in (kernel, reference):
        try:
            answers.append(module.unpack_ghosts(payload))
        except ValueError:
            answers.append(None)
    assert (answers[0] is None) == (answers[1] is None)
    if answers[0] is not None:
        assert answers[0][0] == answers[1][0]
        equal(answers[0][1:], answers[1][1:])


def sightings(feed: Feed) -> None:
    """Who is seen across borders, and the edges of what crossed."""
    size, rows = 10.0, feed.whole(ROWS_MAX)
    pos, where = feed.points(rows, size), feed.sectors(rows)
    new, shard = feed.sectors(rows), feed.column(rows, np.int32, 3)
    maps = owners(feed)
    radius = feed.one_of((0.0, 0.3, 1.0)) * size
    got = attempt(feed, lambda: kernel.flux(where, new))
    if got is not None:
        equal(got, reference.flux(where, new))
        in_room(feed, lambda out: kernel.flux(where, new, out), got)
    got = attempt(feed, lambda: kernel.ghosts(pos, where, shard, size, radius, maps[0]))
    if got is not None:
        with np.errstate(all="ignore"):
            equal(got, reference.ghosts(pos, where, shard, size, radius, maps[1]))
        in_room(
            feed,
            lambda out: kernel.ghosts(pos, where, shard, size, radius, maps[0], out),
            got,
        )


TARGETS = (
    *(sectors, crossings, near_border, reach, groups, census, snapshot),
    *(table, table, ghosts, sightings),
)


def one_input(data: bytes) -> None:
    """What the fuzzer calls: the first byte chooses, the others are arguments."""
    feed = Feed(data)
    feed.one_of(TARGETS)(feed)


if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], one_input)
    atheris.Fuzz()
