"""Stores to test: opened again and again, as processes would; and copies of a directory."""

import shutil
from collections.abc import Callable
from pathlib import Path

from sidereal.store import SqliteStore, Store

Open = Callable[[], Store]

RAM = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
"""Where nothing waits for a disk, if this machine has such a place."""


class NoClaim:
    """The seam: two servers have one directory open, as they could without the lock."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)

    def close(self) -> None:
        """Nothing is held."""


def crash(store: SqliteStore, into: Path) -> Path:
    """Leave in `into` what is on the disk now, as a process that dies here would."""
    shutil.copytree(store.directory, into)
    (into / "journal.sqlite-shm").unlink(missing_ok=True)
    (into / "lock").unlink()
    return into
