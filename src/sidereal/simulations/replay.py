"""A crowd out of a few recorded tracks: each copy replays one in its own place.

A *copy* is a track with its own rotation, place and start. When the track ends
the copy *loops*: one entity's life is over and the next one, with a new id,
begins at the track's first sample one tick later. Everything follows from the
options and the seed, so that every process that builds a replay has the same.

Copies draw their tracks by duration, as if a moment of the recording were drawn:
a snippet of half a second is played as often as its half second deserves, and
loops stay rare.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sidereal.errors import SimulationError
from sidereal.simulations.trace_file import Trace, load_trace
from sidereal.simulations.tracks import F64, I64, Steps, Tracks, as_points, as_position

Ints = npt.NDArray[np.integer]

COPY = np.dtype([("turn", "<c16"), ("first", "<i8"), ("last", "<u4"), ("phase", "<u4")])
"""What a tick needs of a copy: its rotation, its track's first step among all tracks' and the
number of its last one, and the step at which its first life begins. 32 bytes."""

LINE_BYTES = 64


class Replay:
    """Copies of tracks, overlapping in one square world around the origin.

    Parameters
    ----------
    trace : Trace
    entities : int
        Copies, each with one entity alive at any time.
    crowd : float
        Entities per sector, on average.
    sector_size : float
    tick_hz : float
    speed : float
        How many times as fast as recorded.
    seed : int

    Attributes
    ----------
    side : float
        Side of the square that the copies' middles lie in, units.
    track, phase : ndarray, (entities,) int64
        Each copy's track, and the step of it at which its first life begins.
    copies : ndarray, (entities,) `COPY`
    """

    foreseen = True

    def __init__(
        self,
        trace: Trace,
        *,
        entities: int,
        crowd: float,
        sector_size: float,
        tick_hz: float,
        speed: float,
        seed: int,
    ) -> None:
        self.entities = entities
        self.tick_hz = tick_hz
        self.side = world_side(entities, crowd, sector_size)
        self.steps = Steps(Tracks(trace), speed / tick_hz)
        draw = np.random.default_rng(seed)
        life = self.steps.life
        self.track: I64 = np.searchsorted(
            np.cumsum(life), draw.integers(life.sum(), size=entities), side="right"
        )
        angle = draw.uniform(0.0, 2 * np.pi, entities)
        self._turn = np.cos(angle) + 1j * np.sin(angle)
        self._place = as_points(draw.uniform(-self.side / 2, self.side / 2, (entities, 2)))
        self.phase: I64 = (draw.random(entities) * life[self.track]).astype(np.int64)
        # In one place for each copy, since copies come in no order: one trip to memory, not three.
        # In whole cache lines: a copy that lay across two would cost two trips.
        room = np.empty(entities * COPY.itemsize + LINE_BYTES, np.uint8)
        start = -room.ctypes.data % LINE_BYTES
        self.copies = room[start : start + entities * COPY.itemsize].view(COPY)
        self.copies["turn"], self.copies["phase"] = self._turn, self.phase
        self.copies["first"] = self.steps.first[self.track]
        self.copies["last"] = life[self.track] - 1
        starts = trace.offsets[:-1]
        low = [np.minimum.reduceat(axis, starts) for axis in (trace.x, trace.y)]
        high = [np.maximum.reduceat(axis, starts) for axis in (trace.x, trace.y)]
        self._middle = as_points((np.stack(low, axis=1) + np.stack(high, axis=1)) / 2)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "Replay":
        """Build from a shard's options; what is missing has `defaults`.

        Raises
        ------
        SimulationError
            An option is not a number, or out of its range.
        TraceError
            The trace cannot be played.
        """
        chosen = numbers_of(options)
        return cls(load_trace(options.get("trace") or None, chosen["sector_size"]), **chosen)

    def life(self, copy: Ints, loop: Ints) -> I64:
        """Ticks that a copy's life lasts, (n,), at least 1; its first life starts in mid-track."""
        return self.steps.life[self.track[copy]] - self._start(copy, loop)

    def position(self, copy: Ints, loop: Ints, age: Ints) -> F64:
        """Positions (n, 2) at ages (n,), in ticks since birth, clipped to the life."""
        track = self.track[copy]
        (raw,) = self.steps.points(track, np.maximum(age, 0) + self._start(copy, loop))
        return as_position(self._place[copy] + self._turn[copy] * (raw - self._middle[track]))

    def moved(self, copy: Ints, loop: Ints, age_from: Ints, age_to: Ints) -> F64:
        """How far copies moved between two ages, (n, 2) units."""
        of = self.copies.take(copy)
        start = np.where(loop == 0, of["phase"], 0).astype(np.int64)
        steps = []
        for age in (age_from, age_to):
            step = np.maximum(age, 0)
            step += start
            steps.append(np.minimum(step, of["last"], out=step))
        moved = self.steps.between(of["first"], *steps)
        moved *= of["turn"]
        return as_position(moved)

    def velocity(self, copy: Ints, loop: Ints, age: Ints) -> F64:
        """Units per second of world time over the next tick, (n, 2)."""
        begun = np.maximum(age, 0)
        return self.moved(copy, loop, begun, begun + 1) * self.tick_hz

    def _start(self, copy: Ints, loop: Ints) -> I64:
        """The step of its track at which each life begins."""
        return np.where(loop == 0, self.phase[copy], 0)


DEFAULTS: dict[str, int | float] = {
    "entities": 10_000,
    "crowd": 150.0,
    "sector_size": 1000.0,
    "tick_hz": 20.0,
    "speed": 1.0,
    "seed": 1,
}
"""Options of every demo simulation, where they are not given."""


def numbers_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The numeric options of a demo simulation, checked, with `DEFAULTS`."""
    chosen: dict[str, Any] = {}
    for name, default in DEFAULTS.items():
        value = options.get(name, default)
        whole = isinstance(default, int)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            kind = "a whole number" if whole else "a number"
            raise SimulationError(f"option {name} is {value!r}, not {kind}")
        if name == "seed":
            if value < 0:
                raise SimulationError(f"option seed is {value}; it must be at least 0")
        elif not 0 < value < float("inf"):
            raise SimulationError(f"option {name} is {value}; it must be above 0 and finite")
        chosen[name] = value if whole else float(value)
    return chosen


def world_side(entities: int, crowd: float, sector_size: float) -> float:
    """Side of the square in which ``entities`` have a density of ``crowd`` a sector."""
    return float(np.sqrt(entities / crowd) * sector_size)
