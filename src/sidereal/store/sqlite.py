"""A store in one directory, kept by SQLite: a row for each commit, in write-ahead mode.

A snapshot is a file of its own, and counts from the transaction that names it on. Every
transaction looks at the term first, so a deposed leader can change nothing. What SQLite
promises here and what it does not: docs/decisions/store.md.
"""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from sidereal.errors import Deposed, StoreError, StoreFailed
from sidereal.store import snapshots
from sidereal.store.commits import Commit, Mark, after, flaw, seal
from sidereal.store.directory import JOURNAL, Claim, is_new, sync
from sidereal.store.face import Loaded
from sidereal.store.words import check_position, damaged, deposed

log = logging.getLogger("sidereal.store")

APPLICATION_ID = 0x53494452
"""``SIDR``: tells our files from any other program's."""

FORMAT = 1
"""The form of the tables below and of what is in them; see docs/decisions/store.md."""

PAGE_BYTES = 16_384
"""Large rows in few pages; a small commit still writes only two of them."""

BUSY_S = 5.0
"""How long a commit waits for a tool that looks at the journal."""

_TABLES = """
CREATE TABLE head (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    term INTEGER NOT NULL,
    position INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    base_position INTEGER NOT NULL,
    base_checksum INTEGER NOT NULL
);
CREATE TABLE commits (
    position INTEGER PRIMARY KEY,
    term INTEGER NOT NULL,
    count INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE snapshot (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    file TEXT NOT NULL,
    term INTEGER NOT NULL,
    position INTEGER NOT NULL,
    checksum INTEGER NOT NULL
);
INSERT INTO head VALUES (1, 0, 0, 0, 0, 0);
"""


class _Head(NamedTuple):
    term: int
    position: int
    checksum: int
    base_position: int
    base_checksum: int


class _Named(NamedTuple):
    file: str
    term: int
    position: int
    checksum: int


