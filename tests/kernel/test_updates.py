"""Updates and states: packed as the twin packs them, applied only where they have the right to."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernel import adversarial
from sidereal import kernel
from sidereal.kernel import reference
from sidereal.kernel.reference.table import COLUMNS

SHARD = 3
TALLY = ("applied", "stale_tick", "wrong_owner", "wrong_handle", "malformed", "ahead")
Tables = tuple[kernel.EntityTable, reference.EntityTable]
Maps = tuple[kernel.SectorMap, reference.SectorMap]


def world(seed: int, size: float, count: int) -> tuple[Tables, Maps]:
    """A table and a map, compiled and twin, with every flaw a row can have."""
    rng = np.random.default_rng(seed)
    position = adversarial.positions(rng, size, np.float64, count)
    position = np.ascontiguousarray(rng.permutation(position)[:count])
    near = rng.random(count) < 0.7
    position[near] = rng.uniform(-3 * size, 3 * size, (int(near.sum()), 2))
    ids = np.arange(count, dtype=np.uint64)
    speed = rng.normal(0, 10, (count, 2))
    speed[rng.random(count) < 0.05] = 1e300
    tables = kernel.EntityTable(size), reference.EntityTable(size)
    for table in tables:
        table.upsert(ids, position, speed)
    rows = len(tables[0])
    moved = np.clip(tables[0].sector + rng.integers(-2, 3, (rows, 2)), -(2**31), 2**31 - 1)
    stays = rng.random(rows) < 0.8
    moved[stays] = tables[0].sector[stays]
    set_columns(tables, "sector", moved)
    set_columns(tables, "tick", np.where(rng.random(rows) < 0.9, 7, 6))
    set_columns(tables, "state_tick", rng.integers(0, 4, rows))
    set_columns(tables, "shard", np.where(rng.random(rows) < 0.9, SHARD, 4))
    slots = np.flatnonzero(rng.random(rows) < 0.9).astype(np.uint32)
    lengths = rng.choice([0, 1, 30, 400, 1500], len(slots)).astype(np.uint32)
    data = rng.integers(0, 256, int(lengths.sum()), dtype=np.uint8)
    for table in tables:
        table.bind(slots, slots * 3 + (1 << 24))
        table.set_states(slots, lengths, data)
    maps = kernel.SectorMap(), reference.SectorMap()
    held = np.unique(tables[0].sector, axis=0)
    held = held[~np.any(held == -(2**31), axis=1) & (rng.random(len(held)) < 0.9)]
    shards = np.where(rng.random(len(held)) < 0.9, SHARD, 4).astype(np.int32)
    epochs = rng.integers(0, 2**32, len(held), dtype=np.uint32)
    for owners in maps:
        owners.set(held, shards, epochs)
    return tables, maps


def set_columns(tables: Tables, name: str, values: np.ndarray) -> None:
    values = values.astype(COLUMNS[name])
    getattr(tables[0], name)[...] = values
    tables[1].set_column(name, values)


def assert_same(tables: Tables) -> None:
    for name in COLUMNS:
        assert getattr(tables[0], name).tobytes() == tables[1].column(name).tobytes(), name
    every = np.arange(len(tables[1]), dtype=np.uint32)
    for got, want in zip(tables[0].states(every), tables[1].states(every), strict=True):
        np.testing.assert_array_equal(got, want)


def payloads(packed: tuple) -> list[bytes]:
    data, offsets = packed[0].tobytes(), packed[1].tolist()
    return [data[a:b] for a, b in itertools.pairwise(offsets)]


def counted(tally: object) -> list[int]:
    return [getattr(tally, name) for name in TALLY]


@pytest.mark.parametrize("size", adversarial.SIZES)
@pytest.mark.parametrize("payload_bytes", [44, 150, 1200, 65535])
def test_updates_are_packed_as_the_twin_packs_them(size: float, payload_bytes: int) -> None:
    tables, maps = world(41, size, 400)
    slots = np.random.default_rng(1).permutation(len(tables[0])).astype(np.uint32)
    got = kernel.pack_updates(tables[0], slots, size, 7, maps[0], 9, payload_bytes)
    want = reference.pack_updates(tables[1], slots, size, 7, maps[1], 9, payload_bytes)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert len(got[2]) > 50
    assert len(got[4]) > 50
    assert sorted([*got[2], *got[4]]) == list(range(len(tables[0])))
    assert max(map(len, payloads(got))) <= payload_bytes


@pytest.mark.parametrize("payload_bytes", [44, 150, 1172])
def test_a_tick_is_collected_as_the_twin_collects_it(payload_bytes: int) -> None:
    tables, maps = world(47, 10.0, 3000)
    rng = np.random.default_rng(3)
    set_columns(tables, "phase", np.where(rng.random(len(tables[0])) < 0.8, 0, 4))
    set_columns(tables, "dirty", rng.integers(0, 4, len(tables[0])))
    got = kernel.collect_updates(tables[0], 10.0, 7, maps[0], 2, 9, payload_bytes)
    want = reference.collect_updates(tables[1], 10.0, 7, maps[1], 2, 9, payload_bytes)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert len(got[2]) > 50
    assert_same(tables)
    # What was packed, and lost, goes again; a handle that is out of date marks nobody.
    datagrams = kernel.cut(got[0], got[1])
    assert datagrams == reference.cut(want[0], want[1])
    lost = datagrams[1::2]
    gone = tables[0].ids[:40].copy()
    for table, twin in [(tables[0], kernel), (tables[1], reference)]:
        table.remove(gone)
        twin.mark_updates(table, lost, 2)
    assert_same(tables)
    assert np.count_nonzero(tables[0].dirty & 2) > 100


def test_datagrams_are_cut_within_their_data_only() -> None:
    data = np.arange(10, dtype=np.uint8)
    for ends in ([0, 11], [4, 2]):
        with pytest.raises(ValueError, match="offsets"):
            kernel.cut(data, np.array(ends, np.uint32))
    assert kernel.cut(data, np.array([0], np.uint32)) == []


def test_more_sectors_than_anybody_counts_on_are_packed_as_the_twin_packs_them() -> None:
    tables = kernel.EntityTable(1.0), reference.EntityTable(1.0)
    maps = kernel.SectorMap(), reference.SectorMap()
    rng = np.random.default_rng(4)
    where = rng.permutation(np.stack(np.divmod(np.arange(1500), 40), axis=1)).astype(np.int32)
    for table, owners in zip(tables, maps, strict=True):
        table.upsert(np.arange(1500, dtype=np.uint64), where + 0.5, np.zeros((1500, 2)))
        table.bind(np.arange(1500, dtype=np.uint32), np.arange(1500, dtype=np.uint32))
        owners.set(where, np.full(1500, SHARD, np.int32), np.arange(1500, dtype=np.uint32))
    slots = np.arange(1500, dtype=np.uint32)
    got = kernel.pack_updates(tables[0], slots, 1.0, 0, maps[0], 9, 1172)
    want = reference.pack_updates(tables[1], slots, 1.0, 0, maps[1], 9, 1172)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_no_update_marks_nothing(small) -> None:
    tables, _, updates, _ = small
    with pytest.raises(ValueError, match="no update"):
        kernel.mark_updates(tables[0], [updates[0][:-1]], 1)


@pytest.mark.parametrize("size", adversarial.SIZES)
def test_updates_arrive_in_their_sector_and_close_to_where_they_were(size: float) -> None:
    tables, maps = world(42, size, 600)
    slots = np.arange(len(tables[0]), dtype=np.uint32)
    packed = kernel.pack_updates(tables[0], slots, size, 7, maps[0], 9, 1200)
    sent = tables[0].position.copy()
    before = kernel.sectors(sent, size)[0]
    set_columns(tables, "tick", np.full(len(slots), 6))
    early = [payloads(packed), SHARD]
    ahead = kernel.apply_updates(tables[0], *early, maps[0], size, 6)
    assert counted(ahead) == list(reference.apply_updates(tables[1], *early, maps[1], size, 6))
    assert (ahead.applied, ahead.ahead) == (0, len(early[0]))
    assert_same(tables)
    got = kernel.apply_updates(tables[0], payloads(packed), SHARD, maps[0], size, 7)
    want = reference.apply_updates(tables[1], payloads(packed), SHARD, maps[1], size)
    assert counted(got) == list(want)
    assert_same(tables)
    assert got.applied > 100
    assert got.wrong_owner > 0
    np.testing.assert_array_equal(kernel.sectors(tables[0].position, size)[0], before)
    error = np.abs(tables[0].position - sent)
    assert np.all(error <= size / 2**30 + 4 * np.spacing(np.abs(sent)))
    again = kernel.apply_updates(tables[0], payloads(packed), SHARD, maps[0], size)
    assert (again.applied, again.stale_tick) == (0, got.applied)


@given(
    size=st.sampled_from(adversarial.SIZES),
    k=st.integers(-(2**31) + 1, 2**31 - 1) | st.integers(-4, 4),
    q=st.integers(-(2**31), 2**31 - 1) | st.sampled_from([-1, 0, 2**30 - 1, 2**30]),
)
def test_a_cell_keeps_its_sector_there_and_back(size: float, k: int, q: int) -> None:
    x = reference.messages.position_of(k, q, size)
    if x is None:
        return
    assert reference.space.coordinate(x, size) == k + q // 2**30
    back = reference.messages.cell_of(k, x, size)
    assert back is not None
    assert back // 2**30 == q // 2**30


@pytest.fixture(scope="module")
def small() -> tuple[Tables, Maps, list[bytes], list[bytes]]:
    tables, maps = world(43, 10.0, 60)
    slots = np.arange(len(tables[0]), dtype=np.uint32)
    updates = payloads(kernel.pack_updates(tables[0], slots, 10.0, 7, maps[0], 9, 150))
    states = payloads(kernel.pack_states(tables[0], slots, 9, 600))
    return tables, maps, updates, states


@st.composite
def damaged(draw: st.DrawFn) -> tuple[int, list[tuple[str, int, int]]]:
    kinds = st.sampled_from(["flip", "cut", "grow", "copy"])
    step = st.tuples(kinds, st.integers(0, 2**16), st.integers(0, 255))
    return draw(st.integers(0, 2**16)), draw(st.lists(step, max_size=6))


def damage(payload: bytes, steps: list[tuple[str, int, int]]) -> bytes:
    data = bytearray(payload)
    for kind, at, value in steps:
        at %= len(data) + 1
        if kind == "flip" and at < len(data):
            data[at] ^= value
        elif kind == "cut":
            del data[at:]
        elif kind == "grow":
            data += bytes([value]) * (at % 40)
        elif kind == "copy":
            data[at : at + 4] = data[value % (len(data) + 1) :][:4]
    return bytes(data)


@given(damaged(), st.binary(max_size=80), st.booleans())
@settings(max_examples=400)
@example((0, []), b"", False)
def test_any_bytes_are_applied_as_the_twin_applies_them(small, how, noise, header) -> None:
    tables, maps, updates, states = small
    which, steps = how
    if header:
        noise = bytes([9, 0, 1, 0, 8, 0, 0, 0]) + noise
    set_columns(tables, "tick", np.full(len(tables[1]), 6))
    batch = [noise, damage(updates[which % len(updates)], steps)]
    got = kernel.apply_updates(tables[0], batch, SHARD, maps[0], 10.0)
    assert counted(got) == list(reference.apply_updates(tables[1], batch, SHARD, maps[1], 10.0))
    batch = [noise, damage(states[which % len(states)], steps)]
    got = kernel.apply_states(tables[0], batch, SHARD)
    assert counted(got) == list(reference.apply_states(tables[1], batch, SHARD))
    assert_same(tables)


@pytest.mark.parametrize("payload_bytes", [18, 600, 1200, 65535])
def test_states_are_packed_as_the_twin_packs_them(payload_bytes: int) -> None:
    tables, _ = world(44, 10.0, 300)
    slots = np.random.default_rng(2).permutation(len(tables[0])).astype(np.uint32)
    got = kernel.pack_states(tables[0], slots, 5, payload_bytes)
    want = reference.pack_states(tables[1], slots, 5, payload_bytes)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert sorted([*got[2], *got[4]]) == list(range(len(tables[0])))
    assert max(map(len, payloads(got))) <= payload_bytes


def test_states_arrive_whole_and_only_once() -> None:
    tables, _ = world(45, 10.0, 200)
    every = np.arange(len(tables[0]), dtype=np.uint32)
    lengths, data = (column.copy() for column in tables[0].states(every))
    set_columns(tables, "shard", np.full(len(every), SHARD))
    set_columns(tables, "state_tick", np.full(len(every), 5))
    packed = payloads(kernel.pack_states(tables[0], every, 5, 65535))
    for table in tables:
        table.set_states(every, np.zeros(len(every), np.uint32), np.empty(0, np.uint8))
    assert kernel.apply_states(tables[0], packed, SHARD).stale_tick > 100
    set_columns(tables, "state_tick", np.full(len(every), 4))
    got = kernel.apply_states(tables[0], packed, SHARD)
    assert counted(got) == list(reference.apply_states(tables[1], packed, SHARD))
    assert_same(tables)
    bound = tables[0].handle != kernel.NO_HANDLE
    assert got.applied == bound.sum()
    np.testing.assert_array_equal(tables[0].states(every)[0], np.where(bound, lengths, 0))
    assert len(data) == lengths.sum()


def test_a_first_state_may_have_tick_zero() -> None:
    table = kernel.EntityTable(1.0)
    table.upsert(np.array([1], np.uint64), np.zeros((1, 2)), np.zeros((1, 2)))
    slot = np.array([0], np.uint32)
    table.bind(slot, slot)
    table.shard[0] = SHARD
    packed = payloads(kernel.pack_states(table, slot, 5, 1200))
    assert kernel.apply_states(table, packed, SHARD).applied == 1
    assert kernel.apply_states(table, packed, 4).wrong_owner == 1
