"""A look at a journal that trusts none of it and changes none of it.

What is damaged is a line in `problems`, not an error; what comes before the damage is read.
A server may be running in the directory: what is seen is then one moment of it.
"""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sidereal.errors import StoreDamaged, StoreError, StoreInUse
from sidereal.store import snapshots, tables
from sidereal.store.commits import Commit, unpack
from sidereal.store.directory import JOURNAL, WAL, Claim
from sidereal.store.wal import Log, survey


@dataclass(frozen=True, slots=True)
class Record:
    """One record, and where it stands."""

    position: int
    """The journal's position after it: the first record's is 1."""

    term: int
    data: bytes


class Examination:
    """What is in a journal's directory; a context manager.

    Parameters
    ----------
    directory
        Where the journal is.

    Raises
    ------
    StoreError
        There is no journal, or one of another program or version.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory.resolve() / JOURNAL
        self.problems: list[str] = []
        """What is wrong, as far as it was looked at."""

        self.log: Log | None = None
        """How the write-ahead log ends; None where a running server is writing it."""

        self.head: tables.Head | None = None
        self.snapshot: tables.Named | None = None
        self.parts: tuple[bytes, ...] = ()
        """The snapshot's, where it is whole."""

        if not self._path.is_file():
            raise StoreError(f"there is no {JOURNAL} in {directory}: give a journal's directory.")
        with ExitStack() as opened:
            try:
                opened.enter_context(closing(Claim(directory)))
                wal = directory / WAL
                self.log = survey(wal.read_bytes() if wal.exists() else b"")
                self._note(self.log.problem)
            except StoreInUse:
                self.log = None
            self._db = opened.enter_context(
                closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True))
            )
            self._look()
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def commits(self) -> Iterator[Commit]:
        """Yield the commits that hold, in order, up to the first that does not."""
        if self.head is None:
            return
        try:
            yield from tables.commits(self._path, self._db, self.head)
        except StoreDamaged as error:
            self._note(error.flaw)
        except sqlite3.Error as error:
            self._note(f"{self._path}: {error}")

    def records(self) -> Iterator[Record]:
        """Yield the records of `commits`."""
        for commit in self.commits():
            first = commit.position - commit.count
            for number, data in enumerate(unpack(commit), 1):
                yield Record(first + number, commit.term, data)

    def digest(self) -> str:
        """Return a SHA-256 of the snapshot's parts and of the records after it, in order.

        It is the same before and after a compaction only where the snapshot is.
        """
        total = hashlib.sha256()
        for part in self.parts:
            total.update(len(part).to_bytes(8, "little") + part)
        position = self.snapshot.position if self.snapshot else 0
        for record in self.records():
            if record.position > position:
                total.update(len(record.data).to_bytes(8, "little") + record.data)
        return total.hexdigest()

    def _look(self) -> None:
        try:
            tables.check_format(self._path, self._db)
            self._db.execute("BEGIN")  # from here on one moment of it
            self.head = tables.head(self._path, self._db)
            self.snapshot = tables.named(self._db)
            for (line,) in self._db.execute("PRAGMA quick_check(3)"):
                self._note(None if line == "ok" else f"{self._path}: {line}")
        except StoreDamaged as error:
            self._note(error.flaw)
        except sqlite3.Error as error:
            self._note(f"{self._path}: {error}")
        if self.snapshot is None:
            return
        file, *expected = self.snapshot
        try:
            self.parts = snapshots.read(self._directory / file, *expected)
        except StoreDamaged as error:
            self._note(error.flaw)

    def _note(self, problem: str | None) -> None:
        if problem is not None:
            self.problems.append(problem)
