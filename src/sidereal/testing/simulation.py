"""One seed: a cluster lives through its plan, is healed, and has to come to rest.

`Simulation(plan).run()` returns an `Outcome`. A plan that breaks an invariant
gives an outcome with the `Violation`; the same plan gives the same outcome, event
for event, which its digest shows.
"""

import traceback
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from sidereal.errors import LimitError
from sidereal.shard import events as ev
from sidereal.shard.phase import SHADOW, STILL
from sidereal.store.memory import no_strike
from sidereal.testing import borders, checks, replays
from sidereal.testing.audience import Audience
from sidereal.testing.blows import Blows
from sidereal.testing.clocks import Clockwork, LocalClock
from sidereal.testing.cluster import Cluster, Step
from sidereal.testing.coverage import Coverage, Traffic
from sidereal.testing.faults import BY_NAME
from sidereal.testing.observer import Observer, Violation
from sidereal.testing.phases import Phases
from sidereal.testing.plan import Plan, Strike
from sidereal.testing.playground import EXTENT, Playground
from sidereal.testing.shards import SimulatedShard
from sidereal.testing.strikes import STRIKES
from sidereal.wire import operator_messages as om
from sidereal.world.batch import World
from sidereal.world.rules import NS_PER_S

PATIENCE_S = 12.0
"""How long a strike waits for a shard in its phase; then it is not struck."""

LIFE_S = 0.1
"""How often operators and spawning shards have their chance."""

SHARDS_MAX = 6

SPEED = 12.0
"""At most so many units a second along each axis is how fast they wander."""

REST_S = 30.0
"""Within so long after the faults healed everything must be active again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a plan."""

    plan: Plan
    violation: Violation | None
    at_s: float
    """Virtual seconds lived, or until the violation."""
    handoffs: int
    lease_ends: int
    fences: int
    restarts: int
    entities: int
    checks: int
    digest: int
    """Of every message that reached the server, and when."""
    coverage: Coverage
    struck: tuple[str, ...] = field(default=())


