"""The entity table does what a list of rows does, whatever is done to it in whatever order."""

import gc

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sidereal import kernel
from sidereal.kernel import reference
from sidereal.kernel.reference.table import COLUMNS

SIZE = 10.0
ABSENT = kernel.ABSENT
ids_lists = st.lists(st.integers(0, 40) | st.sampled_from([2**64 - 1, 2**63]), max_size=12)
coordinate = st.sampled_from([0.0, -0.0, 9.999999999999998, 10.0, -5.0, 1e9, 1e300, np.nan, np.inf])
seeds = st.integers(0, 2**32)


def u32(values: object) -> np.ndarray:
    return np.array(values, dtype=np.uint32)


def u64(values: object) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


class TableMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.compiled = kernel.EntityTable(SIZE)
        self.twin = reference.EntityTable(SIZE)

    def slots(self, seed: int, most: int = 8) -> np.ndarray:
        count = len(self.twin)
        return np.random.default_rng(seed).integers(0, count, min(count, most), dtype=np.uint32)

    @rule(ids=ids_lists, data=st.data(), hint=st.none() | seeds)
    def upsert(self, ids: list[int], data: st.DataObject, hint: int | None) -> None:
        point = st.tuples(coordinate, coordinate)
        position = np.array(data.draw(st.lists(point, min_size=len(ids), max_size=len(ids))))
        position = position.reshape(-1, 2)
        velocity = np.full((len(ids), 2), 1.5)
        velocity[9:10] = np.inf
        slots = [None, None]
        if hint is not None:
            guess = np.random.default_rng(hint).integers(0, 20, len(ids), dtype=np.uint32)
            slots = [guess, guess.copy()]
        if len(set(ids)) < len(ids):
            with pytest.raises(ValueError, match="twice"):
                self.compiled.upsert(u64(ids), position, velocity, slots[0])
            if hint is not None:
                np.testing.assert_array_equal(slots[0], slots[1])
            return
        movers = self.compiled.upsert(u64(ids), position, velocity, slots[0])
        want = self.twin.upsert(u64(ids), position, velocity, slots[1])
        np.testing.assert_array_equal(movers, want)
        np.testing.assert_array_equal(self.compiled.invalid, self.twin.invalid)
        if hint is not None:
            np.testing.assert_array_equal(slots[0], slots[1])

    @rule(ids=ids_lists)
    def remove(self, ids: list[int]) -> None:
        assert self.compiled.remove(u64(ids)) == self.twin.remove(u64(ids))

    @rule()
    def arrange(self) -> None:
        self.compiled.arrange()
        self.twin.arrange()

    @rule(name=st.sampled_from([n for n in COLUMNS if n != "handle"]), seed=seeds)
    def write_column(self, name: str, seed: int) -> None:
        shape = self.twin.column(name).shape
        values = np.random.default_rng(seed).integers(0, 100, shape).astype(COLUMNS[name])
        getattr(self.compiled, name)[...] = values
        self.twin.set_column(name, values)

    @rule(seed=seeds)
    def bind(self, seed: int) -> None:
        slots = self.slots(seed)
        rng = np.random.default_rng(seed)
        index = rng.choice([0, 1, 2, 3, 4095, 4096, 2**24 - 1], len(slots))
        generation = rng.choice([0, 1, 255], len(slots))
        handles = u32(index + (generation << 24))
        self.compiled.bind(slots, handles)
        self.twin.bind(slots, handles)

    @rule(seed=seeds)
    def write_states(self, seed: int) -> None:
        slots = self.slots(seed)
        rng = np.random.default_rng(seed)
        sizes = [[0, 1, 7, 8, 9, 900, 60_000], [32], [64], [31, 72]][rng.integers(4)]
        lengths = u32(rng.choice(sizes, len(slots)))
        data = rng.integers(0, rng.choice([1, 256]), int(lengths.sum()), dtype=np.uint8)
        mark = int(rng.choice([0, 2, 4]))
        self.compiled.set_states(slots, lengths, data, mark)
        self.twin.set_states(slots, lengths, data, mark)

    @rule(seed=seeds)
    def batch(self, seed: int) -> None:
        every = np.arange(len(self.twin), dtype=np.uint32)
        some = np.sort(self.slots(seed))
        for slots in (every, some, np.delete(every, some), self.slots(seed)):
            pairs = zip(self.compiled.batch(slots), self.twin.batch(slots), strict=True)
            for got, want in pairs:
                assert got.dtype == want.dtype
                assert got.tobytes() == want.tobytes()
            lengths, data = self.compiled.states(slots)
            want_lengths, want_data = self.twin.states(slots)
            assert (lengths.tolist(), data.tobytes()) == (
                want_lengths.tolist(),
                want_data.tobytes(),
            )

    @rule(seed=seeds)
    def stamp(self, seed: int) -> None:
        slots = self.slots(seed)
        self.compiled.stamp(slots, seed // 2)
        self.twin.stamp(slots, seed // 2)

    @rule(seed=seeds, data=st.data())
    def advance(self, seed: int, data: st.DataObject) -> None:
        slots = self.slots(seed)
        point = st.tuples(coordinate, coordinate)
        count = len(slots)
        both = data.draw(st.lists(st.tuples(point, point), min_size=count, max_size=count))
        position, velocity = np.array(both, float).reshape(-1, 2, 2).transpose(1, 0, 2).copy()
        refused = self.compiled.advance(slots, position, velocity, 8)
        np.testing.assert_array_equal(refused, self.twin.advance(slots, position, velocity, 8))

    @rule()
    def clear(self) -> None:
        self.compiled.clear()
        self.twin.rows.clear()

    @invariant()
    def same(self) -> None:
        assert len(self.compiled) == len(self.twin)
        np.testing.assert_array_equal(self.compiled.ids, self.twin.ids)
        for name in COLUMNS:
            got, want = getattr(self.compiled, name), self.twin.column(name)
            assert got.dtype == want.dtype
            assert got.tobytes() == want.tobytes(), name
        for sector in {(0, 0), (1, 0), (-1, 99), *(row.sector for row in self.twin.rows[:3])}:
            for shard in (None, -1, 7):
                found = self.compiled.find(sector, shard)
                np.testing.assert_array_equal(found, self.twin.find(sector, shard))
        known = u64([*range(42), 2**64 - 1, 2**63])
        np.testing.assert_array_equal(self.compiled.slots(known), self.twin.slots(known))
        handles = u32([g << 24 | i for g in (0, 1, 255) for i in (0, 1, 2, 3, 4095, 4096)])
        handles = np.append(handles, u32([2**32 - 1, 2**24 - 1, 2**25 - 1]))
        np.testing.assert_array_equal(self.compiled.resolve(handles), self.twin.resolve(handles))
        every = np.arange(len(self.twin), dtype=np.uint32)
        lengths, data = self.compiled.states(every)
        want_lengths, want_data = self.twin.states(every)
        np.testing.assert_array_equal(lengths, want_lengths)
        assert data.tobytes() == want_data.tobytes()
        assert self.compiled.state_bytes == self.twin.state_bytes


TableMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTable = TableMachine.TestCase


def filled(count: int, **keywords: int) -> kernel.EntityTable:
    table = kernel.EntityTable(SIZE, **keywords)
    rng = np.random.default_rng(31)
    table.upsert(
        np.arange(count, dtype=np.uint64), rng.normal(0, 50, (count, 2)), np.zeros((count, 2))
    )
    return table


def test_a_new_row_starts_from_nothing() -> None:
    table = kernel.EntityTable(SIZE)
    slots = u32([0, 0])
    movers = table.upsert(
        u64([7, 9]), np.array([[-1.0, 25.0], [np.nan, 0]]), np.ones((2, 2)), slots
    )
    assert movers.tolist() == []
    assert table.invalid.tolist() == [1]
    assert slots.tolist() == [0, ABSENT]
    assert table.sector.tolist() == [[-1, 2]]
    assert table.shard.tolist() == [-1]
    assert table.handle.tolist() == [kernel.NO_HANDLE]
    for name in ("version", "tick", "state_tick", "flags", "group", "sensor", "phase", "dirty"):
        assert getattr(table, name).tolist() == [0]


def test_a_mover_keeps_its_sector_and_is_reported_until_it_is_changed() -> None:
    table = kernel.EntityTable(SIZE)
    one, still = u64([1]), np.zeros((1, 2))
    table.upsert(one, np.array([[5.0, 5.0]]), still)
    for _ in range(2):
        assert table.upsert(one, np.array([[10.0, 5.0]]), still).tolist() == [0]
        assert table.sector.tolist() == [[0, 0]]
    table.sector[0] = (1, 0)
    assert table.upsert(one, np.array([[10.0, 5.0]]), still).tolist() == []


def test_slots_that_are_no_rows_are_refused() -> None:
    table = filled(4)
    for call in (table.batch, lambda slots: table.stamp(slots, 9)):
        with pytest.raises(ValueError, match="slot"):
            call(u32([0, 4]))
    assert table.tick.tolist() == [0] * 4


def test_views_are_the_memory_of_the_table() -> None:
    table = filled(10)
    position = table.position
    table.upsert(u64([3]), np.array([[1.0, 2.0]]), np.zeros((1, 2)))
    assert position[3].tolist() == [1.0, 2.0]
    table.tick[4] = 99
    assert table.tick[4] == 99
    for name in ("ids", "handle"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(table, name)[0] = 1


def test_growth_is_refused_while_a_view_is_alive() -> None:
    table = filled(64)
    view = table.flags[3:7]
    before = table.ids.copy()
    more = np.arange(1000, 1200, dtype=np.uint64)
    still = np.zeros((200, 2))
    with pytest.raises(BufferError, match="views of its columns are alive"):
        table.upsert(more, still, still)
    with pytest.raises(BufferError):
        table.reserve(100_000)
    assert len(table) == 64
    assert table.slots(more).tolist() == [ABSENT] * 200
    np.testing.assert_array_equal(table.ids, before)
    table.remove(u64([0, 1]))
    assert view.shape == (4,)
    del view
    gc.collect()
    table.upsert(more, still, still)
    assert len(table) == 262


def test_room_that_was_reserved_is_used_under_a_view() -> None:
    table = filled(10, capacity=300)
    view = table.position
    table.upsert(np.arange(1000, 1290, dtype=np.uint64), np.ones((290, 2)), np.ones((290, 2)))
    assert len(table) == 300
    assert len(view) == 10


def test_a_view_outlives_its_table() -> None:
    view = filled(5).position
    gc.collect()
    view += 1.0
    assert view.shape == (5, 2)


def test_states_are_packed_when_half_of_them_are_gone() -> None:
    table = filled(200)
    slots = np.arange(200, dtype=np.uint32)
    for length in [*range(100, 1100, 100), 50]:
        lengths = np.full(200, length, dtype=np.uint32)
        table.set_states(slots, lengths, np.full(200 * length, length % 251, dtype=np.uint8))
        assert table.state_bytes == 200 * length
    table.remove(np.arange(100, dtype=np.uint64))
    lengths, data = table.states(np.arange(100, dtype=np.uint32))
    assert lengths.tolist() == [50] * 100
    assert set(data.tolist()) == {50}


def test_an_entity_without_blobs_costs_at_most_128_bytes() -> None:
    count = 300_000
    table = filled(count, capacity=count)
    assert table.nbytes / count <= 128.0


def test_nor_in_a_table_that_grows_by_itself() -> None:
    table = kernel.EntityTable(SIZE)
    still = np.zeros((1_000, 2))
    most = 0.0
    for first in range(0, 400_000, 1_000):
        slots = np.arange(first, first + 1_000, dtype=np.uint32)
        table.upsert(slots.astype(np.uint64), still, still)
        table.bind(slots, slots)
        if first >= 50_000:
            most = max(most, table.nbytes / len(table))
    assert 100.0 < most <= 128.0


def test_many_ids_in_every_order() -> None:
    rng = np.random.default_rng(32)
    count = 50_000
    ids = rng.integers(0, 2**64, count, dtype=np.uint64)
    ids[:1000] = np.arange(1000) << 40
    pos, still = rng.normal(0, 500, (count, 2)), np.zeros((count, 2))
    table = kernel.EntityTable(SIZE)
    table.upsert(ids, pos, still)
    shuffle = rng.permutation(count)
    moved = pos + rng.normal(0, 1, pos.shape)
    slots = table.slots(ids[shuffle])
    np.testing.assert_array_equal(slots, shuffle)
    movers = table.upsert(ids[shuffle], moved[shuffle], still, slots)
    crossed, _ = kernel.crossings(moved, table.sector.copy(), SIZE)
    np.testing.assert_array_equal(np.sort(movers), crossed)
    np.testing.assert_array_equal(table.position, moved)
    assert table.remove(ids[shuffle[: count // 2]]) == count // 2
    left = shuffle[count // 2 :]
    np.testing.assert_array_equal(table.position[table.slots(ids[left])], moved[left])