class SqliteStore:
    """A journal in a directory; a `Store`. Its methods may be called from several threads.

    Parameters
    ----------
    directory
        Made where it does not exist. One process at a time has it.

    Raises
    ------
    StoreError
        In use, foreign, of a newer version, or damaged: what, and what to do.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._failed: str | None = None
        self._lock = Lock()
        self._snapshots = 0
        self._claim = Claim(directory)
        try:
            if is_new(directory):
                _create(directory)
            self._db = _open(directory)
            self._clean()
        except BaseException:
            self._claim.release()
            raise

    def acquire_term(self) -> int:
        """See `Store.acquire_term`."""
        with self._transaction("take the leadership"):
            term = self._head().term + 1
            self._db.execute("UPDATE head SET term = ?", (term,))
        return term

    def commit(self, term: int, records: Sequence[bytes]) -> int:
        """See `Store.commit`."""
        if not records:
            with self._working("check the term"):
                return self._fenced(term).position
        with self._transaction("commit"):
            head = self._fenced(term)
            commit = seal(Mark(head.position, head.checksum), term, records)
            self._db.execute(
                "INSERT INTO commits VALUES (?, ?, ?, ?, ?)",
                (commit.position, term, commit.count, commit.checksum, commit.body),
            )
            self._db.execute(
                "UPDATE head SET position = ?, checksum = ?", (commit.position, commit.checksum)
            )
        return commit.position

    def snapshot(self, term: int, position: int, parts: Sequence[bytes]) -> None:
        """See `Store.snapshot`. Commits go on while the file is written."""
        with self._working("begin a snapshot"):
            head, older = self._fenced(term), self._named()
            check_position(position, older.position if older else 0, head.position)
            self._snapshots += 1
            path = self.directory / f"snapshot-{term}-{self._snapshots}"
        with self._naming("write a snapshot"):
            checksum = snapshots.write(path, term, position, parts)
        try:
            with self._transaction("name a snapshot"):
                self._fenced(term)
                self._db.execute(
                    "INSERT OR REPLACE INTO snapshot VALUES (1, ?, ?, ?, ?)",
                    (path.name, term, position, checksum),
                )
        except Deposed:
            path.unlink(missing_ok=True)
            raise
        with self._naming("remove an old snapshot"):
            if older:
                (self.directory / older.file).unlink(missing_ok=True)

    def compact(self, term: int) -> None:
        """See `Store.compact`."""
        with self._transaction("compact"):
            self._fenced(term)
            named = self._named()
            last = self._db.execute(
                "SELECT position, checksum FROM commits WHERE position <= ? "
                "ORDER BY position DESC LIMIT 1",
                (named.position if named else 0,),
            ).fetchone()
            if last:
                self._db.execute("UPDATE head SET base_position = ?, base_checksum = ?", last)
                self._db.execute("DELETE FROM commits WHERE position <= ?", last[:1])

    def load(self) -> Loaded:
        """See `Store.load`."""
        with self._working("load"):
            head, named = self._head(), self._named()
            before = Mark(head.base_position, head.base_checksum)
            commits = []
            for row in self._db.execute("SELECT * FROM commits ORDER BY position"):
                commit = Commit(*row)
                if problem := flaw(before, commit):
                    raise damaged(str(self.directory / JOURNAL), problem)
                commits.append(commit)
                before = commit.mark
            if before != Mark(head.position, head.checksum):
                raise damaged(
                    str(self.directory / JOURNAL),
                    f"it ends at position {before.position}, not at {head.position}",
                )
            if named is None:
                return Loaded(head.term, None, 0, after(0, commits))
            parts = snapshots.read(
                self.directory / named.file, named.term, named.position, named.checksum
            )
            return Loaded(head.term, parts, named.position, after(named.position, commits))

    def close(self) -> None:
        """See `Store.close`."""
        with self._lock:
            self._failed = self._failed or f"the journal in {self.directory} is closed"
            self._db.close()
            self._claim.release()

    def _head(self) -> _Head:
        row = self._db.execute(
            "SELECT term, position, checksum, base_position, base_checksum FROM head"
        ).fetchone()
        if row is None:
            raise damaged(str(self.directory / JOURNAL), "its head is missing")
        return _Head(*row)

    def _fenced(self, term: int) -> _Head:
        head = self._head()
        if head.term != term:
            raise deposed(term, head.term)
        return head

    def _named(self) -> _Named | None:
        row = self._db.execute("SELECT file, term, position, checksum FROM snapshot").fetchone()
        return _Named(*row) if row else None

    def _clean(self) -> None:
        """Remove what was not finished, and snapshots that the journal no longer names."""
        named = self._named()
        for path in self.directory.iterdir():
            stale = path.name.startswith("snapshot-") and (not named or path.name != named.file)
            if stale or path.suffix == ".new":
                path.unlink(missing_ok=True)

    @contextmanager
    def _transaction(self, doing: str) -> Iterator[None]:
        """All or nothing, durable at the end. Being deposed or refused leaves it undone."""
        with self._working(doing):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except (sqlite3.Error, OSError):
                raise
            except Exception:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def _working(self, doing: str) -> Iterator[None]:
        """Have the connection alone."""
        with self._lock, self._naming(doing):
            yield

    @contextmanager
    def _naming(self, doing: str) -> Iterator[None]:
        """Turn what the system says into what to do; from then on this store is of no use."""
        if self._failed is not None:
            raise StoreFailed(f"{self._failed}: this process has to start again")
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            self._failed = f"cannot {doing} in {self.directory}: {error}"
            raise StoreFailed(_remedy(self._failed, error)) from error


def _create(directory: Path) -> None:
    """Make an empty journal, all or nothing."""
    unfinished = directory / f"{JOURNAL}.new"
    unfinished.unlink(missing_ok=True)
    db = sqlite3.connect(unfinished, isolation_level=None)
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {FORMAT}")
    db.execute("PRAGMA synchronous = FULL")
    db.executescript(_TABLES)
    db.close()
    unfinished.rename(directory / JOURNAL)
    sync(directory)


def _open(directory: Path) -> sqlite3.Connection:
    path = directory / JOURNAL
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
    try:
        check_format(path, db)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error as error:
        db.close()
        raise damaged(str(path), str(error)) from error
    except StoreError:
        db.close()
        raise
    return db


def check_format(path: Path, db: sqlite3.Connection) -> None:
    """Refuse what is not ours, or newer than we are."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise StoreError(f"{path} is not a journal of Sidereal's: give another directory.")
    if version != FORMAT:
        raise StoreError(
            f"{path} has format {version}, and this Sidereal reads {FORMAT}: install the "
            "version that wrote it, or a newer one, or give another directory."
        )


def _remedy(what: str, error: Exception) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) == 28:
        advice = "The disk is full: make room, then start again"
    elif code == sqlite3.SQLITE_BUSY:
        advice = "Another program holds the journal: end it, then start again"
    elif code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        advice = "The journal is damaged: look at it with `sidereal journal verify`"
    else:
        advice = "Look at the disk and the system's log, then start again"
    return f"{what}. {advice}. Nothing that was acknowledged is lost."
