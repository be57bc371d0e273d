"""A tiny world that hands entities around at random, to hold the audit to its sums.

Shards are dictionaries, the server is a queue of things that happen later. Every
rule of the protocol that the audit depends on is here: pending rows are shadowed,
a request carries the state of its tick, arrivals start from the state that was
sent, a killed shard's entities go on from the newest update.
"""

import copy
from dataclasses import dataclass, field

import numpy as np

from sidereal.demo import audit_file as af
from sidereal.demo.audit import Auditor
from sidereal.demo.plan import Plan, motion_of
from sidereal.demo.recorder import Recorder
from sidereal.simulations.trace import TraceSimulation
from simulations.small_world import SmallWorld

OPTIONS = {"entities": 30, "crowd": 10.0, "sector_size": 50.0, "speed": 40.0, "seed": 7}
SIMULATION = TraceSimulation(OPTIONS)
TICK_NS = 50_000_000


@dataclass
class Rates:
    """How lively the world is, a tick; and the ticks that things take at most."""

    lease_flips: float = 0.15
    crosses: float = 0.15
    freezes: float = 0.08
    decides_in: int = 4
    lands_in: int = 3
    spawns_in: int = 5
    long_custody: float = 0.1


CALM = Rates(
    lease_flips=0, crosses=0.01, freezes=0, decides_in=1, lands_in=1, spawns_in=1, long_custody=0
)
STILL = Rates(lease_flips=0, crosses=0, freezes=0, spawns_in=1)


@dataclass
class Row:
    id: int
    version: int
    tick: int
    position: np.ndarray
    velocity: np.ndarray
    state: np.ndarray
    pending: bool = False
    frozen: bool = False


@dataclass
class ModelShard:
    name: str
    recorder: Recorder
    rows: dict[int, Row] = field(default_factory=dict)
    alive: bool = True
    leased: bool = True

    def step(self, tick, now):
        """One tick over the rows that are due; returns them."""
        due = [r for r in self.rows.values() if r.tick < tick and not r.frozen]
        if not self.leased:
            return []
        n = len(due)
        world = SmallWorld(
            np.array([r.position for r in due]).reshape(n, 2),
            np.array([r.velocity for r in due]).reshape(n, 2),
            np.array([r.state for r in due], af.np.dtype(SIMULATION.state_dtype)),
            tick=tick,
            ids=np.array([r.id for r in due], np.uint64),
        )
        world.since[:] = [r.tick for r in due]
        since = world.since.copy()
        birth, end = (column.copy() for column in SIMULATION.life(world))
        SIMULATION.step(world, 1 / 20)
        for k, row in enumerate(due):
            row.position, row.velocity = world.position[k].copy(), world.velocity[k].copy()
            row.state, row.tick = world.state[k].copy(), tick
        self.recorder.tick(
            tick,
            world.ids,
            since,
            birth,
            end,
            pending=np.array([r.pending for r in due], bool),
            started_ns=now,
            ended_ns=now + 1000,
            next_due_ns=now + TICK_NS,
        )
        for id_ in world.destroyed:
            if not self.rows[id_].pending:
                del self.rows[id_]
        return due


