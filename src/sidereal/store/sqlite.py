"""A store in one directory, kept by SQLite: a row for each commit, in write-ahead mode.

A snapshot is a file of its own, and counts from the transaction that names it on. Every
transaction looks at the term first, so a deposed leader can change nothing. What SQLite
promises here and what it does not: docs/decisions/store.md.
"""

import errno
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from sidereal.errors import Deposed, StoreDamaged, StoreFailed
from sidereal.store import snapshots, tables
from sidereal.store.commits import Mark, after, seal
from sidereal.store.directory import JOURNAL, WAL, Claim, is_new, sync
from sidereal.store.face import Loaded
from sidereal.store.turns import Turns
from sidereal.store.wal import survey
from sidereal.store.words import check_position, deposed

log = logging.getLogger("sidereal.store")

PIECE_BYTES = 4 * 1024 * 1024
"""A compaction drops so much at a time: a commit waits for one piece, not for all."""

BUSY_S = 5.0
"""How long a commit waits for a tool that looks at the journal."""


class SqliteStore:
    """A journal in a directory; a `Store`. Its methods may be called from several threads.

    Parameters
    ----------
    directory
        Made where it does not exist. One process at a time has it. A commit that was never
        finished is dropped, and the log says so.

    Raises
    ------
    StoreError
        In use, foreign, of a newer version, or damaged: what, and what to do.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._path = directory / JOURNAL
        self._failed: str | None = None
        self._turns = Turns()
        self._snapshots = 0
        with ExitStack() as undo:
            self._claim = undo.enter_context(closing(Claim(directory)))
            with self._naming("open the journal"):
                if is_new(directory):
                    _create(directory)
                _recover(directory)
                self._db = undo.enter_context(closing(_connect(self._path)))
                # A second one, so that commits go on while it moves pages.
                self._mover = undo.enter_context(closing(_connect(self._path)))
                self._settle()
                self._inode = self._path.stat().st_ino
                self._clean()
            self._opened = undo.pop_all()

    def acquire_term(self) -> int:
        """See `Store.acquire_term`."""
        with self._transaction("take the leadership"):
            head = tables.head(self._path, self._db)
            tables.write_head(self._db, head._replace(term=head.term + 1))
        return head.term + 1

    def commit(self, term: int, records: Sequence[bytes]) -> int:
        """See `Store.commit`."""
        if not records:
            with self._working("check the term"):
                return self._fenced(term).end.position
        with self._transaction("commit"):
            head = self._fenced(term)
            commit = seal(head.end, term, records)
            self._db.execute(
                "INSERT INTO commits (position, term, count, checksum, body) "
                "VALUES (?, ?, ?, ?, ?)",
                (commit.position, term, commit.count, commit.checksum, commit.body),
            )
            tables.write_head(self._db, head._replace(end=commit.mark))
        return commit.position

    def snapshot(self, term: int, position: int, parts: Sequence[bytes]) -> None:
        """See `Store.snapshot`. Commits go on while the file is written."""
        with self._working("begin a snapshot"):
            head, older = self._fenced(term), tables.named(self._db)
            check_position(position, older.position if older else 0, head.end.position)
            self._snapshots += 1
            path = self.directory / f"snapshot-{term}-{self._snapshots}"
        with self._naming("write a snapshot"):
            checksum = snapshots.write(path, term, position, parts)
        try:
            with self._transaction("name a snapshot"):
                self._fenced(term)
                self._db.execute(
                    "INSERT OR REPLACE INTO snapshot (only, file, term, position, checksum) "
                    "VALUES (1, ?, ?, ?, ?)",
                    (path.name, term, position, checksum),
                )
        except Deposed:
            path.unlink(missing_ok=True)
            raise
        with self._naming("remove an old snapshot"):
            if older:
                (self.directory / older.file).unlink(missing_ok=True)

    def compact(self, term: int) -> None:
        """See `Store.compact`. Commits have their turn between its pieces."""
        more = True
        while more:
            more = self._drop_piece(term)
        with self._naming("move what the write-ahead log holds"):
            for _ in range(2):  # the second time what was committed during the first
                self._mover.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        # What came since is little. Once all is moved, the log begins again.
        with self._working("move the rest of the write-ahead log"):
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def _drop_piece(self, term: int) -> bool:
        """Drop the oldest commits that the snapshot covers; say whether there are more."""
        with self._transaction("compact"):
            head, named = self._fenced(term), tables.named(self._db)
            size, last = 0, None
            for position, checksum, length in self._db.execute(
                "SELECT position, checksum, length(body) FROM commits WHERE position <= ? "
                "ORDER BY position",
                (named.position if named else 0,),
            ):
                size, last = size + length, Mark(position, checksum)
                if size >= PIECE_BYTES:
                    break
            if last:
                self._db.execute("DELETE FROM commits WHERE position <= ?", (last.position,))
                tables.write_head(self._db, head._replace(base=last))
            return size >= PIECE_BYTES

    def load(self) -> Loaded:
        """See `Store.load`."""
        with self._working("load"):
            head, named = tables.head(self._path, self._db), tables.named(self._db)
            position = named.position if named else 0
            if position < head.base.position:
                raise StoreDamaged(
                    str(self._path),
                    f"records are kept from position {head.base.position} on, but the snapshot "
                    f"is of {position}",
                )
            records = after(position, tables.commits(self._path, self._db, head))
            parts = None
            if named:
                parts = snapshots.read(
                    self.directory / named.file, named.term, named.position, named.checksum
                )
            return Loaded(head.term, parts, position, records)

    def close(self) -> None:
        """See `Store.close`."""
        with self._turns:
            self._failed = self._failed or f"the journal in {self.directory} is closed"
            self._opened.close()

    def _fenced(self, term: int) -> tables.Head:
        """The head, if `term` still leads and the journal is still in its place."""
        if self._path.stat().st_ino != self._inode:
            raise OSError(errno.ESTALE, "it was replaced while this process had it open")
        head = tables.head(self._path, self._db)
        if head.term != term:
            raise deposed(term, head.term)
        return head

    def _settle(self) -> None:
        """Write what was found in the log anew, to the other file, and make it durable there.

        The process before may have died before it was, or because it could not be.
        """
        busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StoreFailed(
                f"another program is reading {self._path}: end it, then start this one again"
            )

    def _clean(self) -> None:
        """Remove what was not finished, and snapshots that the journal no longer names."""
        named = tables.named(self._db)
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
                raise  # it may be in any state: nothing more is done with this connection
            except Exception:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def _working(self, doing: str) -> Iterator[None]:
        """Have the connection alone."""
        with self._turns, self._naming(doing):
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


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
    try:
        tables.check_format(path, db)
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = OFF")  # or each row dropped is written once more
        db.execute("PRAGMA wal_autocheckpoint = 0")  # `compact` does it, beside the commits
    except BaseException:
        db.close()
        raise
    return db


def _create(directory: Path) -> None:
    """Make an empty journal, all or nothing."""
    for left in directory.glob(f"{JOURNAL}.new*"):
        left.unlink()
    unfinished = directory / f"{JOURNAL}.new"
    db = sqlite3.connect(unfinished, isolation_level=None)
    tables.create(db)
    db.close()
    unfinished.rename(directory / JOURNAL)
    sync(directory)


def _recover(directory: Path) -> None:
    """See how the write-ahead log ends, before SQLite does; it drops all that does not hold.

    Raises
    ------
    StoreError
        It is damaged, not torn.
    """
    path = directory / WAL
    found = survey(path.read_bytes()) if path.exists() else survey(b"")
    if found.problem:
        raise StoreDamaged(str(path), found.problem)
    if found.torn_bytes:
        log.warning(
            "%s ends in %d bytes of a commit that was never finished: dropped",
            path,
            found.torn_bytes,
        )


def _remedy(what: str, error: Exception) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) == errno.ENOSPC:
        advice = "The disk is full: make room, then start again"
    elif code == sqlite3.SQLITE_BUSY:
        advice = "Another program holds the journal: end it, then start again"
    elif code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        advice = (
            "The journal is damaged: `sidereal journal verify` shows how far it reads; put a "
            "good copy in its place, or begin with another directory"
        )
    else:
        advice = "Look at the disk and the system's log, then start again"
    return f"{what}. {advice}."