class Simulation:
    """One plan's life.

    Parameters
    ----------
    plan
        What happens; `sidereal.testing.plan.draw` makes one of a seed.
    observers
        Who looks on.
    step
        A game's own ``step(world, dt)`` instead of the playground. Everything stands still in
        the end, when the faults are healed.
    state_dtype
        Layout of that game's states.
    """

    def __init__(
        self,
        plan: Plan,
        *observers: Observer,
        step: Step | None = None,
        state_dtype: np.dtype[Any] | None = None,
    ) -> None:
        self.plan = plan
        self._own = step
        self.random = Random(plan.seed * 7919 + 1)
        self.game = Playground(np.random.default_rng(plan.seed), plan.teleports, plan.deaths)
        self.numbers = np.random.default_rng(plan.seed + 1)
        self.cluster = Cluster(
            plan.seed,
            shards=plan.shards,
            settings=plan.settings,
            step=self._step,
            state_dtype=state_dtype,
            weather=plan.weather,
            ghosts=plan.ghosts,
            idle_ns=plan.idle_ns,
            comes_back=True,
            clock_of=self._clock_of,
            transport=plan.transport,
        )
        cluster = self.cluster
        cluster.witness.honest = True
        self.phases = Phases(cluster)
        self.coverage = Coverage()
        self.traffic = Traffic(self)
        cluster.observers += [self.phases, self.traffic, *observers]
        self.blows = Blows(self)
        self.audience = Audience(self)
        self.struck: list[str] = []
        self._armed: list[tuple[int, Strike]] = []
        self._names = plan.shards
        self._lease_ends = 0
        cluster.hear = self._hear
        for shard in cluster.shards:
            self.traffic.watch(shard)

    def _clock_of(self, name: str, clock: Clockwork) -> LocalClock:
        drift = self.plan.drift_ppm
        ahead = self.random.randrange(10 * NS_PER_S) if "drift" in BY_NAME and drift else 0
        return LocalClock(clock, ahead, drift if name == "server" else -drift)

    def _step(self, world: World, dt: float) -> None:
        if self._own is None:
            self.game.step(world, dt)
        elif not self.game.calm:
            self._own(world, dt)

    # --- the story -----------------------------------------------------------

    def run(self) -> Outcome:
        """Live through the plan; return what became of it."""
        violation = None
        try:
            self._live()
            self._rest()
        except Violation as error:
            violation = error
        except Exception as error:
            if self._own is not None:
                raise  # it may be the game's
            violation = _broken_down(error)
        cluster = self.cluster
        counters = cluster.counters
        return Outcome(
            plan=self.plan,
            violation=violation,
            at_s=self.seconds,
            handoffs=cluster.witness.ledger.handoffs,
            lease_ends=self._lease_ends,
            fences=counters["fences"],
            restarts=cluster.server.term - 1,
            entities=len(cluster.manager.books.table),
            checks=cluster.witness.checks,
            digest=cluster.digest,
            coverage=self.coverage,
            struck=tuple(self.struck),
        )

    @property
    def seconds(self) -> float:
        """Virtual seconds since the beginning."""
        return (self.cluster.clock.now - self._began) / NS_PER_S

    def _live(self) -> None:
        plan, cluster = self.plan, self.cluster
        self._began = cluster.clock.now
        cluster.run(0.3)
        self._place(plan.entities)
        cluster.run(0.1)
        self.audience.come(plan.clients)
        cluster.server.commit_ns = plan.commit_ns
        for strike in plan.strikes:
            when = self._began + round(strike.at_s * NS_PER_S)
            cluster.clock.at(when, partial(self._arm, strike))
        self._life()
        end = self._began + round(plan.seconds * NS_PER_S)
        cluster.clock.run_until(end, self._instant)

    def _instant(self) -> None:
        cluster = self.cluster
        if cluster.touched or cluster.accusations:  # else there is nothing to see
            cluster.witness.instant()
        if self._armed and self.phases.changed:
            self._aim()

    # --- strikes -------------------------------------------------------------

    def _arm(self, strike: Strike) -> None:
        self._armed.append((self.cluster.clock.now, strike))
        self.phases.changed = True

    def _aim(self) -> None:
        """Let each armed strike find a shard in its phase."""
        self.phases.changed = False
        now = self.cluster.clock.now
        waiting = []
        at = self._by_phase()
        for since, strike in self._armed:
            if now - since > PATIENCE_S * NS_PER_S:
                continue
            found = at.get(strike.phase)
            if found:
                random = Random(strike.salt)
                struck = self._strike(strike, random.choice(found), random)
                at = self._by_phase()
                if struck:
                    continue
            waiting.append((since, strike))
        self._armed = waiting

    def _by_phase(self) -> dict[str, list[SimulatedShard]]:
        """Return who may be struck in each phase."""
        at: dict[str, list[SimulatedShard]] = {}
        for shard in self.standing():
            for phase in self.phases.of(shard):
                at.setdefault(phase, []).append(shard)
        return at

    def _strike(self, strike: Strike, shard: SimulatedShard, random: Random) -> bool:
        phases = self.phases.of(shard)
        if not STRIKES[strike.fault](self.blows, shard, random):
            return False
        self.coverage.strike(BY_NAME[strike.fault].number, phases)
        self.struck.append(
            f"{self.seconds:7.3f} s {strike.fault} at {shard.name} ({', '.join(phases)})"
        )
        return True

    def standing(self) -> list[SimulatedShard]:
        """Return the shards that may be struck: alive, and not standing still."""
        return [shard for shard in self.cluster.shards if shard.alive and not shard.paused]

    def join(self, name: str | None = None) -> SimulatedShard | None:
        """Start a shard process, new or again; None where there are enough."""
        cluster = self.cluster
        if name is None:
            if len(cluster.alive()) >= SHARDS_MAX:
                return None
            name = f"shard-{self._names}"
            self._names += 1
        cluster.shards[:] = [s for s in cluster.shards if s.alive or s.name != name]
        return cluster.add_shard(name)

    # --- what happens all along ----------------------------------------------

    def _hear(self, shard: SimulatedShard, told: list[ev.Event]) -> None:
        self._lease_ends += sum(isinstance(event, ev.LeaseLost) for event in told)
        self.audience.told(shard, told)
        shard.log.clear()

    def _life(self) -> None:
        """Operators order, shards spawn."""
        clock = self.cluster.clock
        if self.seconds >= self.plan.seconds:
            return
        clock.at(clock.now + round(LIFE_S * NS_PER_S), self._life)
        self.phases.changed = True
        if not self.cluster.server.alive:
            return
        crowded = len(self.cluster.manager.books.table) > self.plan.entities * 5 // 4
        if self.random.random() < self.plan.births * LIFE_S and not crowded:
            self._spawn()
        if self.random.random() < self.plan.deaths * LIFE_S:
            self._end()
        if self.random.random() < self.plan.orders * LIFE_S:
            self._order()

    def _spawn(self) -> None:
        """Have a shard spawn a few, now and then as a group behind one that it holds."""
        random = self.random
        able = [s for s in self.standing() if s.leased and s.core.clock is not None]
        if not able:
            return
        shard = random.choice(able)
        core, count = shard.core, random.randrange(1, 6)
        position = self.numbers.uniform(-EXTENT, EXTENT, (count, 2)) * random.choice(
            [1.0, 1.0, 1.6]
        )
        if random.random() < 0.4:  # on a border
            position[:, 0] = np.round(position[:, 0] / 100.0) * 100.0
        velocity = self.numbers.uniform(-1, 1, (count, 2)) * SPEED
        group = None
        held = checks.simulated_by(shard, shard.clock.now)
        if random.random() < 0.5 and len(held):
            group = self._behind(shard, int(held[random.randrange(len(held))]), position, velocity)
        try:
            ids = core.spawn(shard.ticked, position, velocity, group=group)
        except LimitError:
            return  # its ids have not been granted yet
        if group is not None and group.any():
            self.game.group(int(group.max()), ids[group != 0])
        shard.flush()

    def _end(self) -> None:
        """Have a shard's game end, between two steps, what has asked to cross or stands frozen."""
        able = [shard for shard in self.standing() if not shard.still]
        if not able:
            return
        shard = self.random.choice(able)
        table = shard.core.holdings.table
        undecided = table.ids[table.phase & (SHADOW | STILL) != 0]
        if len(undecided):
            shard.destroy(self.numbers.choice(undecided, 1))

    def _behind(
        self, shard: SimulatedShard, root: int, position: np.ndarray, velocity: np.ndarray
    ) -> np.ndarray | None:
        table = shard.core.holdings.table
        slot = table.slots(np.array([root], np.uint64))[0]
        if int(table.group[slot]) not in (0, root):
            return None
        group = np.where(self.numbers.random(len(position)) < 0.7, root, 0).astype(np.uint64)
        near = self.numbers.uniform(-60, 60, (len(position), 2))
        position[group != 0] = table.position[slot] + near[group != 0]
        velocity[group != 0] = table.velocity[slot]
        return group

    def _order(self) -> None:
        """One order of an operator's, sensible or not."""
        cluster, random = self.cluster, self.random
        books = cluster.manager.books
        coords = (random.randrange(-4, 4), random.randrange(-4, 4))
        shards = [info.shard_id for info in books.shards]
        what = random.random()
        if what < 0.5 and shards:
            cluster.order(om.Command(1, "migrate", coords, random.choice(shards)))
        elif what < 0.65:
            cluster.order(om.Command(1, "unload", coords, None))
        elif what < 0.75:
            cluster.order(om.Command(1, "load", coords, None))
        elif what < 0.8 and len(shards) > 1:
            cluster.order(om.Command(1, "drain", None, random.choice(shards)))
        elif what < 0.9 and shards:
            cluster.order(om.Command(1, "uncordon", None, random.choice(shards)))
        elif what < 0.95 and len(books.table) > 60:
            ids = self.numbers.choice(books.table.ids, 2, replace=False)
            cluster.order(om.DestroyByOperator(1, ids.tolist()))
        elif len(books.table) < 160:
            self._place(3)

    def _place(self, count: int) -> None:
        """Have an operator create some."""
        position = self.numbers.uniform(-EXTENT, EXTENT, (count, 2))
        velocity = self.numbers.uniform(-1, 1, (count, 2)) * SPEED
        with suppress(LimitError):  # where no ids are granted yet, a later order creates some
            self.cluster.spawn(position, velocity)

    # --- the end -------------------------------------------------------------

    def _rest(self) -> None:
        """Faults end, everything stands still: it must be settled within a bound."""
        cluster = self.cluster
        self._armed.clear()
        self.game.calm = True
        self.blows.heal()
        cluster.disk.strike = no_strike
        cluster.server.dies_after = None
        for info in cluster.manager.books.shards:
            cluster.order(om.Command(1, "uncordon", None, info.shard_id))
        if not cluster.server.alive:
            cluster.restart()
        if not cluster.alive():
            self.join()
        if self.plan.strikes and self.random.random() < 0.5:
            for shard in cluster.alive():  # what was sent last may be lost, and nothing follows it
                shard.line.snap("the link broke")
        cluster.run(1.5 * self.plan.lease_ns / NS_PER_S)
        waited = 0.0
        while True:
            try:
                checks.at_rest(cluster)
                self.audience.at_rest()
                borders.at_rest(cluster)
            except Violation:
                if waited > REST_S:
                    raise
                cluster.run(0.25)  # a lease that is running out, a sector that is moving
                waited += 0.25
            else:
                break
        if cluster.server.settled:
            replays.replayed(cluster)
        checks.unaccused(cluster)


def _broken_down(error: Exception) -> Violation:
    """Return what a seed ends with where code fails: a find like any other, with its story."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{last.name}, line {last.lineno} of {Path(last.filename).name}"
    violation = Violation(
        "no process breaks down", f"{type(error).__name__} in {where}: {error or last.line}"
    )
    violation.__cause__ = error
    return violation


def shortened(plan: Plan, seconds: float) -> Plan:
    """Return a plan that ends earlier, without the strikes after that."""
    strikes = tuple(s for s in plan.strikes if s.at_s < seconds)
    return replace(plan, seconds=seconds, strikes=strikes)
