"""The replication server dies and another takes over from its journal: nobody loses anything."""

import numpy as np
import pytest

from replication.test_chaos import Chaos
from replication.test_resumption import SETTINGS, moving, settle, told
from sidereal.errors import ConfigError, StoreDamaged
from sidereal.replication import records
from sidereal.replication.manager import SectorManager, Step
from sidereal.replication.replay import Replay, digest
from sidereal.shard import events as ev
from sidereal.testing import checks
from sidereal.testing.cluster import OPERATOR, Cluster
from sidereal.world.rules import NS_PER_S, WorldRules


class Down:
    """A server that is dead: it hears nothing and says nothing. Its record is what it was."""

    def __init__(self, manager: SectorManager) -> None:
        self.books = manager.books

    def poll(self) -> Step:
        return Step([], [])

    def __getattr__(self, name):
        return lambda *args, **more: None


class Journal:
    """What a cluster's servers committed, whoever leads."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.term = 0
        self.history: list[bytes] = []
        self.compared = 0
        self._follow(cluster.manager)

    def _follow(self, manager: SectorManager) -> None:
        original = manager.poll
        self.term += 1

        def poll() -> Step:
            step = original()
            self.history += step.records
            return step

        manager.poll = poll
        if not self.history:
            # What it decided before anybody looked; all of it is in the image.
            self.history = [manager.image()]

    def compare(self) -> None:
        """A replayed journal is what memory has."""
        replay = Replay(self.cluster.settings)
        for data in self.history:
            replay.apply(records.decode(data))
        assert digest(replay.books) == digest(self.cluster.manager.books)
        self.compared += 1

    def kill(self) -> None:
        cluster = self.cluster
        cluster.history.record(cluster)
        cluster.manager = Down(cluster.manager)
        for shard in cluster.alive():
            shard.up.cut = shard.down.cut = True
            shard._inbox.clear()
            shard.core.lost()

    def start(self) -> None:
        cluster = self.cluster
        cluster.manager = SectorManager(
            cluster.settings,
            term=self.term + 1,
            now=cluster.clock.now,
            rng=cluster.random.randbytes,
            history=self.history,
        )
        self._follow(cluster.manager)
        cluster.manager.connected(OPERATOR, "admin")
        ended = cluster.history.ended
        cluster.history = checks.History()
        cluster.history.ended = ended
        for shard in cluster.alive():
            shard.relink()


@pytest.mark.parametrize("seed", range(4))
def test_a_replayed_journal_is_what_memory_has_at_any_time(seed):
    chaos = Chaos(seed)
    journal = Journal(chaos.cluster)
    for _ in range(8):
        chaos.live(1)
        journal.compare()
    assert len(journal.history) > 50


@pytest.mark.parametrize("after_ms", range(0, 100, 9))
def test_a_server_that_dies_at_any_instant_leaves_a_world_that_goes_on(after_ms):
    cluster = moving(after_ms)
    journal = Journal(cluster)
    had = set(cluster.manager.books.table.ids.tolist())
    cluster.run(after_ms / 1000)
    journal.kill()
    cluster.run(0.7)
    journal.start()
    cluster.run(2)
    settle(cluster)
    books = cluster.manager.books
    assert books.term == 2
    assert set(books.table.ids.tolist()) == had
    assert books.counters["shard_sessions_resumed"] == 2
    assert books.counters["fences"] == books.counters["rehomed"] == 0
    assert not told(cluster.shards[0], ev.LeaseLost)


def test_an_outage_longer_than_a_lease_stops_the_world_and_loses_nothing():
    cluster = moving(5)
    journal = Journal(cluster)
    had = set(cluster.manager.books.table.ids.tolist())
    journal.kill()
    cluster.run(5)
    stopped = [shard.ticked for shard in cluster.shards]
    cluster.run(1)
    assert [shard.ticked for shard in cluster.shards] == stopped
    journal.start()
    cluster.run(2)
    settle(cluster)
    assert set(cluster.manager.books.table.ids.tolist()) == had
    assert cluster.manager.books.counters["fences"] == 0
    assert told(cluster.shards[0], ev.LeaseRegained)


def test_a_shard_that_dies_with_the_server_is_rehomed_a_lease_after_the_new_one_began():
    cluster = moving(6)
    journal = Journal(cluster)
    had = set(cluster.manager.books.table.ids.tolist())
    dead = cluster.shards[0]
    journal.kill()
    dead.alive = False
    cluster.run(0.3)
    journal.start()
    cluster.run(1.9)
    assert cluster.manager.books.counters["fences"] == 0, "before lease + allowance"
    cluster.run(2)
    settle(cluster)
    assert cluster.manager.books.counters["fences"] == 1
    assert set(cluster.manager.books.table.ids.tolist()) == had


def test_world_time_goes_on_after_a_restart_and_ids_are_never_granted_twice():
    cluster = moving(7)
    journal = Journal(cluster)
    before = cluster.manager.books
    journal.kill()
    cluster.run(1)
    journal.start()
    after = cluster.manager.books
    assert after.origin_ns == before.origin_ns
    assert after.next_id == before.next_id
    born = cluster.spawn(np.full((1, 2), 5.0), np.zeros((1, 2)))
    assert int(born[0]) >= before.next_id


def test_by_another_clock_world_time_goes_on_by_the_wall():
    first = SectorManager(SETTINGS, now=10 * NS_PER_S, clock="one", wall_ns=1000 * NS_PER_S)
    began = first.poll().records
    later = SectorManager(
        SETTINGS, term=2, now=2 * NS_PER_S, clock="two", wall_ns=1007 * NS_PER_S, history=began
    )
    assert later.books.tick_at(2 * NS_PER_S) == 7 * SETTINGS.rules.tick_hz


def test_an_image_stands_for_all_records_before_it():
    cluster = moving(8)
    journal = Journal(cluster)
    client = cluster.add_client()
    cluster.run(0.3)
    client.core.possess(int(cluster.manager.books.table.ids[0]))
    cluster.run(0.3)
    image = cluster.manager.image()
    whole = len(journal.history)
    cluster.run(1)
    short = [image, *journal.history[whole:]]
    assert len(short) > 3
    one, other = Replay(cluster.settings), Replay(cluster.settings)
    for data in journal.history:
        one.apply(records.decode(data))
    for data in short:
        other.apply(records.decode(data))
    assert digest(one.books) == digest(other.books) == digest(cluster.manager.books)
    assert cluster.manager.books.sessions.get(1).possessed


def test_a_world_of_other_rules_and_a_record_that_is_none_are_refused():
    began = SectorManager(SETTINGS).poll().records
    other = type(SETTINGS)(rules=WorldRules(sector_size=50.0))
    with pytest.raises(ConfigError, match=r"100\.0 units"):
        SectorManager(other, term=2, history=began)
    with pytest.raises(StoreDamaged):
        SectorManager(SETTINGS, term=2, history=[b"\xc1"])


class Restarts(Chaos):
    """A story in which the server, too, dies now and then."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.journal = Journal(self.cluster)
        self.down = False

    def fault(self) -> None:
        if self.random.random() < 0.3:
            self.journal.kill()
            self.cluster.run(self.random.choice([0.0, 0.05, 0.4, 1.5]))
            self.journal.start()
        else:
            super().fault()

    def rest(self) -> None:
        super().rest()
        self.journal.compare()


@pytest.mark.parametrize("seed", range(6))
def test_a_swarm_of_faults_with_dying_servers_leaves_nothing_lost_doubled_or_stuck(seed):
    chaos = Restarts(seed)
    chaos.faults = 0.6
    chaos.live(8)
    chaos.rest()
    chaos.unaccused()
