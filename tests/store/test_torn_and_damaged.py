"""What a crash leaves is recovered; what a crash cannot leave is refused and left as it is."""

import hashlib
import logging
import os
import shutil
import sqlite3
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidereal.errors import StoreDamaged, StoreError, StoreFailed
from sidereal.store import SqliteStore, tables
from sidereal.store.commits import Mark, flaw, seal
from sidereal.store.directory import JOURNAL, WAL
from sidereal.store.examine import Examination
from sidereal.store.wal import survey
from store.opening import crash

COMMITS = [[b"one", b"two"], [bytes(1300), b"x" * 700], [b"last", b"y" * 600, b"of all"]]
RECORDS = [record for commit in COMMITS for record in commit]
ALL_BUT_LAST = tuple(RECORDS[:-3])


class Life:
    """A store of three commits that dies, as files; and where its log's last commit begins."""

    def __init__(self, home: Path) -> None:
        self.home = home
        store = SqliteStore(home / "lived")
        term = store.acquire_term()
        for commit in COMMITS[:-1]:
            store.commit(term, commit)
        self.before = (store.directory / WAL).stat().st_size
        store.commit(term, COMMITS[-1])
        self.dead = crash(store, home / "dead")
        store.close()
        self.log = (self.dead / WAL).read_bytes()
        self.tries = 0

    def with_log(self, log: bytes) -> Path:
        """Its directory, with another log: hard links make it cheap, and nothing writes to them."""
        self.tries += 1
        directory = self.home / f"try-{self.tries}"
        directory.mkdir()
        (directory / JOURNAL).write_bytes((self.dead / JOURNAL).read_bytes())
        (directory / WAL).write_bytes(log)
        return directory


