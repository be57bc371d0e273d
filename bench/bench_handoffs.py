"""Handoffs through both cores and the journal, without sockets: messages as bytes, SQLite below.

A strip of sectors belongs in turns to two shards; all entities drift along it, so that each
crossing is a handoff. The audit is on, states are 64 bytes. Reported is how many handoffs one
core of the machine takes a second, and by stage; and what the journal costs, beside one in memory
and beside bare append and fdatasync, in turns. What fails is a world that is not whole, and a
journal that costs more than an eighth of that rate.

    pytest bench/bench_handoffs.py -s
"""

import os
import time
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest

from ratios import SCALE
from sidereal.ids import Incarnation, LinkId
from sidereal.replication.manager import SectorManager
from sidereal.replication.settings import Settings
from sidereal.shard.core import ShardCore
from sidereal.store import MemoryStore, SqliteStore
from sidereal.wire import codec
from sidereal.wire import operator_messages as om
from sidereal.world.entities import EntityRows
from sidereal.world.rules import NS_PER_S, WorldRules

ENTITIES = 100_000
SECTORS = 64
SIZE = 1000.0
STATE_BYTES = 64
TICKS = 40
CROSSING_SHARE = 0.05
"""Of all entities, each tick."""

RULES = WorldRules(sector_size=SIZE, handoff_margin=0.0)
SETTINGS = Settings(rules=RULES, rebalance_ns=3600 * NS_PER_S, audit_ns=NS_PER_S)
OPERATOR = LinkId(1)


COST_MAX = 0.12
"""Of the handoffs a second of processor time: what the journal may take, were there nothing else.

Its 2 ms a commit are mostly the kernel's copies of 820 KB. In the demo, where a commit has its own
thread and a second its 20,000 handoffs, they cost nothing of the rate (docs/decisions/store.md)."""


class Bare:
    """Append and fdatasync: the least that a durable commit can be."""

    def __init__(self, path):
        self.file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def acquire_term(self):
        return 1

    def commit(self, _term, records):
        if records:
            os.write(self.file, b"".join(records))
            os.fdatasync(self.file)

    def close(self):
        os.close(self.file)


class Stopwatch:
    """Seconds of processor time by stage."""

    def __init__(self):
        self.s = Counter()

    @contextmanager
    def __call__(self, stage):
        start = time.process_time()
        yield
        self.s[stage] += time.process_time() - start


class Strip:
    """The server, two shards, and the wire between them."""

    def __init__(self, store):
        self.now = NS_PER_S
        self.store = store
        self.term = store.acquire_term()
        self.watch = Stopwatch()
        self.manager = SectorManager(SETTINGS, term=self.term, now=self.now)
        self.manager.connected(OPERATOR, "admin")
        self.shards = {
            LinkId(10 + i): ShardCore(f"shard-{i}", Incarnation(i + 1)) for i in range(2)
        }
        self.answers = []
        for link, core in self.shards.items():
            self.manager.connected(link, f"shard:{core.name}")
            core.open(self.now)
        self.exchange()
        self.fill()

    def fill(self):
        """Sectors in turns to the two shards, then everybody in them."""
        for number in range(SECTORS):
            self.say(om.Command(1, "load", (number, 0), None))
        self.pass_time()
        for number in range(SECTORS):
            if self.manager.books.sectors[number, 0].shard_id != number % 2:
                self.say(om.Command(1, "migrate", (number, 0), number % 2))
        self.pass_time()
        owners = [self.manager.books.sectors[n, 0].shard_id for n in range(SECTORS)]
        assert owners == [n % 2 for n in range(SECTORS)]
        self.say(om.RequestIds(ENTITIES))
        first = self.answers[-1].first
        random = np.random.default_rng(1)
        ids = np.arange(first, first + ENTITIES, dtype=np.uint64)
        position = np.column_stack(
            [random.uniform(0, SECTORS * SIZE, ENTITIES), random.uniform(0, SIZE, ENTITIES)]
        )
        speed = CROSSING_SHARE * SIZE * RULES.tick_hz
        rows = EntityRows(
            ids=ids,
            group=np.zeros(ENTITIES),
            position=position,
            velocity=np.column_stack([np.full(ENTITIES, speed), np.zeros(ENTITIES)]),
            sector=np.zeros((ENTITIES, 2)),
            version=np.zeros(ENTITIES),
            handle=np.zeros(ENTITIES),
            tick=np.full(ENTITIES, self.manager.books.tick_at(self.now)),
            flags=np.zeros(ENTITIES),
            sensor=np.zeros(ENTITIES),
            lengths=np.full(ENTITIES, STATE_BYTES),
            states=random.integers(0, 255, ENTITIES * STATE_BYTES),
        )
        for part in rows.split(5_000):
            self.say(om.SpawnEntities(1, part))
        assert len(self.manager.books.table) == ENTITIES

    def say(self, message):
        self.manager.receive(OPERATOR, message, self.now)
        self.exchange()

    def pass_time(self):
        self.now += RULES.tick_ns
        self.manager.tick(self.now)
        for core in self.shards.values():
            core.tick(self.now)
        self.exchange()

    def exchange(self):
        """Carry messages, as bytes, until nobody has one."""
        quiet = False
        while not quiet:
            quiet = True
            for link, core in self.shards.items():
                messages, payloads = core.poll()
                core.sent_datagrams(0 if payloads else -1)
                core.notice(range(len(payloads)), [])
                for message in messages:
                    quiet = False
                    with self.watch("shard: encode"):
                        data = codec.encode(message)
                    with self.watch("server: decode and judge"):
                        self.manager.receive(link, codec.decode(data), self.now)
                with self.watch("server: updates"):
                    self.manager.receive_datagrams(link, payloads, self.now)
            with self.watch("server: records"):
                step = self.manager.poll()
            with self.watch("journal: commit"):
                self.store.commit(self.term, step.records)
            for output in step.outputs:
                quiet = False
                core = self.shards.get(output.link)
                if core is None:
                    self.answers.append(output.message)
                    continue
                with self.watch("server: encode"):
                    data = codec.encode(output.message)
                with self.watch("shard: decode and live with"):
                    core.receive(codec.decode(data), self.now)
        for core in self.shards.values():
            core.events()

    def tick(self):
        """One tick of the world: everybody moves along, and from the end back to the start."""
        self.now += RULES.tick_ns
        tick = self.manager.books.tick_at(self.now)
        for core in self.shards.values():
            table = core.holdings.table
            with self.watch("shard: the game's own step"):
                slots = core.runnable(tick)
                position, velocity = table.position[slots], table.velocity[slots]
                position[:, 0] = (position[:, 0] + velocity[:, 0] / RULES.tick_hz) % (
                    SECTORS * SIZE
                )
            with self.watch("shard: cross, request, pack"):
                core.move(slots, position, velocity)
                core.complete(tick, slots, self.now)
        self.exchange()
        with self.watch("server: tick"):
            self.manager.tick(self.now)
        for core in self.shards.values():
            core.tick(self.now)
        self.exchange()


