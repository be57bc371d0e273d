"""The small game of the docs runs as its page says: the same file, the same commands."""

import json
import re
import signal
import subprocess
import sysconfig
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

PAGE = Path(__file__).resolve().parents[2] / "docs" / "small-game.md"
SCRIPT = Path(sysconfig.get_path("scripts")) / "sidereal"
PATIENCE_S = 60.0
SQUARE = {(x, y) for x in (-1, 0) for y in (-1, 0)}


def block(mark: str) -> str:
    """The fenced block after a comment that marks it."""
    (found,) = re.findall(rf"<!-- {mark} -->\s*```\w*\n(.*?)\n```", PAGE.read_text(), re.DOTALL)
    return str(found)


def commands(mark: str) -> list[list[str]]:
    """The commands of a block, as words after the program's name."""
    lines = [line.split() for line in block(mark).splitlines()]
    assert {line[0] for line in lines} == {"sidereal"}
    return [line[1:] for line in lines]


def test_the_small_game_of_the_docs_runs_on_two_shards_and_survives_a_kill(tmp_path: Path) -> None:
    (tmp_path / "meadow.py").write_text(block("tests: game"))
    running: list[subprocess.Popen[str]] = []

    def start(words: list[str]) -> subprocess.Popen[str]:
        with (tmp_path / f"{len(running)}.log").open("w") as log:
            process = subprocess.Popen(
                [SCRIPT, *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=log, text=True
            )
        running.append(process)
        return process

    def ask(words: list[str]) -> subprocess.CompletedProcess[str]:
        command = [SCRIPT, *words, "--server", address, "--json"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    def until(what: str, done) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not done(status := json.loads(ask(["status"]).stdout)):
            assert time.monotonic() < deadline, (what, status)
            for process in shards:
                assert process.poll() in (None, -signal.SIGKILL), log_of(running.index(process))

    def log_of(number: int) -> str:
        return (tmp_path / f"{number}.log").read_text()

    make_keys, serve = commands("tests: game server")
    shards: list[subprocess.Popen[str]] = []
    try:
        subprocess.run([SCRIPT, *make_keys], cwd=tmp_path, check=True, capture_output=True)
        server = start([*serve, "--listen", "127.0.0.1:0"])
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        shards += [start([*words, "--server", address]) for words in commands("tests: game shards")]
        until("two shards", lambda status: len(status["shards"]) == 2)
        load, _ = commands("tests: game operator")
        assert ask(load).returncode == 0
        until(
            "a filled meadow",
            lambda status: (
                {tuple(s["sector"]) for s in status["sectors"] if s["entities"] > 50} == SQUARE
            ),
        )
        assert {ask(words).returncode for words in commands("tests: game move")} <= {0, 2}
        until("handoffs", lambda status: status["counters"].get("handoffs", 0) > 0)
        shards[0].kill()
        until(
            "everything on the other shard",
            lambda status: (
                len(status["shards"]) == 1
                and status["entities"] > 200
                and not status["custody"]
                and status["shards"][0]["entities"] == status["entities"]
            ),
        )
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.communicate(timeout=PATIENCE_S)
    assert not [n for n in range(len(running)) if "Traceback" in log_of(n)]
