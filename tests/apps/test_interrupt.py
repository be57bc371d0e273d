"""Ctrl-C, whenever it comes, is one line and status 130, and leaves no process behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sidereal.demo import launcher
from sidereal.demo.options import DemoOptions

AT_IMPORT = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
sys.argv = ["sidereal", *{words!r}]
from sidereal.apps.start import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("sidereal.apps.cli", ["status"]),
        ("click", ["keys", "new", "admin"]),
        ("sidereal.apps.demo", ["demo"]),
        ("numpy", ["demo"]),
        ("sidereal.kernel", ["replication"]),
        ("sidereal.runtime.logs", ["shard", "--name", "east", "--simulation", "drift"]),
    ],
)
def test_an_interrupt_in_the_midst_of_imports_is_one_line(
    tmp_path: Path, module: str, words: list[str]
) -> None:
    (tmp_path / "keys").mkdir()
    if words[0] in ("replication", "shard"):
        subprocess.run(
            [sys.executable, "-m", "sidereal.apps.start", "keys", "new", "admin", "shard:east"],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
    script = AT_IMPORT.format(module=module, words=words)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "sidereal: interrupted\n")


def test_a_demo_that_is_interrupted_before_its_processes_start_starts_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planned = launcher.motion_of

    def interrupted(simulation: str, options: dict) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return planned(simulation, options)

    monkeypatch.setattr(launcher, "motion_of", interrupted)
    monkeypatch.setattr(launcher, "Processes", None)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        launcher.run(DemoOptions(entities=10, seconds=1.0))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_third_interrupt_does_not_hinder_the_end_of_the_processes() -> None:
    asked = launcher.Interrupt()
    try:
        os.kill(os.getpid(), signal.SIGINT)
        assert asked.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        asked.restore()
