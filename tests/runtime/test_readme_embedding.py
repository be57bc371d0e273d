"""The README's blocks run: a shard fills a sector and simulates it; a client sees it and speaks."""

import re
import threading
import time
from pathlib import Path

import pytest

import sidereal
from runtime.table import Thread
from sidereal.runtime.operator import Operator

README = Path(__file__).resolve().parents[2] / "README.md"
PATIENCE_S = 20.0


def defined(mark: str) -> dict:
    """The names that a block of the README defines."""
    block = re.search(rf"<!-- {mark} -->\s*```python\n(.*?)\n```", README.read_text(), re.S)
    assert block is not None
    names: dict = {}
    exec(compile(block[1], str(README), "exec"), names)
    return names


@pytest.mark.processes
def test_the_embedding_of_the_readme_fills_a_sector_and_simulates_it(world) -> None:
    address, keys = world
    stop = threading.Event()
    arguments = ("east", address, keys["shard:east"], lambda: not stop.is_set())
    game = Thread(target=defined("tests: embed")["serve"], args=arguments)
    game.start()
    deadline = time.monotonic() + PATIENCE_S
    with Operator(address, keys["admin"]) as operator:
        while not operator.status()["shards"]:
            assert time.monotonic() < deadline, "the shard did not register"
        operator.load((3, -4))
        while (status := operator.status())["entities"] < 100 or status["custody"]:
            assert game.error is None, game.error
            assert time.monotonic() < deadline, f"not filled: {status}"
        assert status["shards"][0]["name"] == "east"
        before = status["counters"].get("updates", 0)
        while operator.status()["counters"].get("updates", 0) < before + 500:
            assert time.monotonic() < deadline, "nothing moves"
    stop.set()
    game.finish()


@pytest.mark.processes
def test_the_client_of_the_readme_sees_possesses_and_speaks(world) -> None:
    address, keys = world
    stop = threading.Event()
    told: list[object] = []
    drawn: list[int] = []

    def serve() -> None:
        fill = defined("tests: embed")["fill"]
        shard = sidereal.Shard("east", address, keys["shard:east"])
        while not stop.is_set():
            shard.wait()
            for event in shard.poll():
                told.append(event)
                if isinstance(event, sidereal.SectorAssigned) and event.first_time:
                    fill(shard, event.sector)
            if (tick := shard.due()) is not None:
                batch = shard.begin(tick)
                batch.position += batch.velocity / batch.tick_hz
                shard.end(batch)
        shard.close()

    def draw(tick, ids, position) -> None:
        assert position.shape == (len(ids), 2)
        drawn.append(tick)

    game = Thread(target=serve)
    game.start()
    deadline = time.monotonic() + PATIENCE_S
    with Operator(address, keys["admin"]) as operator:
        while not operator.status()["shards"]:
            assert time.monotonic() < deadline, "the shard did not register"
        operator.load((0, 0))
    arguments = (address, keys["clients"], draw, lambda: not stop.is_set())
    player = Thread(target=defined("tests: client")["play"], args=arguments)
    player.start()
    kinds = {sidereal.MailReceived, sidereal.PossessionChanged}
    while len(drawn) < 20 or not kinds <= {type(event) for event in told}:
        assert player.error is None, player.error
        assert game.error is None, game.error
        assert time.monotonic() < deadline, f"{len(drawn)} updates, told {told[-3:]}"
        time.sleep(0.05)
    stop.set()
    player.finish()
    game.finish()
    mail = next(event for event in told if isinstance(event, sidereal.MailReceived))
    possession = next(event for event in told if isinstance(event, sidereal.PossessionChanged))
    assert (mail.entity, mail.payload) == (possession.entity, b"hello")
    assert drawn == sorted(drawn)
