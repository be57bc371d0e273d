"""What the tests of stores share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidereal.store import MemoryDisk, MemoryStore, SqliteStore, Store
from sidereal.store import sqlite as sqlite_store
from store.opening import RAM, NoClaim, Open


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


@pytest.fixture
def ram() -> Iterator[Path]:
    """A directory where nothing waits for a disk, if this machine has one."""
    with tempfile.TemporaryDirectory(dir=RAM) as directory:
        yield Path(directory)
