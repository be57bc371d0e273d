"""What a shard says at the end of a demo: whom it may simulate, as its core has it in a move."""

from types import SimpleNamespace

import numpy as np
import pytest

from sidereal.demo import shard_main
from sidereal.demo.finals import final_path
from sidereal.demo.recorder import Recorder
from sidereal.replication.settings import Settings
from sidereal.shard.lives import Place
from sidereal.shard.phase import SHADOW
from sidereal.testing.cluster import Cluster
from sidereal.wire import operator_messages as om
from sidereal.world.rules import NS_PER_S, WorldRules

STATE = np.dtype([("rest", "u1", 4)])
HOME = (0, 0)
COUNT = 5


class Eye(shard_main.AuditedShard):
    """The audit's eye on a shard of a simulated cluster."""

    def __init__(self, directory, shard, pid):
        super().__init__(Recorder(directory, shard.name, pid, ticks_max=500, spans_max=500))
        self.simulated = shard
        self._dtype = STATE
        self._meter = SimpleNamespace(write=lambda path, shard: None)
        self.shard = SimpleNamespace(registered=True, last_tick=10**6, core=shard.core)
        self.recorder.file["stop_tick"] = 1

    def held(self):
        self.turn()
        return int(self.recorder.file["held"])

    def in_memory(self):
        table = self.simulated.core.holdings.table
        return int(np.sum(table.phase[: len(table.ids)] & SHADOW == 0))

    def answer(self):
        self.recorder.file["finish"] = 1
        self.turn()
        with np.load(final_path(self.recorder.file.path)) as said:
            return said["ids"].tolist(), said["still"].tolist()


@pytest.fixture
def moving(tmp_path, monkeypatch):
    """A sector that has moved, and whose source has not heard yet that it is released."""
    settings = Settings(rules=WorldRules(sector_size=100.0), lease_ns=2 * NS_PER_S, cold_load=1e9)
    cluster = Cluster(3, settings=settings, state_dtype=STATE)
    cluster.run(0.5)
    cluster.spawn(np.full((COUNT, 2), 50.0), np.zeros((COUNT, 2)))
    cluster.run(1.0)
    owner = cluster.manager.books.sectors[HOME].shard_id
    source, target = sorted(cluster.shards, key=lambda s: s.core.shard_id != owner)
    eyes = [Eye(tmp_path, shard, pid) for pid, shard in enumerate((source, target), 1)]
    monkeypatch.setattr(shard_main, "now_ns", lambda: cluster.clock.now)
    assert [eye.held() for eye in eyes] == [COUNT, 0]
    cluster.command(om.Command(1, "migrate", HOME, target.core.shard_id))
    frozen = source.core.sectors.held[HOME]
    while frozen.place is not Place.FROZEN:
        cluster.run(0.0005)
    source.line.hold("down")
    while HOME not in target.core.sectors.held or target.core.sectors.held[HOME].still:
        cluster.run(0.0005)
    return cluster, source, target, eyes


def test_a_frozen_copy_is_in_memory_and_not_held(moving):
    _, _, _, (source, target) = moving
    assert (source.in_memory(), target.in_memory()) == (COUNT, COUNT)
    assert (source.held(), target.held()) == (0, COUNT)
    kept, still = source.answer()
    ran, running = target.answer()
    assert sorted(kept) == sorted(ran)
    assert all(still)
    assert not any(running)


def test_once_released_it_is_gone(moving):
    cluster, shard, _, (source, target) = moving
    shard.line.release("down")
    cluster.run(0.1)
    assert (source.in_memory(), source.held(), target.held()) == (0, 0, COUNT)


def test_a_shard_without_a_lease_holds_nothing_and_answers_nothing(moving):
    cluster, _, shard, (_, target) = moving
    target.recorder.file["finish"] = 1
    shard.line.hold("up")
    cluster.run(2.05)
    assert not shard.leased
    assert (target.in_memory(), target.held()) == (COUNT, 0)
    assert not target.recorder.file["done"]


def test_one_that_runs_what_it_should_not_says_so(moving):
    """The eye looks at what may be simulated, not at what the server, or the sector, says."""
    _, shard, _, (source, target) = moving
    table = shard.core.holdings.table
    table.phase[table.slots(np.array(source.answer()[0], np.uint64))] = 0
    source.recorder.file["done"] = 0
    assert source.held() + target.held() == 2 * COUNT
    assert not any(source.answer()[1])
