"""The data directory: one server at a time, and nothing in it that is not the journal's.

====================  ====================================================================
``lock``              held by the process whose id is in it
``journal.sqlite``    records and terms; ``-wal`` and ``-shm`` beside it are SQLite's own
``snapshot-*``        one snapshot each, named by the journal
``*.new``             not finished: of no effect, removed at the next start
====================  ====================================================================
"""

import errno
import fcntl
import os
from pathlib import Path

from sidereal.errors import StoreError, StoreInUse

JOURNAL = "journal.sqlite"
WAL = f"{JOURNAL}-wal"
LOCK = "lock"
_NOTHING_YET = {LOCK, "lost+found"}
"""What may be there before there is a journal."""


class Claim:
    """The lock of a directory, held until `close` or the end of the process.

    Parameters
    ----------
    directory
        Made, with its parents, where it does not exist.

    Raises
    ------
    StoreInUse
        Another process has it.
    StoreError
        It cannot be made or written.
    """

    def __init__(self, directory: Path) -> None:
        try:
            missing = [path for path in (directory, *directory.parents) if not path.exists()]
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in missing:
                sync(path.parent)
            self._file = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreError(
                f"cannot use {directory} for the journal: {error.strerror}. "
                "Give a directory that this user may write to."
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            if error.errno != errno.EWOULDBLOCK:
                raise StoreError(
                    f"cannot lock {directory}: {error.strerror}. Give a directory on a local disk."
                ) from error
            raise StoreInUse(
                f"{directory} is in use by process {holder}: stop that one first, "
                "or give another directory."
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode("ascii"), 0)

    def close(self) -> None:
        """Let another have it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def is_new(directory: Path) -> bool:
    """Say whether there is no journal here yet.

    Raises
    ------
    StoreError
        There is none, but files that a journal has nothing to do with, or only its remains.
    """
    if (directory / JOURNAL).exists():
        return False
    others = sorted(
        path.name
        for path in directory.iterdir()
        if path.name not in _NOTHING_YET and not path.name.startswith(f"{JOURNAL}.new")
    )
    if others:
        raise StoreError(
            f"{directory} has no {JOURNAL}, but {', '.join(others[:3])}"
            f"{' and more' if len(others) > 3 else ''}: it is no journal's directory, or "
            "not a whole one. Give a new or empty directory."
        )
    return True


def sync(directory: Path) -> None:
    """Make names in a directory durable."""
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
