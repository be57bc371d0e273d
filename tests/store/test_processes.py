"""Real processes: killed at any moment, and on disks that fail."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sidereal.store import SqliteStore
from store.writer import batches_in

pytestmark = pytest.mark.processes

HERE = Path(__file__).parent
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts writers, and ends them after the test."""
    started: list[subprocess.Popen[str]] = []

    def make(directory: Path, **environment: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, str(HERE / "writer.py"), str(directory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **environment},
            )
        )
        return started[-1]

    yield make
    for each in started:
        each.kill()
        each.communicate()


@pytest.fixture(scope="module")
def preload(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Makes a library that comes between a process and its disk."""
    home = tmp_path_factory.mktemp("preload")
    compiler = os.environ.get("CXX") or shutil.which("c++") or "g++"

    def make(name: str) -> str:
        library = home / f"{name}.so"
        if not library.exists():
            subprocess.run(
                [compiler, "-std=c++20", "-shared", "-fPIC", "-O1"]
                + [str(HERE / f"{name}.cpp"), "-o", str(library)],
                check=True,
            )
        return str(library)

    return make


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def rest(process: subprocess.Popen[str]) -> list[str]:
    """What it still says until its end."""
    assert process.stdout is not None
    lines = process.stdout.read().splitlines()
    process.wait()
    return lines


def kept(directory: Path) -> int:
    store = SqliteStore(directory)
    try:
        return batches_in(store.load())
    finally:
        store.close()


def acknowledged(lines: list[str]) -> int:
    counts = [int(each.split()[1]) for each in lines if each.startswith(("leads", "committed"))]
    return max(counts, default=0)


def test_every_commit_that_returned_outlives_kill_9_and_none_is_half(
    tmp_path: Path, start: Start
) -> None:
    rng = random.Random(5)
    total = 0
    for _ in range(12):
        process = start(tmp_path / "data")
        assert line(process) == f"leads {total}"
        lines = [line(process) for _ in range(rng.randrange(25))]
        # Somewhere in the middle of what comes next.
        for _ in range(rng.randrange(20_000)):
            os.getpid()
        process.send_signal(signal.SIGKILL)
        said = max(total, acknowledged(lines + rest(process)))
        total = kept(tmp_path / "data")
        assert said <= total <= said + 1
    assert total > 50


@pytest.mark.parametrize(
    ("fault", "words"),
    [("full", "disk is full: make room"), ("fsync", "disk I/O error"), ("broken", "system's log")],
)
def test_a_disk_that_fails_stops_the_process_and_loses_nothing_acknowledged(
    tmp_path: Path, start: Start, preload: Callable[[str], str], fault: str, words: str
) -> None:
    trigger = tmp_path / "fault"
    process = start(tmp_path / "data", LD_PRELOAD=preload("faulty_disk"), FAULT_FILE=str(trigger))
    lines = [line(process) for _ in range(20)]
    trigger.write_text(fault)
    lines += rest(process)
    assert lines[-1].startswith("StoreFailed: cannot "), lines[-1]
    assert words in lines[-1]
    assert "start again" in lines[-1]
    trigger.unlink()
    said = acknowledged(lines)
    assert said <= kept(tmp_path / "data") <= said + 1


@pytest.mark.parametrize("fault", ["full", "fsync", "broken"])
def test_a_start_on_a_disk_that_fails_says_so_and_changes_nothing(
    tmp_path: Path, start: Start, preload: Callable[[str], str], fault: str
) -> None:
    process = start(tmp_path / "data")
    lines = [line(process) for _ in range(20)]
    process.send_signal(signal.SIGKILL)
    lines += rest(process)
    trigger = tmp_path / "fault"
    trigger.write_text(fault)
    failing = start(tmp_path / "data", LD_PRELOAD=preload("faulty_disk"), FAULT_FILE=str(trigger))
    (refusal,) = rest(failing)
    assert refusal.startswith("StoreFailed: cannot open the journal")
    said = acknowledged(lines)
    assert said <= kept(tmp_path / "data") <= said + 1


def test_a_second_process_is_told_who_has_the_directory(tmp_path: Path, start: Start) -> None:
    first = start(tmp_path / "data")
    assert line(first) == "leads 0"
    second = start(tmp_path / "data")
    assert f"in use by process {first.pid}" in line(second)
    assert first.poll() is None


def durable(data: Path, image: Path) -> Path:
    """An image of a directory whose every byte is durable."""
    image.mkdir()
    files = sorted(data.iterdir()) if data.exists() else []
    for path in files:
        shutil.copy(path, image / str(path.stat().st_ino))
    names = "".join(f"{path.stat().st_ino} {path.name}\n" for path in files)
    (image / "names").write_text(names)
    return image


def restored(image: Path, into: Path) -> Path:
    """What a loss of power left: names and contents that had been made durable."""
    into.mkdir()
    for entry in (image / "names").read_text().splitlines():
        inode, _, name = entry.partition(" ")
        content = image / inode
        (into / name).write_bytes(content.read_bytes() if content.exists() else b"")
    return into


def test_every_commit_that_returned_outlives_a_loss_of_power(
    ram: Path, start: Start, preload: Callable[[str], str]
) -> None:
    rng = random.Random(7)
    data, total = ram / "data-0", 0
    for life in range(1, 9):
        image = durable(data, ram / f"image-{life}")
        process = start(
            data,
            LD_PRELOAD=preload("power_loss"),
            POWER_WATCH=str(data),
            POWER_IMAGE=str(image),
        )
        assert line(process) == f"leads {total}"
        lines = [line(process) for _ in range(rng.randrange(1, 60))]
        process.send_signal(signal.SIGKILL)
        said = max(total, acknowledged(lines + rest(process)))
        data = restored(image, ram / f"data-{life}")
        total = kept(data)
        assert said <= total <= said + 1
    assert total > 60
