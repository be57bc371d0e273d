"""``sidereal journal``: what it says of a whole journal and of a damaged one."""

import zlib
from pathlib import Path

import pytest

from sidereal.apps import describe as described
from sidereal.apps.cli import main
from sidereal.store import SqliteStore
from sidereal.store.directory import JOURNAL

FIRST = b"\x07first"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    store = SqliteStore(tmp_path / "data")
    term = store.acquire_term()
    store.commit(term, [FIRST, b"second"])
    store.snapshot(term, 1, [b"state", b"of it"])
    store.commit(term, [b""])
    store.close()
    return tmp_path / "data"


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main(["journal", *words])
    return status, *capsys.readouterr()


def test_show_lists_each_record_with_its_position_size_and_checksum(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(described, "describe", lambda record: f"<{record!r}>")
    status, out, _ = said(["show", str(directory)], capsys)
    assert status == 0
    assert [line.split(maxsplit=4) for line in out.splitlines()[1:]] == [
        ["1", "1", "6", f"{zlib.crc32(FIRST):08x}", f"<{FIRST!r}>"],
        ["2", "1", "6", f"{zlib.crc32(b'second'):08x}", "<b'second'>"],
        ["3", "1", "0", "00000000", "<b''>"],
    ]
    _, out, _ = said(["show", str(directory), "--after", "2"], capsys)
    assert out.splitlines()[1:] == ["       3     1          0  00000000  <b''>"]


def test_verify_sums_up_and_its_status_says_whether_all_holds(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = said(["verify", str(directory)], capsys)
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "term 1, position 3",
        "snapshot-1-1: of position 1, 2 parts, 10 bytes",
        "3 records in 2 commits, 24 bytes",
        "write-ahead log: 0 pages",
    ]
    path = directory / JOURNAL
    path.write_bytes(path.read_bytes().replace(b"second", b"sekond"))
    status, out, err = said(["verify", str(directory)], capsys)
    assert status == 1
    assert err.startswith(f"damaged: {path}: the commit after position 0 has checksum")
    (directory / "snapshot-1-1").unlink()
    _, _, err = said(["verify", str(directory)], capsys)
    assert err.count("damaged: ") == 2


def test_a_digest_is_of_the_snapshot_and_of_what_came_after_it(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, before, _ = said(["digest", str(directory)], capsys)
    assert status == 0
    assert len(before.strip()) == 64
    store = SqliteStore(directory)
    term = store.acquire_term()
    store.compact(term)
    assert said(["digest", str(directory)], capsys) == (0, before, ""), "while a server runs"
    store.commit(term, [b"more"])
    store.close()
    assert said(["digest", str(directory)], capsys)[1] != before
    (directory / "snapshot-1-1").write_bytes(b"")
    status, out, _ = said(["digest", str(directory)], capsys)
    assert (status, out) == (1, "")


def test_what_is_no_journal_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = said(["show", str(tmp_path)], capsys)
    assert status == 2
    assert "there is no journal.sqlite" in err
    assert list(tmp_path.iterdir()) == []
