"""A demo waits for a busy disk, and neither for ever nor in silence."""

import threading

import pytest

from sidereal.demo import disk, launcher
from sidereal.demo.options import DemoOptions


def test_a_disk_that_is_done_is_not_spoken_of():
    said = []
    assert disk.settle(said.append, lambda: False, sync=lambda: None)
    assert said == []


def test_a_busy_disk_is_told_of_and_not_waited_for_for_ever():
    said, never = [], threading.Event()
    assert not disk.settle(
        said.append, lambda: False, sync=never.wait, patience_s=0.3, told_after_s=0.1
    )
    assert [line.split()[0] for line in said] == ["waiting", "the"]
    never.set()


def test_who_is_interrupted_while_the_disk_is_busy_starts_nothing(monkeypatch):
    never = threading.Event()

    class Interrupted:
        """Asked to end once the run has begun to wait."""

        @property
        def asked(self) -> bool:
            return waits.is_set()

    waits = threading.Event()

    def busy() -> None:
        waits.set()
        never.wait()

    monkeypatch.setattr(launcher, "settle", lambda *a: disk.settle(*a, sync=busy))
    monkeypatch.setattr(launcher, "Processes", None)
    with pytest.raises(KeyboardInterrupt):
        launcher.play(DemoOptions(entities=10, seconds=1.0), interrupted=Interrupted())
    never.set()
