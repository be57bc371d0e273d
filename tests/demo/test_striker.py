"""Strikes as they are done: by a thread that nobody watches, beside a launcher that looks on."""

from types import SimpleNamespace

import pytest

from sidereal.demo.launcher import _Run
from sidereal.demo.options import DemoOptions
from sidereal.demo.processes import ProcessError
from sidereal.demo.striker import Striker
from sidereal.demo.strikes import Strike
from sidereal.runtime.clock import now_ns


class Child:
    """A process as the launcher knows it."""

    pid, felled_by = 7, None

    def __init__(self, name: str) -> None:
        self.name = name
        self.running, self.killed = True, False

    def kill(self) -> None:
        self.running, self.killed = False, True

    def last_words(self) -> str:
        return "not a word"


class World:
    """Processes of a run; where a shard cannot be started again the system says why."""

    def __init__(self, error: Exception | None = None) -> None:
        self.server, self.shards = Child("replication"), [Child("shard-0"), Child("shard-1")]
        self.striking = False
        self.counted = lambda: None
        self._error = error

    def replace_shard(self, number: int) -> None:
        if self._error is not None:
            raise self._error
        self.shards[number] = Child(f"shard-{number}")

    def fell_server(self) -> None:
        self.striking = True
        self.server.kill()

    def fallen(self) -> list[Child]:
        self.counted()
        return []


def struck(tmp_path, at_s, error=None):
    strikes = [Strike("kill-shard", number, 0.0, at) for number, at in enumerate(at_s)]
    striker = Striker(strikes, World(error), now_ns(), tmp_path, lambda line: None)
    striker.start()
    if error is not None:
        striker._thread.join(5.0)
    striker.stop()
    return striker


def test_a_run_that_is_over_before_all_strikes_are_done_is_told_of_the_others(tmp_path):
    striker = struck(tmp_path, [1000.0, 2000.0])
    assert not striker.struck
    assert striker.undone() == ["2 of 2 strikes were not done: the run was over before"]
    assert striker.undone(early=True) == [], "that was asked for"
    assert Striker([], World(), now_ns(), tmp_path, lambda line: None).undone() == []


@pytest.mark.parametrize("error", [ProcessError("no"), OSError(11, "no more processes")])
def test_a_strike_that_cannot_be_done_ends_them_and_is_told(tmp_path, error):
    striker = struck(tmp_path, [0.0, 1000.0], error)
    assert [line.split(":")[0] for line in striker.undone()] == [
        "kill-shard at 0.0 s",
        "1 of 2 strikes were not done",
    ]


def run_of(world, tmp_path):
    return _Run(DemoOptions(), world, SimpleNamespace(), tmp_path, None)


def test_a_server_that_is_struck_while_the_children_are_looked_at_has_not_ended_by_itself(tmp_path):
    world = World()
    run = run_of(world, tmp_path)
    world.counted = world.fell_server
    run._children()
    assert not run.problems
    world.counted, world.striking = lambda: None, False
    with pytest.raises(ProcessError, match="the replication server ended"):
        run._children()
