"""Whole lives of clusters under swarms of faults, each told by its seed; all must come to rest.

Each seed draws how rough its world is: losses, delays, deaths, pauses, operators'
orders, spawns and destroys. After every instant the invariants are held; when
the faults stop, everything must be simulated again by exactly its sector's owner.
"""

from random import Random

import numpy as np
import pytest

from sidereal.replication.settings import MS, Settings
from sidereal.testing import checks
from sidereal.testing.cluster import Cluster, SimulatedShard
from sidereal.testing.links import Weather
from sidereal.wire import operator_messages as om
from sidereal.world.rules import NS_PER_S, WorldRules

EXTENT = 350.0
SETTINGS = Settings(
    rules=WorldRules(sector_size=100.0),
    lease_ns=1 * NS_PER_S,
    heartbeat_ns=200 * MS,
    load_report_ns=1 * NS_PER_S,
    idle_unload_ns=1 * NS_PER_S,
    rebalance_ns=1 * NS_PER_S,
    move_cooldown_ns=1 * NS_PER_S,
    cold_load=5.0,
    survey_ns=250 * MS,
    audit_ns=200 * MS,
)


class Chaos:
    """One seed's story."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed * 7919 + 1)
        random = self.random
        self.numbers = np.random.default_rng(seed)
        weather = Weather(
            delay_ns=random.choice([1, 5, 20, 60]) * MS,
            jitter_ns=random.choice([1, 10, 50]) * MS,
            datagram_loss=random.choice([0.0, 0.05, 0.3]),
        )
        self.cluster = Cluster(
            seed,
            shards=random.choice([3, 4]),
            settings=SETTINGS,
            step=self.step,
            weather=weather,
            ghosts=random.random() < 0.3,
        )
        self.teleports = random.choice([0.0, 0.002, 0.01])
        self.deaths = random.choice([0.0, 0.001, 0.01])
        self.births = random.choice([0.0, 0.02, 0.1])
        self.faults = random.choice([0.0, 0.3, 0.6])
        self.orders = random.choice([0.0, 0.3, 0.8])
        self.restless = True
        self.names = 100
        self.grouped: set[int] = set()

    # --- the game --------------------------------------------------------------

    def step(self, world, dt):
        if not self.restless or not len(world):
            return
        elapsed = (world.tick - world.since.astype(np.int64)) * dt
        world.position += world.velocity * elapsed[:, None]
        out = np.abs(world.position) > EXTENT
        world.velocity[out] = (-np.sign(world.position) * np.abs(world.velocity))[out]
        alone = ~np.isin(world.ids, list(self.grouped))
        jump = alone & (self.numbers.random(len(world)) < self.teleports)
        world.position[jump] = self.numbers.uniform(-EXTENT, EXTENT, (int(jump.sum()), 2))
        held = ~world.shadow
        dying = held & (self.numbers.random(len(world)) < self.deaths)
        if dying.any():
            world.destroy(dying)

    def spawn(self, shard: SimulatedShard) -> None:
        """Have a shard spawn a few, now and then as a group behind one that it holds."""
        core, random = shard.core, self.random
        if core.clock is None or not core.has_lease(self.cluster.clock.now) or shard.paused:
            return
        count = random.randrange(1, 6)
        position = self.numbers.uniform(-EXTENT, EXTENT, (count, 2))
        velocity = self.numbers.uniform(-150, 150, (count, 2))
        group = None
        if random.random() < 0.5:
            held = checks.simulated_by(shard, self.cluster.clock.now)
            table = core.holdings.table
            if len(held):
                root = held[random.randrange(len(held))]
                slot = table.slots(np.array([root]))
                if table.group[slot][0] in (0, root):
                    self.grouped.add(int(root))
                    group = np.where(self.numbers.random(count) < 0.7, root, 0).astype(np.uint64)
                    position[group != 0] = table.position[slot[0]] + self.numbers.uniform(
                        -60, 60, 2
                    )
                    velocity[group != 0] = table.velocity[slot[0]]
        if core._ids:
            ids = core.spawn(shard.ticked, position, velocity, group=group)
            if group is not None:
                self.grouped.update(ids[group != 0].tolist())

    # --- what goes wrong ---------------------------------------------------------

    def operator(self) -> None:
        """One order of an operator's, sensible or not."""
        cluster, random = self.cluster, self.random
        books = cluster.manager.books
        coords = (random.randrange(-4, 4), random.randrange(-4, 4))
        shards = [info.shard_id for info in books.shards]
        what = random.random()
        if what < 0.5 and shards:
            cluster.command(om.Command(1, "migrate", coords, random.choice(shards)))
        elif what < 0.65:
            cluster.command(om.Command(1, "unload", coords, None))
        elif what < 0.75:
            cluster.command(om.Command(1, "load", coords, None))
        elif what < 0.82 and len(shards) > 1:
            cluster.command(om.Command(1, "drain", None, random.choice(shards)))
        elif what < 0.9 and shards:
            cluster.command(om.Command(1, "undrain", None, random.choice(shards)))
        elif what < 0.95 and len(books.table):
            ids = self.numbers.choice(books.table.ids, min(5, len(books.table)), replace=False)
            cluster.command(om.DestroyByOperator(1, ids.tolist()))
        else:
            cluster.spawn(
                self.numbers.uniform(-EXTENT, EXTENT, (5, 2)),
                self.numbers.uniform(-150, 150, (5, 2)),
            )

    def fault(self) -> None:
        """One blow to one shard, and soon a new one in its place."""
        cluster, random = self.cluster, self.random
        running = [s for s in cluster.alive() if not s.up.cut and not s.paused]
        if running and random.random() < 0.5:
            self.relink(random.choice(running))
            return
        what = random.random()
        if what < 0.3 and len(running) > 1:
            cluster.kill(random.choice(running))
            self.join()
        elif what < 0.5 and len(running) > 1:
            cluster.break_link(random.choice(running), noticed=random.random() < 0.5)
            self.join()
        elif what < 0.8 and len(running) > 1:
            victim = random.choice(running)
            victim.paused = True
            until = cluster.clock.now + random.choice([100, 600, 1500, 2500]) * MS
            cluster.clock.at(until, lambda: setattr(victim, "paused", False))
            if random.random() < 0.5:
                self.join()
        else:
            self.join()

    def relink(self, victim: SimulatedShard) -> None:
        """A link breaks with all that is on it; the shard makes another, soon or too late."""
        cluster, random = self.cluster, self.random
        old = victim.link
        victim.up.cut = victim.down.cut = True
        victim._inbox.clear()
        victim.core.lost()
        if random.random() < 0.5:
            cluster.link_broke(old)
        away = random.choice([0, 50, 300, 900, 1500]) * MS

        def again() -> None:
            if victim.alive and victim.up.cut:
                victim.relink()

        cluster.clock.at(cluster.clock.now + away, again)

    def join(self) -> None:
        """A new shard process, under a new name."""
        if len([s for s in self.cluster.alive() if not s.up.cut]) < 6:
            self.names += 1
            self.cluster.add_shard(f"shard-{self.names}")

    # --- the story ---------------------------------------------------------------

    def live(self, seconds: float) -> None:
        """Let it all happen."""
        cluster, random = self.cluster, self.random
        cluster.run(0.3)
        count = random.randrange(100, 200)
        cluster.spawn(
            self.numbers.uniform(-EXTENT, EXTENT, (count, 2)),
            self.numbers.uniform(-200, 200, (count, 2)),
        )
        for _ in range(round(seconds / 0.1)):
            cluster.run(0.1)
            if random.random() < self.births:
                self.spawn(random.choice(cluster.alive()))
            if random.random() < self.orders:
                self.operator()
            if random.random() < self.faults * 0.3:
                self.fault()

    def rest(self) -> None:
        """Faults end, everything stands still: after leases and moves it must be settled."""
        cluster = self.cluster
        self.restless = False
        for shard in cluster.alive():
            shard.paused = False
        for info in cluster.manager.books.shards:
            cluster.command(om.Command(1, "undrain", None, info.shard_id))
        if not any(not s.up.cut for s in cluster.alive()):
            self.join()
        cluster.run(3)
        for _ in range(120):
            try:
                checks.at_rest(cluster)
            except AssertionError:
                cluster.run(0.1)  # a sector that has just been moved for balance
            else:
                return
        checks.at_rest(cluster)

    def unaccused(self) -> None:
        """The server's own audit has looked, and found nothing."""
        counters = self.cluster.manager.books.counters
        assert counters["audit_differences"] == 0, self.cluster.manager.books.differences
        assert counters["audit_sectors"] > 0


@pytest.mark.parametrize("seed", range(12))
def test_a_swarm_of_faults_leaves_nothing_lost_doubled_or_stuck(seed):
    chaos = Chaos(seed)
    chaos.live(8)
    chaos.rest()
    chaos.unaccused()
