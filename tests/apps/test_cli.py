"""The command line: one line and status 2 for whatever cannot be done, and a quick start."""

import subprocess
import sys
from pathlib import Path

import pytest

from sidereal.apps.cli import COMMANDS, main
from sidereal.errors import SimulationError
from sidereal.runtime import keys

HEX = "0123456789abcdef" * 4


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sidereal: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err


@pytest.mark.parametrize("words", [[], ["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_is_there_for_everything(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Usage: sidereal")
    assert err == ""


def test_help_lists_every_command_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    listed = capsys.readouterr().out.partition("Commands:\n")[2]
    assert [line.split()[0] for line in listed.splitlines()] == list(COMMANDS)
    assert "..." not in listed


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["lod"], ["'lod'", "sidereal --help"]),
        (["--nope"], ["--nope"]),
        (["demo", "--entities", "0"], ["'--entities'", "0", "1<=x", "sidereal demo --help"]),
        (["demo", "--entities", "many"], ["'--entities'", "'many'"]),
        (["demo", "--speed", "nan"], ["'--speed'", "nan"]),
        (["demo", "--seconds", "inf"], ["'--seconds'", "inf"]),
        (["demo", "--seconds", "5", "--kill-shard", "5"], ["--kill-shard 5", "the 5 s"]),
        (["demo", "--trace", "/nowhere.csv"], ["'--trace'", "/nowhere.csv"]),
        (["replication", "--config", "/nowhere.toml"], ["/nowhere.toml", "No such file"]),
        (["replication", "--listen", "here"], ["--listen 'here'", "HOST:PORT"]),
        (["shard"], ["no shard is configured"]),
        (["shard", "--name", "a"], ["simulation is missing", "--simulation"]),
        (["shard", "--name", "a b", "--simulation", "drift"], ["--name 'a b'", "letters"]),
        (["keys"], ["Missing command"]),
        (["keys", "new"], ["NAME..."]),
        (["keys", "new", "root"], ["'root'", "clients, admin or shard:NAME"]),
        (["load", "1"], ["'1'", "X,Y"]),
        (["load", "-2147483648,0"], ["-2147483648,0", "2147483647"]),
        (["migrate", "-3,4"], ["SHARD"]),
        (["status", "--server", "x"], ["'x' is no address"]),
        (["status", "--key", "/nowhere.key"], ["/nowhere.key", "sidereal keys new"]),
        (["unload", "-3,-4", "--key", "/nowhere.key"], ["/nowhere.key"]),
    ],
)
def test_what_cannot_be_done_is_one_line(
    words: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(words, capsys)
    for part in parts:
        assert part in line


def test_a_key_on_the_command_line_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["shard", "--name", "a", "--simulation", "drift", "--key", HEX]
    line = refused(words, capsys)
    assert "--key (not shown) is a key itself" in line
    assert HEX[:16] not in line


def test_a_reason_of_many_lines_becomes_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise SimulationError("step raised:\n  ValueError: no such rule")

    monkeypatch.setattr(keys, "create", fails)
    line = refused(["keys", "new", "admin"], capsys)
    assert line == "sidereal: step raised: ValueError: no such rule\n"


def test_an_interrupt_ends_with_its_own_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(keys, "create", interrupted)
    assert main(["keys", "new", "admin"]) == 130


def test_keys_new_writes_keys_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "keys"
    words = ["keys", "new", "clients", "admin", "shard:east", "--keys", str(directory)]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert shown.split() == [
        f"{directory}/{name}.key" for name in ("clients", "admin", "shard-east")
    ]
    assert sorted(keys.load(directory)) == ["admin", "clients", "shard:east"]


def test_the_program_starts_without_what_it_does_not_need() -> None:
    heavy = ["numpy", "msgspec", "cryptography", "rich", "asyncio"]
    script = (
        "import sys; from sidereal.apps.cli import main; status = main(['--version']);"
        f"print([name for name in {heavy} if name in sys.modules]); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    version, loaded = done.stdout.splitlines()
    assert version.startswith("sidereal 0.")
    assert loaded == "[]"