@pytest.fixture
def life(ram: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    monkeypatch.setattr(tables, "PAGE_BYTES", 512)  # few bytes, and each of them is tried
    return Life(ram)


def load(directory: Path) -> tuple[bytes, ...]:
    store = SqliteStore(directory)
    try:
        return store.load().records
    finally:
        store.close()


def content(directory: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.iterdir()
        if path.name.startswith((JOURNAL, "snapshot")) and not path.name.endswith("-shm")
    }


def test_a_log_cut_at_any_byte_of_its_last_commit_loses_that_commit_whole_and_says_so(
    life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    assert load(life.with_log(life.log)) == tuple(RECORDS)
    assert len(life.log) - life.before > 3 * 512
    for cut in range(life.before, len(life.log)):
        caplog.clear()
        assert load(life.with_log(life.log[:cut])) == ALL_BUT_LAST
        said = [line for line in caplog.messages if "never finished: dropped" in line]
        assert len(said) == (cut > life.before), cut


def test_a_torn_commit_is_gone_for_good_and_the_next_takes_its_place(life: Life) -> None:
    directory = life.with_log(life.log[:-1])
    store = SqliteStore(directory)
    term = store.acquire_term()
    assert store.commit(term, [b"instead"]) == len(ALL_BUT_LAST) + 1
    again = crash(store, life.home / "again")
    store.close()
    assert load(directory) == load(again) == (*ALL_BUT_LAST, b"instead")


def test_a_commit_with_a_page_that_never_reached_the_disk_is_dropped(
    life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    frame = 24 + 512
    for at in range(life.before, len(life.log), frame):
        caplog.clear()
        log = life.log[:at] + bytes(frame) + life.log[at + frame :]
        assert load(life.with_log(log)) == ALL_BUT_LAST
        if at > life.before or len(life.log) > at + frame:
            assert "never finished" in caplog.text


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_no_bit_that_flips_makes_the_store_lie(life: Life, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(life.log) - 1))
    flipped = bytearray(life.log)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    directory = life.with_log(bytes(flipped))
    before = content(directory)
    try:
        assert load(directory) == ALL_BUT_LAST
        assert at >= life.before, "a finished commit was dropped"
    except StoreDamaged:
        assert content(directory) == before, "a damaged journal was changed"


def test_no_bit_of_a_finished_commit_flips_unseen(life: Life) -> None:
    frame = 24 + 512
    for at in range(32, life.before):
        in_header = (at - 32) % frame < 24
        for bit in range(8) if in_header else [at % 8]:
            flipped = bytearray(life.log)
            flipped[at] ^= 1 << bit
            assert survey(bytes(flipped)).problem, (at, bit)


def test_no_header_in_a_short_log_is_taken_for_a_page_that_was_never_written(ram: Path) -> None:
    store = SqliteStore(ram / "data")
    term = store.acquire_term()
    store.commit(term, [b"only"])
    log = (store.directory / WAL).read_bytes()
    store.close()
    assert survey(log).problem is None
    for at in range(32, 32 + 24):
        for bit in range(8):
            flipped = bytearray(log)
            flipped[at] ^= 1 << bit
            assert survey(bytes(flipped)).problem, (at, bit)


def test_no_page_of_a_finished_commit_goes_missing_unseen(life: Life) -> None:
    frame = 24 + 512
    for at in range(32, life.before, frame):
        hole = life.log[:at] + bytes(frame) + life.log[at + frame :]
        found = survey(hole)
        assert found.problem or found.held_bytes >= life.before, at
        for cut in range(life.before + frame, len(life.log), frame):
            found = survey(hole[:cut])
            assert found.problem or found.held_bytes >= life.before, (at, cut)


@pytest.mark.parametrize("place", ["first commit", "commit before the last", "header"])
def test_damage_in_the_middle_is_refused(life: Life, place: str) -> None:
    size = {"first commit": 600, "commit before the last": life.before - 100, "header": 9}
    at = size[place]
    directory = life.with_log(life.log[:at] + bytes([life.log[at] ^ 1]) + life.log[at + 1 :])
    before = content(directory)
    with pytest.raises(StoreDamaged, match="write-ahead log") as refused:
        SqliteStore(directory)
    assert "Nothing was changed" in str(refused.value)
    with Examination(directory) as found:
        assert any("write-ahead log" in problem for problem in found.problems)
    assert content(directory) == before


def test_any_damage_to_the_database_is_refused_or_does_no_harm(ram: Path) -> None:
    store = SqliteStore(ram / "data")
    term = store.acquire_term()
    for number in range(20):
        store.commit(term, [bytes([number]) * 3000])
    expected = store.load().records
    store.close()
    whole = (ram / "data" / JOURNAL).read_bytes()
    changed = refused = 0
    for at in range(0, len(whole), 211):
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        (ram / "data" / JOURNAL).write_bytes(damaged)
        try:
            assert load(ram / "data") == expected, at
        except StoreError:
            refused += 1
        changed += 1
    assert refused >= changed * 20 * 3000 // len(whole), "less than the rows alone"


def test_a_snapshot_that_is_damaged_cut_or_gone_is_refused(ram: Path) -> None:
    store = SqliteStore(ram / "data")
    term = store.acquire_term()
    store.commit(term, [b"a", b"b"])
    store.snapshot(term, 2, [b"state" * 20, b"", b"more"])
    store.compact(term)
    store.close()
    (path,) = (ram / "data").glob("snapshot-*")
    whole = path.read_bytes()
    assert load(ram / "data") == ()
    for at in range(len(whole)):
        flipped = whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :]
        for other in (whole[:at], flipped, whole + b"!"):
            path.write_bytes(other)
            with pytest.raises(StoreDamaged, match=path.name):
                load(ram / "data")
    path.unlink()
    with pytest.raises(StoreDamaged, match="cannot be read"):
        load(ram / "data")


def test_a_row_that_is_missing_is_refused(ram: Path) -> None:
    for number, position in enumerate((1, 2, 3)):
        store = SqliteStore(ram / str(number))
        term = store.acquire_term()
        for record in (b"a", b"b", b"c"):
            store.commit(term, [record])
        store._db.execute("DELETE FROM commits WHERE position = ?", (position,))
        with pytest.raises(StoreDamaged, match="position"):
            store.load()
        store.close()


def test_a_head_that_was_changed_is_refused(ram: Path) -> None:
    for column in ("term", "position", "base_position"):
        store = SqliteStore(ram / column)
        term = store.acquire_term()
        store.commit(term, [b"a"])
        store._db.execute(f"UPDATE head SET {column} = {column} + 1")
        for attempt in (store.load, partial(store.commit, term, []), store.acquire_term):
            with pytest.raises(StoreDamaged, match="head"):
                attempt()
        store.close()


def test_a_commit_in_the_place_of_another_shows_at_the_next(ram: Path) -> None:
    first, other = seal(Mark(), 1, [b"first"]), seal(Mark(), 1, [b"other"])
    second = seal(first.mark, 1, [b"second"])
    assert flaw(first.mark, second) is None
    assert "checksum" in str(flaw(other.mark, second))


def test_the_walk_through_the_log_agrees_with_sqlite_on_every_log(ram: Path) -> None:
    store = SqliteStore(ram / "data")
    term = store.acquire_term()
    path = store.directory / WAL
    for size in (0, 10, 20_000, 5_000_000, 3):
        store.commit(term, [os.urandom(size)])
        found = survey(path.read_bytes())
        _, frames, _ = store._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        assert (found.frames, found.torn_bytes, found.problem) == (frames, 0, None)
    store.close()


def test_a_journal_of_a_newer_format_is_refused(ram: Path) -> None:
    store = SqliteStore(ram / "data")
    store._db.execute(f"PRAGMA user_version = {tables.FORMAT + 1}")
    store.close()
    with pytest.raises(StoreError, match=f"format {tables.FORMAT + 1}.*newer one"):
        SqliteStore(ram / "data")
    with pytest.raises(StoreError, match=f"format {tables.FORMAT + 1}"):
        Examination(ram / "data")


def test_foreign_files_are_refused_and_left_as_they_are(ram: Path) -> None:
    (ram / "notes").mkdir()
    (ram / "notes" / "diary.txt").write_text("dear diary")
    with pytest.raises(StoreError, match=r"diary\.txt.*empty directory"):
        SqliteStore(ram / "notes")
    (ram / "other").mkdir()
    db = sqlite3.connect(ram / "other" / JOURNAL)
    db.execute("CREATE TABLE songs (name)")
    db.close()
    before = content(ram / "other")
    with pytest.raises(StoreError, match="not a journal of Sidereal's"):
        SqliteStore(ram / "other")
    assert content(ram / "other") == before
    (ram / "text").mkdir()
    (ram / "text" / JOURNAL).write_text("these are not the bytes of a database" * 100)
    with pytest.raises(StoreFailed, match="not a database"):
        SqliteStore(ram / "text")


def test_a_journal_without_its_database_is_not_begun_anew(ram: Path) -> None:
    store = SqliteStore(ram / "data")
    term = store.acquire_term()
    store.snapshot(term, 0, [b"x"])
    store.close()
    (ram / "data" / JOURNAL).unlink()
    with pytest.raises(StoreError, match="snapshot-1-1"):
        SqliteStore(ram / "data")


def test_a_journal_that_was_half_made_is_made_anew(ram: Path) -> None:
    (ram / "data").mkdir()
    (ram / "data" / f"{JOURNAL}.new").write_bytes(b"half")
    (ram / "data" / f"{JOURNAL}.new-journal").write_bytes(b"half")
    assert load(ram / "data") == ()


def test_only_one_process_has_a_directory_and_the_other_is_named(ram: Path) -> None:
    store = SqliteStore(ram / "data")
    with pytest.raises(StoreError, match=f"in use by process {os.getpid()}: stop that one"):
        SqliteStore(ram / "data")
    store.close()
    assert load(ram / "data") == ()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_journal_that_is_taken_away_under_a_server_stops_it(ram: Path, replaced: bool) -> None:
    store = SqliteStore(ram / "data")
    term = store.acquire_term()
    store.commit(term, [b"a"])
    (ram / "data").rename(ram / "moved")
    if replaced:
        shutil.copytree(ram / "moved", ram / "data")
    with pytest.raises(StoreFailed, match="cannot commit"):
        store.commit(term, [b"b"])
    with pytest.raises(StoreFailed, match="start again"):
        store.commit(term, [])
    store.close()


def test_a_look_changes_nothing_and_sees_what_a_server_has(
    life: Life, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    torn = life.with_log(life.log[:-7])
    before = content(torn)
    with Examination(torn) as found:
        assert [record.data for record in found.records()] == list(ALL_BUT_LAST)
        assert found.problems == []
        assert found.log is not None
        assert found.log.torn_bytes > 0
    assert content(torn) == before
    store = SqliteStore(torn)
    term = store.acquire_term()
    store.commit(term, [b"z"])
    with Examination(torn) as found:
        assert [record.data for record in found.records()] == [*ALL_BUT_LAST, b"z"]
        assert (found.problems, found.log) == ([], None)
        store.commit(term, [b"meanwhile"])
        assert len(list(found.records())) == len(ALL_BUT_LAST) + 1
    store.close()
