"""What every store promises, told of both."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sidereal.errors import Deposed, StoreFailed
from sidereal.store import Loaded, MemoryDisk, MemoryStore, SqliteStore, Store
from sidereal.store import sqlite as sqlite_store

Open = Callable[[], Store]


class NoClaim:
    """The seam: two servers have one directory open, as they could without the lock."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture(params=["memory", "sqlite"])
def opener(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Open]:
    """Opens one store, again and again, as processes would."""
    monkeypatch.setattr(sqlite_store, "Claim", NoClaim)
    disk, opened = MemoryDisk(), list[Store]()

    def make() -> Store:
        memory = request.param == "memory"
        opened.append(MemoryStore(disk) if memory else SqliteStore(tmp_path / "data"))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


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
