"""Stories of ends: whose wish it is that an entity ends which is between two shards."""

import numpy as np
import pytest

from replication.test_spawn_and_groups import two_shards_side_by_side
from sidereal.shard import events as ev
from sidereal.testing.cluster import straight

LIFE_TICKS = 16


class Game:
    """One life of so many ticks, each of which somebody has to account for, as an audit does.

    A shadow does not, for another shard may have what it stands for; but it ends, too.
    """

    def __init__(self, cluster):
        self.cluster = cluster
        self.lived = []
        self.ended_as_shadow = False
        self.spared = False
        """Who holds it lets it live on."""
        self.back = False
        """It goes back to where it came from."""
        cluster.step = self.step
        west, _ = cluster.shards
        self.ids = cluster.spawn(np.array([[-20.0, 50.0]]), np.array([[80.0, 0.0]]))
        self.first = int(cluster.manager.books.table.tick[0]) + 1
        self.last = self.first + LIFE_TICKS - 1
        while not len(west.core.holdings.table):
            cluster.run(0.01)

    def step(self, world, dt):
        if not len(world):
            return
        straight(world, dt)
        if self.back:
            world.position[:], world.velocity[:] = [-20.0, 50.0], 0.0
        if not world.shadow[0]:
            self.lived += range(int(world.since[0]) + 1, min(world.tick, self.last) + 1)
        if world.tick > self.last and (world.shadow[0] or not self.spared):
            self.ended_as_shadow |= bool(world.shadow[0])
            world.destroy([0])

    def cross_unheard(self):
        """Let it cross into the east, and its end come before the west is told of that."""
        west, east = self.cluster.shards
        west.line.hold("down")
        self.cluster.run(LIFE_TICKS / 20 + 0.1)
        assert self.ended_as_shadow
        record = self.cluster.manager.books.table
        assert record.version[0] == 2
        assert record.shard[0] == east.core.shard_id


@pytest.mark.parametrize("told", ["in a session", "by a verdict"])
def test_what_ended_as_a_shadow_and_comes_back_is_ended_by_who_runs_it(told):
    """The shard that was to have it is dead; the one that had the shadow takes its place."""
    cluster = two_shards_side_by_side()
    west, east = cluster.shards
    cluster.kill(east)
    cluster.run(1.2)
    game = Game(cluster)
    game.cross_unheard()
    cluster.run(1.0)
    books = cluster.manager.books
    assert books.counters["fences"] == 1
    assert books.table.shard.tolist() == [west.core.shard_id]
    if told == "by a verdict":
        cluster.link_broke(west.link)
        west.relink()
    else:
        west.line.release("down")
    cluster.run(1.0)
    assert game.lived == list(range(game.first, game.last + 1))
    assert books.counters["destroyed"] == 1
    assert not any(len(table) for table in (books.table, west.core.holdings.table))


def test_what_ended_as_a_shadow_lives_on_where_it_has_turned_round():
    cluster = two_shards_side_by_side()
    west, _ = cluster.shards
    game = Game(cluster)
    game.spared = True
    game.cross_unheard()
    game.back = True
    cluster.run(0.3)
    record, table = cluster.manager.books.table, west.core.holdings.table
    assert record.version.tolist() == [3]
    assert record.shard.tolist() == [west.core.shard_id]
    west.line.release("down")
    cluster.run(0.5)
    assert record.ids.tolist() == game.ids.tolist()
    assert table.ids.tolist() == game.ids.tolist()
    assert table.phase.tolist() == [0]


class Swings:
    """Many lives over one border, to and fro; each of their ticks is to be accounted for."""

    def __init__(self, cluster, random):
        self.cluster, self.random = cluster, random
        self.lives = {}
        self.accounted = {}
        cluster.step, cluster.hear = self.step, self.hear

    def spawn(self, count):
        y = self.random.uniform(10, 90, count)
        ids = self.cluster.spawn(np.column_stack([np.zeros(count), y]), np.zeros((count, 2)))
        table = self.cluster.manager.books.table
        first = int(table.tick[table.slots(ids)[0]]) + 1
        for entity in ids.tolist():
            self.lives[entity] = first, first + int(self.random.integers(5, 40))
            self.accounted[entity] = set()

    def step(self, world, dt):
        for row, (entity, since) in enumerate(zip(world.ids.tolist(), world.since, strict=True)):
            angle = 2 * np.pi * (world.tick + entity % 7) / (16 + entity % 5)
            world.position[row, 0] = 15 * np.sin(angle)
            if not world.shadow[row]:
                self.account(entity, int(since), world.tick)
            if world.tick > self.lives[entity][1]:
                world.destroy([row])

    def hear(self, shard, events):
        for event in events:
            if isinstance(event, ev.EntitiesKept):
                columns = event.ids.tolist(), event.asked_tick.tolist(), event.tick.tolist()
                for entity, since, tick in zip(*columns, strict=True):
                    self.account(entity, since, tick)

    def account(self, entity, since, tick):
        self.accounted[entity].update(range(since + 1, tick + 1))

    def missing(self):
        """The ticks of each life that nobody simulated, and that no state's age tells of."""
        missing = {
            entity: sorted(set(range(first, last + 1)) - self.accounted[entity])
            for entity, (first, last) in self.lives.items()
        }
        return {entity: ticks for entity, ticks in missing.items() if ticks}


@pytest.mark.parametrize("seed", range(4))
def test_no_tick_of_a_life_is_forgotten_where_leases_run_out_and_answers_come_in_lumps(seed):
    cluster = two_shards_side_by_side()
    random = np.random.default_rng(seed)
    swings = Swings(cluster, random)
    for shard in cluster.shards:
        shard.comes_back = True
    for _ in range(10):
        swings.spawn(24)
        line = cluster.shards[int(random.integers(2))].line
        direction = "down" if random.random() < 0.7 else "up"
        line.hold(direction)
        cluster.run(float(random.choice([0.7, 1.0, 1.3, 4.0])))  # a lease has 3 s
        line.release(direction)
        cluster.run(float(random.uniform(0.0, 0.8)))
    cluster.run(8)
    assert cluster.manager.books.counters["fences"] > 0
    assert not len(cluster.manager.books.table)
    assert not swings.missing()
