"""The tables of a journal in SQLite, and reading them: by a store, and by whoever examines one.

``head`` has one row: who leads, where the chain of commits ends, and where it begins since
older ones were dropped. ``commits`` has a row for each commit. ``snapshot`` has at most one
row: the file that counts.
"""

import sqlite3
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sidereal.errors import StoreDamaged, StoreError
from sidereal.store.commits import Commit, Mark, flaw

APPLICATION_ID = 0x53494452
"""``SIDR``: tells our files from any other program's."""

FORMAT = 1
"""The form of the tables and of what is in them; docs/decisions/store.md tells its history."""

PAGE_BYTES = 16_384
"""Large rows in few pages; a small commit still writes only two or three of them."""

_TABLES = """
CREATE TABLE head (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    term INTEGER NOT NULL,
    position INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    base_position INTEGER NOT NULL,
    base_checksum INTEGER NOT NULL,
    seal INTEGER NOT NULL
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
"""
_HEAD = struct.Struct("<QQIQI")


class Head(NamedTuple):
    """Who leads, and the two ends of the chain of commits."""

    term: int
    end: Mark
    base: Mark

    @property
    def row(self) -> tuple[int, ...]:
        """Its columns, the checksum of them all last."""
        columns = (self.term, *self.end, *self.base)
        return (*columns, zlib.crc32(_HEAD.pack(*columns)))


class Named(NamedTuple):
    """The snapshot that counts."""

    file: str
    term: int
    position: int
    checksum: int


def create(db: sqlite3.Connection) -> None:
    """Make an empty journal in an empty file."""
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {FORMAT}")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(_TABLES)
    db.execute("INSERT INTO head VALUES (1, ?, ?, ?, ?, ?, ?)", Head(0, Mark(), Mark()).row)


def check_format(path: Path, db: sqlite3.Connection) -> None:
    """Refuse what is not ours, or of another version.

    Raises
    ------
    StoreError
        What it is, and what to do.
    """
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise StoreError(f"{path} is not a journal of Sidereal's: give another directory.")
    if version != FORMAT:
        raise StoreError(
            f"{path} has format {version}, and this Sidereal reads format {FORMAT}: use the "
            "version that wrote it, or a newer one, or give another directory."
        )


def head(path: Path, db: sqlite3.Connection) -> Head:
    """Read the head.

    Raises
    ------
    StoreError
        It is missing, or does not have its checksum.
    """
    row = db.execute(
        "SELECT term, position, checksum, base_position, base_checksum, seal FROM head"
    ).fetchone()
    found = Head(row[0], Mark(*row[1:3]), Mark(*row[3:5])) if row else None
    if found is None or found.row != row:
        raise StoreDamaged(str(path), "its head is missing or does not have its checksum")
    return found


def write_head(db: sqlite3.Connection, new: Head) -> None:
    """Change the head, within a transaction."""
    db.execute(
        "UPDATE head SET term = ?, position = ?, checksum = ?, base_position = ?, "
        "base_checksum = ?, seal = ?",
        new.row,
    )


def named(db: sqlite3.Connection) -> Named | None:
    """Read which snapshot counts."""
    row = db.execute("SELECT file, term, position, checksum FROM snapshot").fetchone()
    return Named(*row) if row else None


def commits(path: Path, db: sqlite3.Connection, of: Head) -> Iterator[Commit]:
    """Read the commits in order, each held against its checksum and the one before it.

    Raises
    ------
    StoreError
        At the first that is damaged or missing.
    """
    before = of.base
    for row in db.execute("SELECT position, term, count, checksum, body FROM commits ORDER BY 1"):
        commit = Commit(*row)
        if problem := flaw(before, commit):
            raise StoreDamaged(str(path), problem)
        yield commit
        before = commit.mark
    if before != of.end:
        raise StoreDamaged(
            str(path), f"its commits end at position {before.position}, not at {of.end.position}"
        )
