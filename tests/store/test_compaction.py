"""What a snapshot covers is dropped, files stay small, and commits go on meanwhile."""

import os
import threading
from pathlib import Path

import pytest

from sidereal.errors import Deposed
from sidereal.store import SqliteStore, snapshots
from sidereal.store import sqlite as sqlite_store
from sidereal.store.directory import JOURNAL, WAL
from store.opening import NoClaim


def size(store: SqliteStore) -> int:
    return sum((store.directory / name).stat().st_size for name in (JOURNAL, WAL))


def test_the_files_do_not_grow_with_the_age_of_the_world(ram: Path) -> None:
    store = SqliteStore(ram / "data")
    term = store.acquire_term()
    sizes = []
    for _ in range(12):
        for _ in range(10):
            position = store.commit(term, [os.urandom(100_000)])
        store.snapshot(term, position, [b"state"])
        store.compact(term)
        sizes.append(size(store))
        assert len(list(store.directory.glob("snapshot-*"))) == 1
    assert max(sizes[3:]) <= max(sizes[:3]) < 4 * 10 * 100_000
    assert store.load().records == ()
    store.close()


def test_the_log_begins_again_even_while_commits_go_on(ram: Path) -> None:
    store = SqliteStore(ram / "data")
    term = store.acquire_term()
    stop = threading.Event()
    positions = [0]

    def commit() -> None:
        while not stop.is_set():
            positions.append(store.commit(term, [os.urandom(30_000)]))

    thread = threading.Thread(target=commit)
    thread.start()
    try:
        sizes = []
        for _ in range(20):
            begun = positions[-1]
            while positions[-1] < begun + 30:
                thread.join(0.001)
            store.snapshot(term, positions[-1], [b"state"])
            store.compact(term)
            sizes.append(size(store))
    finally:
        stop.set()
        thread.join()
    assert max(sizes[10:]) < 2 * max(sizes[:10]), sizes
    assert store.load().end == positions[-1]
    store.close()


def test_a_commit_does_not_wait_for_the_file_of_a_snapshot(
    ram: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(ram / "data")
    term = store.acquire_term()
    store.commit(term, [b"a"])
    begun, go_on = threading.Event(), threading.Event()
    write = snapshots.write

    def slow(*args: object) -> int:
        begun.set()
        assert go_on.wait(20)
        return write(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshots, "write", slow)
    thread = threading.Thread(target=store.snapshot, args=(term, 1, [b"state"]))
    thread.start()
    assert begun.wait(20)
    assert store.commit(term, [b"b"]) == 2
    assert store.load().snapshot is None
    go_on.set()
    thread.join()
    assert (store.load().snapshot, store.load().records) == ((b"state",), (b"b",))
    store.close()


def test_a_snapshot_of_a_leader_deposed_while_it_wrote_has_no_effect(
    ram: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "Claim", NoClaim)
    old = SqliteStore(ram / "data")
    term = old.acquire_term()
    old.commit(term, [b"a"])
    write, news = snapshots.write, list[SqliteStore]()

    def interrupted(*args: object) -> int:
        checksum = write(*args)  # type: ignore[arg-type]
        news.append(SqliteStore(ram / "data"))
        news[0].acquire_term()
        return checksum

    monkeypatch.setattr(snapshots, "write", interrupted)
    with pytest.raises(Deposed):
        old.snapshot(term, 1, [b"late"])
    assert news[0].load().snapshot is None
    assert list(old.directory.glob("snapshot-*")) == []
    old.close()
    news[0].close()


def test_what_a_dead_process_left_unfinished_is_removed(ram: Path) -> None:
    store = SqliteStore(ram / "data")
    term = store.acquire_term()
    store.snapshot(term, 0, [b"kept"])
    store.close()
    for name in ("snapshot-1-2", "snapshot-1-3.new"):
        (ram / "data" / name).write_bytes(b"not named by the journal")
    store = SqliteStore(ram / "data")
    assert [path.name for path in store.directory.glob("snapshot-*")] == ["snapshot-1-1"]
    assert store.load().snapshot == (b"kept",)
    store.close()
