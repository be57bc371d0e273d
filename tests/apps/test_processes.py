"""Commands as processes: a demo to a clean audit, an interrupt, a kill, and every refusal."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidereal.runtime import keys

pytestmark = pytest.mark.processes

PATIENCE_S = 60
SIDEREAL = [sys.executable, "-m", "sidereal.apps.start"]
SMALL = ["demo", "--entities", "300", "--shards", "2"]
REPORTED = {
    "ok", "seconds", "ticks", "tick_overruns", "entities_peak", "created", "destroyed", "live",
    "lost", "duplicated", "position_error_max", "repeated_ticks", "skipped_ticks",
    "transitions_same_shard", "handoffs", "handoffs_per_s", "handoff_ms", "migrations",
    "migration_freeze_ms", "activations", "deactivations", "updates_per_s", "imbalance",
    "bytes_per_s", "shards", "memory_mb",
}  # fmt: skip


def sidereal(*words: str, at: Path) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*SIDEREAL, *words],
        cwd=at,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def started(*words: str, at: Path) -> subprocess.Popen[str]:
    """Start one command."""
    return subprocess.Popen(
        [*SIDEREAL, *words],
        cwd=at,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line_of(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """Read a process's output up to a line that matches."""
    assert process.stdout is not None
    seen = ""
    while select.select([process.stdout], [], [], PATIENCE_S)[0]:
        line = process.stdout.readline()
        seen += line
        if found := re.search(pattern, line):
            return found
        assert line, f"ended without {pattern!r}: {seen}"
    raise AssertionError(f"nothing like {pattern!r} in {PATIENCE_S} s: {seen}")


def refused(words: list[str], at: Path, *parts: str) -> None:
    """A command ends with status 2 and one line, which holds these parts."""
    done = sidereal(*words, at=at)
    assert done.returncode == 2, done
    last = done.stderr.splitlines()[-1]
    assert last.startswith("sidereal: ")
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in last


def alive(pid: int) -> bool:
    """Whether a process runs (one that is dead and not yet reaped does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A replication server in a directory with keys; its address."""
    keys.create(tmp_path / "keys", ["clients", "admin", "shard:east", "shard:west"])
    process = started("replication", "--listen", "127.0.0.1:0", at=tmp_path)
    try:
        yield line_of(process, r"listening on (127\.0\.0\.1:\d+)")[1]
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, log
        assert "Traceback" not in log


