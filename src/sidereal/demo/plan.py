"""Who should exist when, and where: what the audit compares the world with.

A plan is a list of *generations*: one life of one copy, from its birth tick to its
end tick, both inclusive. All copies are born at the start tick, most of them in
mid-track; whenever a life ends, the copy's next one is born one tick later. The
launcher spawns generations ahead of their birth with ids that the server grants;
from then on the plan knows for every tick how many entities are alive, which, and
where, without having heard anything from the world.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sidereal.demo.idhash import mixed_ids
from sidereal.errors import ConfigError
from sidereal.simulations import blob
from sidereal.simulations.drift import DriftField
from sidereal.simulations.flock import FlockField
from sidereal.simulations.replay import Ints, Replay
from sidereal.simulations.tracks import F64, I64

U64 = npt.NDArray[np.uint64]


class Motion(Protocol):
    """How copies live and move: `Replay`, `DriftField` or `FlockField`.

    Where ``foreseen`` is False, nobody can say beforehand where an entity will be: its
    position is known at its spawn only, and the audit compares none.
    """

    foreseen: bool
    entities: int
    side: float
    tick_hz: float

    def life(self, copy: Ints, loop: Ints) -> I64:
        """Ticks that a life lasts."""
        ...

    def position(self, copy: Ints, loop: Ints, age: Ints) -> F64:
        """Positions at ages in ticks since birth."""
        ...

    def velocity(self, copy: Ints, loop: Ints, age: Ints) -> F64:
        """Velocities at ages in ticks since birth."""
        ...


def motion_of(simulation: str, options: Mapping[str, Any]) -> Motion:
    """The motion that a simulation follows, from the options that its shards get.

    Raises
    ------
    ConfigError
        The simulation does not keep the account in the entities' state that the audit reads.
    """
    if simulation == "trace":
        return Replay.from_options(options)
    if simulation == "drift":
        return DriftField(options)
    if simulation == "flock":
        return FlockField(options)
    raise ConfigError(
        f"simulation '{simulation}' is none that a demo can audit: choose trace, drift or flock,"
        " and run your own with 'sidereal replication' and 'sidereal shard'"
    )


@dataclass(frozen=True)
class Births:
    """Generations to spawn, by birth tick.

    Attributes
    ----------
    generation : ndarray, (n,) int64
    birth : ndarray, (n,) int64
        The first tick to simulate; the state to spawn with is that of ``birth - 1``.
    position, velocity : ndarray, (n, 2) float64
    state : ndarray, (n,) `sidereal.simulations.blob.STATE`
    """

    generation: I64
    birth: I64
    position: F64
    velocity: F64
    state: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.generation)


@dataclass(frozen=True)
class Expected:
    """What is alive in each tick of a run, (ticks,) each.

    Attributes
    ----------
    first_tick : int
    count : ndarray, int64
    hash : ndarray, uint64
        Sum of `sidereal.demo.idhash.mixed_ids` of the ids alive.
    """

    first_tick: int
    count: I64
    hash: U64


class Plan:
    """All lives of a run.

    Parameters
    ----------
    motion : Motion
    start_tick : int
        The birth tick of every copy's first life, at least 1.
    ticks : int
        Ticks of the run: the last is ``start_tick + ticks - 1``.

    Attributes
    ----------
    copy, loop, birth, end : ndarray, (generations,) int64
        Sorted by birth, then copy.
    ids : ndarray, (generations,) uint64
        0 until granted.
    granted : int
        How many generations, from the first on, have an id.
    """

    def __init__(self, motion: Motion, start_tick: int, ticks: int) -> None:
        if start_tick < 1 or ticks < 1:
            raise ConfigError(f"start tick {start_tick} and ticks {ticks} must be at least 1")
        self.motion = motion
        self.start_tick, self.ticks = start_tick, ticks
        copies = np.arange(motion.entities)
        first_end = start_tick - 1 + motion.life(copies, np.zeros_like(copies))
        life = motion.life(copies, np.ones_like(copies))
        later = np.maximum(-((first_end - self.last_tick) // life), 0)
        copy = np.repeat(copies, later + 1)
        loop = np.arange(len(copy)) - np.repeat(np.cumsum(later + 1) - (later + 1), later + 1)
        birth = np.where(loop == 0, start_tick, first_end[copy] + 1 + (loop - 1) * life[copy])
        order = np.lexsort((copy, birth))
        self.copy: I64 = copy[order]
        self.loop: I64 = loop[order]
        self.birth: I64 = birth[order]
        self.end: I64 = self.birth - 1 + motion.life(self.copy, self.loop)
        self.ids: U64 = np.zeros(len(self), np.uint64)
        self.granted = 0

    def __len__(self) -> int:
        return len(self.copy)

    @property
    def last_tick(self) -> int:
        """The last tick of the run."""
        return self.start_tick + self.ticks - 1

    @property
    def ungranted(self) -> int:
        """Generations that still lack an id."""
        return len(self) - self.granted

    def assign_ids(self, first: int, count: int) -> None:
        """Give a granted block of ids to the next generations, in order.

        A block that is larger than needed is used in part.
        """
        stop = min(self.granted + count, len(self))
        taken = np.arange(stop - self.granted, dtype=np.uint64)
        self.ids[self.granted : stop] = np.uint64(first) + taken
        self.granted = stop

    def births(self, first_tick: int, last_tick: int) -> Births:
        """Generations born from one tick to another, both inclusive."""
        start, stop = np.searchsorted(self.birth, (first_tick, last_tick + 1))
        generation = np.arange(start, stop)
        copy, loop = self.copy[start:stop], self.loop[start:stop]
        birth, end = self.birth[start:stop], self.end[start:stop]
        before = np.full(len(generation), -1)
        return Births(
            generation=generation,
            birth=birth,
            position=self.motion.position(copy, loop, before),
            velocity=self.motion.velocity(copy, loop, before),
            state=blob.spawn_state(copy, loop, birth, end),
        )

    def generation_of(self, ids: U64) -> I64:
        """The generation that each id was given to, (n,) int64; -1 where to none."""
        known = self.ids[: self.granted]
        order = np.argsort(known)
        place = np.searchsorted(known, ids, sorter=order)
        generation = order[np.minimum(place, len(order) - 1)] if len(order) else place
        found = known[generation] == ids if len(order) else np.zeros(len(ids), np.bool_)
        return np.where(found, generation, -1)

    def position(self, generation: I64, tick: npt.NDArray[np.integer] | int) -> F64:
        """Where generations (n,) are at ticks, (n, 2); clipped to each life."""
        birth = self.birth[generation]
        clipped = np.minimum(tick, self.end[generation])
        return self.motion.position(self.copy[generation], self.loop[generation], clipped - birth)

    def alive(self, tick: int) -> I64:
        """The generations alive in a tick."""
        stop = np.searchsorted(self.birth, tick, side="right")
        return np.flatnonzero(self.end[:stop] >= tick)

    def expected(self, last_tick: int | None = None) -> Expected:
        """Count and id-hash of what is alive in each tick up to the last.

        Raises
        ------
        ConfigError
            A generation of that time has no id: the launcher never spawned it.
        """
        last = self.last_tick if last_tick is None else last_tick
        length = max(last - self.start_tick + 1, 0)
        born = int(np.searchsorted(self.birth, last, side="right"))
        if born > self.granted:
            raise ConfigError(f"{born} are born by tick {last}, but only {self.granted} have ids")
        enter = self.birth[:born] - self.start_tick
        leave = np.minimum(self.end[:born] - self.start_tick + 1, length)
        count = np.bincount(enter, minlength=length + 1) - np.bincount(leave, minlength=length + 1)
        change = np.zeros(length + 1, np.uint64)
        mixed = mixed_ids(self.ids[:born])
        np.add.at(change, enter, mixed)
        np.subtract.at(change, leave, mixed)
        return Expected(
            first_tick=self.start_tick,
            count=np.cumsum(count)[:length],
            hash=np.cumsum(change, dtype=np.uint64)[:length],
        )