class ModelWorld:
    def __init__(self, directory, seed, ticks=60, shards=3, start=10, rates=None):
        self.rates = rates or Rates()
        self.draw = np.random.default_rng(seed)
        self.directory = directory
        self.plan = Plan(motion_of("trace", OPTIONS), start, ticks)
        self.plan.assign_ids(1 << 40, len(self.plan))
        self.auditor = Auditor(directory, self.plan)
        self.shards: list[ModelShard] = []
        for _ in range(shards):
            self.add_shard()
        self.queue = []  # (tick due, serial, what, arguments)
        self.serial = 0
        self.newest: dict[int, Row] = {}
        self.tick = start - 4
        self.spawned = 0
        self.kills = {}  # tick -> (shard index, whether in the middle of writing)
        self.sends_first = False  # breaks the rule: record, then send
        self.sabotage = {}  # tick -> function of the world
        self.before_judging = lambda: None
        self.quiet = False

    @property
    def now(self):
        return self.tick * TICK_NS

    @property
    def living(self):
        return [s for s in self.shards if s.alive]

    def add_shard(self):
        k = len(self.shards)
        recorder = Recorder(
            self.directory, f"s{k}", 100 + k, ticks_max=500, spans_max=20_000, moves_max=20_000
        )
        self.shards.append(ModelShard(f"s{k}", recorder))

    def soon(self, ticks):
        return int(self.draw.integers(0, ticks))

    def later(self, delay, what, *arguments):
        self.queue.append((self.tick + delay, self.serial, what, arguments))
        self.serial += 1

    def run(self):
        while self.tick <= self.plan.last_tick:
            if self.tick == self.plan.last_tick - 5:
                self.auditor.stop_at(self.plan.last_tick)
            self.advance()
            self.tick += 1
        self.quiet = True
        for _ in range(40):
            self.deliver()
            for shard in self.living:
                shard.leased = True
                shard.step(self.plan.last_tick, self.now)
            self.tick += 1
        return self.judge()

    def judge(self):
        self.before_judging()
        self.auditor.finish()
        for shard in self.living:
            assert shard.recorder.finish
            rows = list(shard.rows.values())
            n = len(rows)
            shard.recorder.final(
                np.array([r.id for r in rows], np.uint64),
                np.array([r.position for r in rows]).reshape(n, 2),
                np.array([r.tick for r in rows], np.uint32),
                np.array([r.state for r in rows], SIMULATION.state_dtype),
                np.array([r.frozen for r in rows], bool),
            )
        return self.auditor.verdict()

    def advance(self):
        self.spawn_ahead()
        self.deliver()
        if self.tick in self.sabotage:
            self.sabotage[self.tick](self)
        for k, shard in enumerate(self.shards):
            if not shard.alive:
                continue
            shard.leased ^= self.draw.random() < self.rates.lease_flips
            before, held = shard.recorder.file.last_tick, dict(shard.rows)
            due = shard.step(self.tick, self.now)
            kill = self.kills.get(self.tick)
            if kill and kill[0] == k:
                if kill[1]:
                    if self.sends_first:
                        self.newest.update(copy.deepcopy({r.id: r for r in due}))
                    shard.rows = held
                self.kill(shard, before if kill[1] else None)
            else:
                self.requests(shard, due)

    def spawn_ahead(self):
        births = self.plan.births(self.spawned, self.tick + 3)
        self.spawned = self.tick + 4
        for k in range(len(births)):
            row = Row(
                int(self.plan.ids[births.generation[k]]),
                1,
                int(births.birth[k]) - 1,
                births.position[k],
                births.velocity[k],
                births.state[k],
            )
            self.newest[row.id] = copy.deepcopy(row)
            self.later(
                self.soon(self.rates.spawns_in), self.arrive, row, self.any_shard(), af.SPAWN
            )

    def any_shard(self):
        return self.living[self.draw.integers(len(self.living))]

    def requests(self, shard, due):
        """What leaves after a step: updates, crossings, freezes."""
        for row in [r for r in due if r.id in shard.rows and not r.pending]:
            if self.draw.random() < 0.4:
                self.newest[row.id] = copy.deepcopy(row)
        if self.tick >= self.plan.last_tick:
            return
        able = [r for r in due if r.id in shard.rows and not r.pending and not r.frozen]
        crossing = [r for r in able if self.draw.random() < self.rates.crosses]
        if crossing:
            shard.recorder.crossed(*ids_versions(crossing), self.now + 2000)
            for row in crossing:
                row.pending = True
                delay = self.soon(self.rates.decides_in)
                self.later(delay, self.decide, shard, row.id, copy.deepcopy(row))
        if self.draw.random() < self.rates.freezes:
            self.freeze(shard, [r for r in shard.rows.values() if not r.pending])

    def freeze(self, shard, rows):
        rows = [r for r in rows if self.draw.random() < 0.4 and r.id not in self.frozen()]
        if not rows:
            return
        shard.recorder.left(*ids_versions(rows), ticks(rows), self.now + 3000)
        for row in rows:
            row.frozen = True
        resumes = self.draw.random() < 0.3
        what = self.resume if resumes else self.migrate
        self.later(int(self.draw.integers(1, 4)), what, shard, [r.id for r in rows])

    def frozen(self):
        return {r.id for s in self.living for r in s.rows.values() if r.frozen}

    def deliver(self):
        due = sorted(item for item in self.queue if item[0] <= self.tick)
        self.queue = [item for item in self.queue if item[0] > self.tick]
        for _, _, what, arguments in due:
            what(*arguments)

    def decide(self, shard, id_, request):
        """The server decides on a crossing; the request outlives its shard."""
        outcome = self.draw.random()
        if outcome < 0.3:
            if shard.alive:
                row = shard.rows[id_]
                row.pending = False
                row.version += 1
                shard.recorder.kept(*ids_versions([row]), ticks([row]), self.now)
            else:
                self.newest[id_] = newer(self.newest[id_], request)
                self.rehome(id_)
            return
        request.version += 1
        request.pending = False
        self.newest[id_] = copy.deepcopy(request)
        target = self.any_shard()
        if shard.alive:
            shard.recorder.released(np.array([id_], np.uint64))
            del shard.rows[id_]
        long = outcome > 1 - self.rates.long_custody
        custody = 8 if long else self.soon(self.rates.lands_in)
        self.later(custody, self.arrive, request, target, af.HANDOFF)

    def arrive(self, row, shard, cause):
        if not shard.alive:
            shard, cause = self.any_shard(), af.ACTIVATION
        assert row.id not in shard.rows
        shard.recorder.entered(*ids_versions([row]), cause)
        shard.rows[row.id] = row

    def resume(self, shard, ids):
        if shard.alive:
            rows = [shard.rows[i] for i in ids]
            shard.recorder.kept(*ids_versions(rows), ticks(rows), self.now)
            for row in rows:
                row.frozen = False

    def migrate(self, shard, ids):
        if not shard.alive:
            return
        target = self.any_shard()
        for row in [shard.rows.pop(i) for i in ids]:
            row.frozen = False
            self.newest[row.id] = copy.deepcopy(row)
            self.later(1, self.arrive, row, target, af.MIGRATION)

    def kill(self, shard, uncommitted):
        """``kill -9``, perhaps while a tick is written down, before it counts."""
        if uncommitted is not None:
            shard.recorder.file["last_tick"] = uncommitted
        shard.alive = False
        asked = {a[1] for _, _, what, a in self.queue if what == self.decide and a[0] is shard}
        for id_ in list(shard.rows):
            if id_ not in asked:
                self.rehome(id_)

    def rehome(self, id_):
        row = copy.deepcopy(self.newest[id_])
        row.pending = row.frozen = False
        delay = int(self.draw.integers(2, 6))
        self.later(delay, self.arrive, row, self.any_shard(), af.ACTIVATION)

    def someone(self):
        """A shard and a row that it simulates, far from its end."""
        pairs = [
            (shard, row)
            for shard in self.living
            for row in shard.rows.values()
            if not row.pending
            and not row.frozen
            and shard.leased
            and row.state["end"] > self.plan.last_tick
            and row.tick == self.tick - 1
            and row.state["birth"] < self.tick - 6
        ]
        return pairs[self.draw.integers(len(pairs))]


def newer(a, b):
    return a if a.tick >= b.tick else b


def ticks(rows):
    return np.array([r.tick for r in rows], np.uint32)


def ids_versions(rows):
    return (
        np.array([r.id for r in rows], np.uint64),
        np.array([r.version for r in rows], np.uint32),
    )
