"""What every store promises, told of both."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidereal.errors import Deposed, LimitError, StoreFailed
from sidereal.limits import COMMIT_BYTES_MAX
from sidereal.store import Loaded, MemoryDisk, MemoryStore, SqliteStore, Store
from sidereal.store import sqlite as sqlite_store
from store.opening import RAM, NoClaim, Open


def test_what_was_committed_is_loaded_in_order(opener: Open) -> None:
    store = opener()
    term = store.acquire_term()
    assert store.commit(term, [b"one", b"", b"three"]) == 3
    assert store.commit(term, [b"four"]) == 4
    store.close()
    assert opener().load() == Loaded(1, None, 0, (b"one", b"", b"three", b"four"))


def test_a_snapshot_stands_for_the_records_before_it(opener: Open) -> None:
    store = opener()
    term = store.acquire_term()
    store.commit(term, [b"a", b"b"])
    store.commit(term, [b"c"])
    for compacted in (False, True):
        store.snapshot(term, 2, [b"parts", b"", b"of it"])
        if compacted:
            store.compact(term)
        assert opener().load() == Loaded(1, (b"parts", b"", b"of it"), 2, (b"c",))
    assert store.commit(term, [b"d"]) == 4
    assert opener().load().records == (b"c", b"d")


def test_a_deposed_leader_can_do_nothing_more(opener: Open) -> None:
    old, new = opener(), opener()
    term = old.acquire_term()
    old.commit(term, [b"kept"])
    assert new.acquire_term() == term + 1
    for attempt in (
        lambda: old.commit(term, [b"late"]),
        lambda: old.commit(term, []),
        lambda: old.snapshot(term, 1, [b"late"]),
        lambda: old.compact(term),
    ):
        with pytest.raises(Deposed):
            attempt()
    assert new.load() == Loaded(2, None, 0, (b"kept",))
    assert new.commit(2, [b"mine"]) == 2


def test_a_check_writes_nothing(opener: Open) -> None:
    store = opener()
    term = store.acquire_term()
    store.commit(term, [b"x"])
    assert store.commit(term, []) == 1
    assert opener().load().records == (b"x",)


def test_a_closed_store_says_so(opener: Open) -> None:
    store = opener()
    term = store.acquire_term()
    store.close()
    store.close()
    with pytest.raises(StoreFailed, match="closed"):
        store.commit(term, [b"x"])


def test_a_snapshot_in_the_middle_of_a_commit_stands_for_half_of_it(opener: Open) -> None:
    store = opener()
    term = store.acquire_term()
    store.commit(term, [b"a", b"b", b"c"])
    store.snapshot(term, 1, [b"a"])
    store.compact(term)
    assert opener().load() == Loaded(1, (b"a",), 1, (b"b", b"c"))


@pytest.mark.parametrize("position", [1, 4])
def test_a_snapshot_of_no_possible_position_is_refused(opener: Open, position: int) -> None:
    store = opener()
    term = store.acquire_term()
    store.commit(term, [b"a", b"b", b"c"])
    store.snapshot(term, 2, [b"x"])
    with pytest.raises(ValueError, match="from 2 to 3"):
        store.snapshot(term, position, [b"y"])
    assert opener().load() == Loaded(1, (b"x",), 2, (b"c",))


def test_a_commit_beyond_the_bound_is_refused_and_leaves_the_store_usable(opener: Open) -> None:
    store = opener()
    term = store.acquire_term()
    with pytest.raises(LimitError, match="commit fewer"):
        store.commit(term, [bytes(COMMIT_BYTES_MAX - 3)])
    assert store.commit(term, [b"fits"]) == 1
    assert opener().load().records == (b"fits",)


def test_a_term_is_higher_than_any_before_it_in_whichever_process(opener: Open) -> None:
    assert [opener().acquire_term() for _ in range(4)] == [1, 2, 3, 4]
    assert opener().load() == Loaded(4, None, 0, ())


def test_those_who_take_the_leadership_at_once_get_different_terms(opener: Open) -> None:
    stores = [opener() for _ in range(4)]
    with ThreadPoolExecutor(len(stores)) as pool:
        taken = [pool.submit(store.acquire_term) for store in stores for _ in range(5)]
        assert sorted(each.result() for each in taken) == list(range(1, 21))


class StoreMachine(RuleBasedStateMachine):
    """Processes that open one store, lead it and lose it, beside a model in plain lists."""

    def __init__(self) -> None:
        super().__init__()
        self.stores: list[tuple[Store, int]] = []
        self.term = 0
        self.records: list[bytes] = []
        self.snapshot: tuple[int, tuple[bytes, ...]] | None = None

    def open(self) -> Store:
        raise NotImplementedError

    @initialize()
    def first(self) -> None:
        self.take_over()

    @rule()
    def take_over(self) -> None:
        store = self.open()
        self.term += 1
        assert store.acquire_term() == self.term
        self.stores.append((store, self.term))

    @rule(data=st.data(), records=st.lists(st.binary(max_size=2000), max_size=5))
    def commit(self, data: st.DataObject, records: list[bytes]) -> None:
        store, term = data.draw(st.sampled_from(self.stores))
        if term == self.term:
            self.records += records
            assert store.commit(term, records) == len(self.records)
        else:
            with pytest.raises(Deposed):
                store.commit(term, records)

    @rule(data=st.data(), parts=st.lists(st.binary(max_size=50), max_size=3))
    def take_snapshot(self, data: st.DataObject, parts: list[bytes]) -> None:
        store, term = data.draw(st.sampled_from(self.stores))
        oldest = self.snapshot[0] if self.snapshot else 0
        position = data.draw(st.integers(oldest, len(self.records)))
        if term == self.term:
            store.snapshot(term, position, parts)
            self.snapshot = position, tuple(parts)
        else:
            with pytest.raises(Deposed):
                store.snapshot(term, position, parts)

    @rule(data=st.data())
    def compact(self, data: st.DataObject) -> None:
        store, term = data.draw(st.sampled_from(self.stores))
        if term == self.term:
            store.compact(term)
        else:
            with pytest.raises(Deposed):
                store.compact(term)

    @precondition(lambda self: len(self.stores) > 1)
    @rule()
    def close_an_old_one(self) -> None:
        self.stores.pop(0)[0].close()

    @invariant()
    def what_is_loaded_is_what_the_model_has(self) -> None:
        position, parts = self.snapshot or (0, None)
        expected = Loaded(self.term, parts, position, tuple(self.records[position:]))
        if self.stores:
            assert self.stores[-1][0].load() == expected

    def teardown(self) -> None:
        for store, _ in self.stores:
            store.close()


class MemoryMachine(StoreMachine):
    def __init__(self) -> None:
        super().__init__()
        self.disk = MemoryDisk()

    def open(self) -> Store:
        return MemoryStore(self.disk)


class SqliteMachine(StoreMachine):
    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory(dir=RAM)

    def open(self) -> Store:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sqlite_store, "Claim", NoClaim)
            return SqliteStore(Path(self.home.name) / "data")

    def teardown(self) -> None:
        super().teardown()
        self.home.cleanup()


TestMemory = MemoryMachine.TestCase
TestSqlite = SqliteMachine.TestCase
SETTINGS = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestMemory.settings = TestSqlite.settings = SETTINGS