def test_handoffs_through_both_cores_and_the_journal(tmp_path, capsys):
    store = SqliteStore(tmp_path / "data")
    strip = Strip(store)
    for _ in range(3):
        strip.tick()
    books = strip.manager.books
    before, strip.watch = books.counters["handoffs"], Stopwatch()
    start = time.perf_counter()
    for _ in range(TICKS):
        strip.tick()
    wall = time.perf_counter() - start
    handoffs = books.counters["handoffs"] - before
    held = [core.holdings.table for core in strip.shards.values()]
    assert sum(map(len, held)) == len(books.table) == ENTITIES
    assert len(np.unique(np.concatenate([table.ids for table in held]))) == ENTITIES
    assert handoffs == pytest.approx(CROSSING_SHARE * ENTITIES * TICKS, rel=0.05)
    assert books.counters["audit_differences"] == 0
    assert books.counters["audit_sectors"] > 0
    store.close()
    stages = strip.watch.s
    moving = {"shard: the game's own step", "server: updates", "server: tick"}
    busy = sum(s for stage, s in stages.items() if stage not in moving)
    with capsys.disabled():
        print(
            f"\n{handoffs:,} handoffs of {STATE_BYTES} bytes, {ENTITIES:,} entities: "
            f"{handoffs / busy:,.0f} a second of processor time, {handoffs / wall:,.0f} of wall "
            "time with all else in the ticks"
        )
        for stage, seconds in stages.most_common():
            print(f"{stage:32} {seconds / handoffs * 1e9:8.0f} ns a handoff")


def test_the_journal_costs_little_of_the_rate(tmp_path, capsys):
    stores = {
        "memory": MemoryStore(),
        "append and fdatasync": Bare(tmp_path / "bare"),
        "SQLite": SqliteStore(tmp_path / "data"),
    }
    strips = {name: Strip(store) for name, store in stores.items()}
    processor, wall, handoffs = Counter(), Counter(), Counter()
    names = list(strips)
    for number in range(3 + TICKS):
        for name in names[number % 3 :] + names[: number % 3]:
            strip = strips[name]
            count = strip.manager.books.counters["handoffs"]
            busy, start = time.process_time(), time.perf_counter()
            strip.tick()
            if number >= 3:
                processor[name] += time.process_time() - busy
                wall[name] += time.perf_counter() - start
                handoffs[name] += strip.manager.books.counters["handoffs"] - count
    for store in stores.values():
        store.close()
    assert handoffs["SQLite"] == handoffs["memory"] == handoffs["append and fdatasync"]
    rate = {name: handoffs[name] / processor[name] for name in names}
    with capsys.disabled():
        print(f"\n{handoffs['SQLite'] / TICKS:,.0f} handoffs a commit, all else of the ticks too")
        for name in names:
            print(
                f"{name:22} {rate[name]:9,.0f} handoffs a second of processor time,"
                f" {rate[name] / rate['memory'] - 1:+.1%}; waiting for the disk"
                f" {(wall[name] - processor[name]) / TICKS * 1e3:.1f} ms a tick"
            )
    assert rate["SQLite"] > (1 - COST_MAX / SCALE) * rate["memory"]
