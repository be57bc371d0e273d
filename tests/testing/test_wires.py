"""Lines over the real transport: what is said over one is heard as what it is."""

from dataclasses import replace

import pytest

from sidereal.replication.settings import MS
from sidereal.testing import Cluster, Observer, Weather
from sidereal.testing.faults import BY_NAME
from sidereal.testing.plan import draw
from sidereal.testing.simulation import Simulation
from sidereal.wire import shard_messages as sm

DELAY_NS = 60 * MS


class Openings(Observer):
    """Notes which life began each session, and which life the server hears over its link."""

    def __init__(self):
        self.begun, self.heard = {}, []

    def connected(self, shard):
        self.begun[shard.link] = shard.core.incarnation

    def server_heard(self, shard, link, message):
        if isinstance(message, sm.RegisterShard | sm.ResumeShard):
            self.heard.append((link, message.incarnation))


def cluster_of_one():
    weather = Weather(delay_ns=DELAY_NS, jitter_ns=0, datagram_loss=0.0)
    cluster = Cluster(1, shards=0, transport="calm", weather=weather, comes_back=True)
    openings = Openings()
    cluster.observers.append(openings)
    return cluster, openings


@pytest.mark.parametrize("life_ms", range(180, 330, 30))
def test_a_link_that_a_dead_process_asked_for_is_not_that_of_the_next_one_at_its_address(life_ms):
    """Seed 1362: the server heard the inventory of a dead shard as the next incarnation's."""
    cluster, openings = cluster_of_one()
    first = cluster.add_shard("shard-0")
    cluster.run(life_ms / 1000)
    first.kill()
    second = cluster.add_shard("shard-0")
    cluster.run(2)
    assert openings.heard
    assert all(openings.begun[link] == life for link, life in openings.heard)
    assert second.leased


@pytest.mark.parametrize("after_ms", [30, 90, 150])
def test_who_asks_while_the_server_restarts_has_a_link_with_the_next_server(after_ms):
    """The same HELLO reaches the process that has the address by then."""
    cluster, _ = cluster_of_one()
    shard = cluster.add_shard("shard-0")
    cluster.run(after_ms / 1000)
    cluster.server.crash(noticed=False)
    cluster.restart()
    cluster.run(1.5)
    assert shard.link in cluster.server.lines
    assert shard.leased


def test_what_befalls_datagrams_is_counted_at_the_shards_that_it_befalls():
    simulation = Simulation(replace(draw(1, transport=True), seconds=10.0, clients=1))
    assert simulation.run().violation is None
    for name in ("loss", "duplication", "reordering", "corruption", "old-session"):
        counts = simulation.coverage.counts
        struck = sum(n for (number, _), n in counts.items() if number == BY_NAME[name].number)
        assert struck > 5, f"{name}: {struck}"
