"""A sector of 5,000 entities moves from shard to shard and back, over sockets, journal below.

Server and shards take turns in one thread, so the figures hold the processor time of all three.
Reported is for how long the sector stood still, in ticks of 20 Hz: with a copy beforehand, as a
move is, and in every other move without one. What fails is a world that is not whole.

    SIDEREAL_BENCH_ENTITIES=20000 pytest bench/bench_migration.py -s
"""

import os
import time
from functools import partial

import numpy as np

import sidereal
from sidereal.replication import lifecycle
from sidereal.replication.settings import Settings
from sidereal.runtime.address import Address
from sidereal.runtime.clock import now_ns
from sidereal.runtime.replication_process import ReplicationServer
from sidereal.store import SqliteStore
from sidereal.world.rules import NS_PER_S, WorldRules

ENTITIES = int(os.environ.get("SIDEREAL_BENCH_ENTITIES", "5000"))
STATE = np.dtype([("bytes", "u1", 64)])
MOVES = 30
PATIENCE_S = 20.0


class World:
    """A server with a journal and two shards, turned in one thread."""

    def __init__(self, directory):
        names = ("admin", "shard:one", "shard:two")
        keys = {name: os.urandom(32) for name in names}
        rules = WorldRules(sector_size=1000.0)
        settings = Settings(rules=rules, rebalance_ns=3600 * NS_PER_S)
        store = partial(SqliteStore, directory / "data")
        self.server = ReplicationServer(settings, Address("127.0.0.1", 0), keys, store)
        self.server._next_tick = now_ns()
        self.shards = [
            sidereal.Shard(name, self.server.address, keys[f"shard:{name}"], state_dtype=STATE)
            for name in ("one", "two")
        ]
        self.moved = False

    @property
    def books(self):
        return self.server.manager.books

    def turn(self):
        self.server.step()
        for shard in self.shards:
            shard.poll()
            tick = shard.due()
            if tick is not None:
                world = shard.begin(tick)
                world.position += np.sin(world.tick + world.position[:, ::-1]) * 0.1
                shard.end(world)

    def until(self, done):
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline, "it never came to be"
            self.turn()


def test_a_sector_of_many_entities_stands_still_for_few_ticks(tmp_path, capsys):
    world = World(tmp_path)
    world.until(lambda: all(shard.registered for shard in world.shards))
    world.books.wanted[0, 0] = None
    world.until(lambda: any(shard.sectors() for shard in world.shards))
    home = next(shard for shard in world.shards if shard.sectors())
    random = np.random.default_rng(1)
    state = np.zeros(ENTITIES, STATE)
    state["bytes"] = random.integers(0, 255, (ENTITIES, 64))
    home.spawn(random.uniform(100, 900, (ENTITIES, 2)), np.zeros((ENTITIES, 2)), state=state)
    world.until(lambda: len(world.books.table) == ENTITIES)
    ids = set(world.books.table.ids.tolist())
    begin = (lifecycle.move, lifecycle.unassign)
    for number in range(2 * MOVES):
        source = world.books.sectors[0, 0].shard_id
        entry = world.books.sectors[0, 0]
        begin[number % 2](world.books, entry, 1 - source, "measured", now_ns())
        done = number + 1
        world.until(lambda done=done: len(world.books.freezes_ns) == done)
        later = time.monotonic() + 0.3
        world.until(lambda later=later: time.monotonic() > later)
    held = [shard.core.holdings.table for shard in world.shards]
    assert sum(map(len, held)) == ENTITIES
    assert set(np.concatenate([table.ids for table in held]).tolist()) == ids
    with capsys.disabled():
        print(f"\n{MOVES} moves of {ENTITIES:,} entities of {STATE.itemsize} bytes stood still:")
        for number, how in enumerate(("copied before", "not copied")):
            frozen_ms = np.array(world.books.freezes_ns[number::2]) / 1e6
            p50, p99 = np.percentile(frozen_ms, [50, 99])
            print(
                f"  {how}: p50 {p50:.1f}, p99 {p99:.1f}, max {frozen_ms.max():.1f} ms"
                f" ({p99 / 50:.1f} ticks)"
            )
    for shard in world.shards:
        shard.close()
    world.server.close()