def test_a_demo_ends_with_a_clean_audit_and_its_whole_report(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = sidereal(*SMALL, "--seconds", "4", "--json", str(report), at=tmp_path)
    written = json.loads(report.read_text())
    assert written["ok"], written
    assert done.returncode == 0, done.stderr
    assert set(written) >= REPORTED
    assert written["handoffs"] > 0
    assert (written["lost"], written["duplicated"]) == (0, 0)
    assert not [shard["pid"] for shard in written["shards"] if alive(shard["pid"])]


def test_an_interrupted_demo_ends_every_process_and_still_reports(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    demo = started(*SMALL, "--seconds", "60", "--json", str(report), at=tmp_path)
    line_of(demo, r"handoffs [1-9]")
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=PATIENCE_S)
    written = json.loads(report.read_text())
    assert demo.returncode == 130
    assert not [line for line in written["why_not"] if "arrival" in line]
    assert (written["lost"], written["duplicated"]) == (0, 0)
    assert 0 < written["ticks"] < 60 * 20
    assert len(written["shards"]) == 2
    assert not [shard["pid"] for shard in written["shards"] if alive(shard["pid"])]


def test_a_killed_shard_loses_no_entity(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    words = [*SMALL, "--shards", "3", "--seconds", "10", "--kill-shard", "3"]
    done = sidereal(*words, "--json", str(report), at=tmp_path)
    written = json.loads(report.read_text())
    assert done.returncode == 0, (written["why_not"], done.stderr)
    assert (written["lost"], written["shards_lost"]) == (0, 1)
    assert written["live"] == 300
    assert written["rehomed"]["entities"] > 0
    assert written["rehomed"]["absent_ms"]["p50"] > 0
    assert len(written["shards"]) == 2, "those that are left"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("id,t,x\n1,0,0\n", ["no column", "y"]),
        ("id,t,x,y\n", ["no rows"]),
        ("id,t,x,y\n1,0,0,0\n1,1,nan,0\n", ["row 2 (line 3)", "nan"]),
        ("id,t,x,y\n1,0,0,0\n1,one,0,0\n", ["row 2 (line 3)", "'one'"]),
        ("id,t,x,y\n1,0,0,0\n1,0,5,0\n", ["1"]),
        (
            "id,t,x,y\n1,0,0,0\n1,1,0,-3e15\n",
            ["row 2 (line 3)", "y is -3000000000000000.0", "at most 5.36871e+10"],
        ),
    ],
)
def test_a_trace_that_cannot_be_played_is_one_line(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    trace = tmp_path / "bad.csv"
    trace.write_text(text)
    refused(["demo", "--trace", "bad.csv"], tmp_path, "bad.csv", *parts)


def test_an_unknown_simulation_is_one_line(tmp_path: Path) -> None:
    refused([*SMALL, "--simulation", "nothing.here:Rules"], tmp_path, "nothing.here:Rules")


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    keys.create(tmp_path / "keys", ["clients", "admin"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{other.getsockname()[1]}"
        refused(["replication", "--listen", address], tmp_path, address, "in use")


def test_a_server_without_keys_says_how_to_make_them(tmp_path: Path) -> None:
    refused(["replication"], tmp_path, "keys: no such directory", "sidereal keys new")


def test_a_shard_with_anothers_key_is_refused_and_the_server_lives(
    tmp_path: Path, server: str
) -> None:
    keys.create(tmp_path / "forged", ["shard:east"])
    words = ["shard", "--name", "east", "--server", server, "--simulation", "drift"]
    refused([*words, "--key", "forged/shard-east.key"], tmp_path, "shard east cannot join", server)
    assert sidereal("status", "--server", server, at=tmp_path).returncode == 0


def test_a_clients_key_registers_no_shard(tmp_path: Path, server: str) -> None:
    words = ["shard", "--name", "east", "--server", server, "--simulation", "drift"]
    refused([*words, "--key", "keys/clients.key"], tmp_path, "cannot join")


def test_an_operator_asks_a_running_world(tmp_path: Path, server: str) -> None:
    words = ["shard", "--name", "east", "--server", server, "--simulation", "drift"]
    shard = started(*words, at=tmp_path)
    try:
        ask = ["--server", server, "--json"]
        while not json.loads(sidereal("status", *ask, at=tmp_path).stdout)["shards"]:
            assert shard.poll() is None, shard.communicate()
        assert sidereal("load", "-3,4", *ask, at=tmp_path).returncode == 0
        states: list[str] = []
        while states != ["Active"]:
            now = json.loads(sidereal("status", *ask, at=tmp_path).stdout)
            states = [row["state"] for row in now["sectors"] if row["sector"] == [-3, 4]]
        reason = json.loads(sidereal("why", "-3,4", *ask, at=tmp_path).stdout)["detail"]
        assert "east" in reason
        refused(["migrate", "-3,4", "west", "--server", server], tmp_path, "'west'", "east")
        assert sidereal("drain", "east", *ask, at=tmp_path).returncode == 0
    finally:
        shard.send_signal(signal.SIGTERM)
        _, log = shard.communicate(timeout=PATIENCE_S)
    assert shard.returncode == 0, log
    assert "Traceback" not in log


def test_a_simulation_that_raises_is_one_line_and_the_world_lives_on(
    tmp_path: Path, server: str
) -> None:
    (tmp_path / "broken.py").write_text(
        "from pathlib import Path\n"
        "class Rules:\n"
        "    state_dtype = None\n"
        "    ghosts = False\n"
        "    def __init__(self, options): ...\n"
        "    def step(self, world, dt):\n"
        "        if Path('break').exists():\n"
        "            raise KeyError('no such rule')\n"
    )
    ask = ["--server", server, "--json"]

    def sector() -> tuple[str, str]:
        now = json.loads(sidereal("status", *ask, at=tmp_path).stdout)
        names = {shard["shard_id"]: shard["name"] for shard in now["shards"]}
        if not now["sectors"]:  # while nobody has it
            return "nobody", "Unloaded"
        (row,) = now["sectors"]
        return names.get(row["shard_id"], "nobody"), row["state"]

    os.environ["PYTHONPATH"] = str(tmp_path)
    try:
        words = ["shard", "--server", server, "--simulation"]
        east = started(*words, "broken:Rules", "--name", "east", at=tmp_path)
        while not json.loads(sidereal("status", *ask, at=tmp_path).stdout)["shards"]:
            assert east.poll() is None, east.communicate()
        assert sidereal("load", "0,0", *ask, at=tmp_path).returncode == 0
        while sector() != ("east", "Active"):
            assert east.poll() is None, east.communicate()
        west = started(*words, "drift", "--name", "west", at=tmp_path)
        (tmp_path / "break").touch()
        _, log = east.communicate(timeout=PATIENCE_S)
        assert east.returncode == 2
        last = log.splitlines()[-1]
        for part in ("sidereal: Rules.step raised KeyError", "no such rule", "broken.py:", "tick"):
            assert part in last
        assert "Traceback" not in log
        while sector() != ("west", "Active"):
            assert west.poll() is None, west.communicate()
    finally:
        del os.environ["PYTHONPATH"]
    west.send_signal(signal.SIGTERM)
    _, log = west.communicate(timeout=PATIENCE_S)
    assert west.returncode == 0, log
