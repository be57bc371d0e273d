"""The game of the simulations: entities that do what is hard on borders.

What an entity does follows from its id: some wander and turn round at the edge,
some swing over one border, some circle a corner of four sectors, some race
through a whole row of sectors, some follow a hot spot that jumps, some teleport.
"""

import numpy as np
from numpy.typing import NDArray

from sidereal.testing.plan import SECTOR_SIZE
from sidereal.world.batch import World
from sidereal.world.columns import F64, U64

EXTENT = 2.5 * SECTOR_SIZE
"""How far from the middle anything goes but a teleporter."""

WANDER, SWING, CIRCLE, RACE, FOLLOW, TELEPORT = range(6)

KINDS = np.array([WANDER] * 20 + [SWING] * 5 + [CIRCLE] * 3 + [RACE, FOLLOW, TELEPORT, TELEPORT])
"""What an entity does, by its id modulo their count."""

_NOT_WANDER = np.arange(SWING, TELEPORT + 1)

HOT_SPOT_S = 7.0

NEAR = 80.0
"""Units that members of a group may be away from their root on each axis."""

SHADOW_ENDS = 0.03
"""The chance, in each step and where anything dies, of what has asked to cross. Most such wishes
come to nothing, for the entity is another shard's by then."""

KEPT = 64
"""Sets of ids for which it is remembered who does what."""

_ODD = np.uint64(0x9E3779B97F4A7C15)
_29, _40, _UNIT = np.uint64(29), np.uint64(40), 2.0**-24


_SALTS = (np.arange(7, dtype=np.uint64) * np.uint64(7919) + np.uint64(1))[:, None]


def mixed(ids: U64) -> F64:
    """Return seven rows of numbers in [0, 1), each of which follows from its id and its row."""
    x = (ids + _SALTS) * _ODD
    x ^= x >> _29
    x *= _ODD
    drawn: F64 = (x >> _40).astype(np.float64) * _UNIT
    return drawn


class Playground:
    """Moves one tick's rows; `calm` makes everything stand still."""

    def __init__(self, numbers: np.random.Generator, teleports: float, deaths: float) -> None:
        self._numbers = numbers
        self._teleports = teleports
        self._deaths = deaths
        self.calm = False
        self._roots: dict[int, int] = {}
        self._known: dict[bytes, Parts] = {}
        self._traits = Traits()
        self._spot = (-1, np.zeros(2))
        self.jumps = 0
        """How many teleported in the last step."""
        self.spot = 0
        """Which hot spot was followed last."""

    def _parts(self, ids: U64) -> "Parts":
        """Return who does what among these ids."""
        key = ids.tobytes()
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= KEPT:
                self._known.clear()
            found = self._known[key] = Parts(ids, self._roots, self._traits)
        return found

    def group(self, root: int, members: U64) -> None:
        """From here on the root wanders, and its members go where it goes."""
        self._roots.setdefault(root, root)
        self._roots.update(dict.fromkeys(members.tolist(), root))
        self._known.clear()

    def step(self, world: World, dt: float) -> None:
        """One tick of the game."""
        self.jumps = 0
        self.spot = int(world.tick * dt / HOT_SPOT_S)
        if self.calm or not len(world):
            return
        time_s = world.tick * dt
        elapsed = (world.tick - world.since.astype(np.int64)) * dt
        parts = self._parts(world.ids)
        before = world.position[parts.tied]
        world.position += world.velocity * elapsed[:, None]
        out = np.abs(world.position) > EXTENT
        if len(parts.members):
            out[parts.members] = False
        if np.count_nonzero(out):
            world.velocity[out] = (-np.sign(world.position) * np.abs(world.velocity))[out]
        if len(parts.members):
            world.velocity[parts.members] = world.velocity[parts.roots]
            root = world.position[parts.roots]
            apart = np.clip(world.position[parts.members] - root, -NEAR, NEAR)
            world.position[parts.members] = root + apart
        if len(parts.tied):
            world.position[parts.tied] = parts.places(time_s)
            world.velocity[parts.tied] = (world.position[parts.tied] - before) / max(dt, 0.01)
        self._follow(world, parts.following, dt)
        self._jump(world, parts.teleporting, dt)
        if self._deaths and self._numbers.random() < self._deaths * dt / 3:
            world.destroy(self._numbers.integers(len(world), size=1))
        if self._deaths and np.count_nonzero(world.shadow):
            undecided = np.flatnonzero(world.shadow)
            world.destroy(undecided[self._numbers.random(len(undecided)) < SHADOW_ENDS])

    def _follow(self, world: World, rows: NDArray[np.int64], dt: float) -> None:
        if not len(rows):
            return
        if self._spot[0] != self.spot:
            here = mixed(np.array([2 * self.spot, 2 * self.spot + 1], np.uint64))[3]
            self._spot = (self.spot, (here * 2 - 1) * EXTENT * 0.8)
        spot = self._spot[1]
        way = spot - world.position[rows]
        far = np.maximum(np.hypot(way[:, 0], way[:, 1]), 1.0)[:, None]
        world.velocity[rows] = way / far * np.minimum(far / max(dt, 0.01), 80.0)

    def _jump(self, world: World, rows: NDArray[np.int64], dt: float) -> None:
        if not len(rows) or not self._teleports:
            return
        if self._numbers.random() >= self._teleports * dt * 2:
            return
        self.jumps = len(rows)
        reach = np.where(self._numbers.random((len(rows), 1)) < 0.2, 1.6 * EXTENT, EXTENT)
        world.position[rows] = self._numbers.uniform(-1, 1, (len(rows), 2)) * reach
        world.velocity[rows] = 0.0


class Traits:
    """What each entity's ways are, whatever else is about; worked out when it is first seen."""

    def __init__(self) -> None:
        self._row: dict[int, int] = {}
        self.kind: NDArray[np.int64] = np.empty(0, np.int64)
        self.across: NDArray[np.bool_] = np.empty(0, bool)
        """Whether x and y change places."""
        self.way: F64 = np.empty((0, 4))
        """Of one that swings, its pace, border, phase and place along the border; of one that
        circles, its turn, angle and corner (x, y); of one that races, its speed, start and row.
        """

    def rows(self, ids: U64) -> NDArray[np.int64]:
        """Return where in the columns these ids are."""
        row = self._row
        listed = ids.tolist()
        new = [entity for entity in listed if entity not in row]
        if new:
            self._row.update(zip(new, range(len(row), len(row) + len(new)), strict=True))
            self._draw(np.array(new, np.uint64))
        return np.fromiter(map(row.__getitem__, listed), np.int64, len(listed))

    def _draw(self, ids: U64) -> None:
        a, b, c, d, _, _, side = mixed(ids)
        swing = np.stack([0.3 + 0.8 * b, np.floor(a * 4 - 1) * SECTOR_SIZE, 6.28 * c, d], axis=1)
        quick = b >= 0.85
        swing[quick, 0] = 4.0 * b[quick]  # some are back within a second
        swing[:, 3] = (d * 2 - 1) * EXTENT
        corner = np.floor(np.stack([a, b]) * 4 - 1) * SECTOR_SIZE
        circle = np.stack([0.2 + 0.4 * c, 6.28 * d, *corner], axis=1)
        nothing = np.zeros(len(ids))
        race = np.stack([0.4 + 0.8 * a, b * 4 * EXTENT, (c * 2 - 1) * EXTENT, nothing], axis=1)
        kind = KINDS[(ids % np.uint64(len(KINDS))).astype(np.int64)]
        way = np.select([(kind == CIRCLE)[:, None], (kind == RACE)[:, None]], [circle, race], swing)
        self.kind = np.concatenate([self.kind, kind])
        self.across = np.concatenate([self.across, side < 0.5])
        self.way = np.concatenate([self.way, way])


class Parts:
    """Who does what among some ids, and where those are who are tied to a place."""

    def __init__(self, ids: U64, roots: dict[int, int], traits: Traits) -> None:
        rows = traits.rows(ids)
        kind = traits.kind[rows]
        at = {entity: row for row, entity in enumerate(ids.tolist())} if roots else {}
        grouped = [(row, roots[e]) for e, row in at.items() if e in roots]
        if grouped:
            kind[[row for row, _ in grouped]] = WANDER
        led = [(row, at[root]) for row, root in grouped if root in at and at[root] != row]
        self.members = np.array([row for row, _ in led], np.int64)
        self.roots = np.array([root for _, root in led], np.int64)
        order = kind.argsort(kind="stable")
        swing, circle, race, follow, teleport = kind[order].searchsorted(_NOT_WANDER).tolist()
        self.tied = order[swing:follow]
        self.following, self.teleporting = order[follow:teleport], order[teleport:]
        first, last = circle - swing, race - swing
        self._swings, self._circles = slice(first), slice(first, last)
        self._races = slice(last, None)
        tied = rows[self.tied]
        self._across = traits.across[tied].nonzero()[0]
        # Back and forth over one border; round a corner of four sectors; through a row of sectors
        # and back, a sector in a second or two.
        way = traits.way[tied].T.copy()
        self._pace, self._border, self._start, self._along = way[:, self._swings]
        self._turn, self._angle = way[:2, self._circles]
        self._corner = way[2:, self._circles].T
        self._speed, self._ahead, self._row = way[:3, self._races]

    def places(self, time_s: float) -> F64:
        """Return where the tied ones are at a time, f64 (n, 2)."""
        place = np.empty((len(self.tied), 2))
        swings, circles, races = place[self._swings], place[self._circles], place[self._races]
        swings[:, 0] = self._border + 9.0 * np.sin(time_s * self._pace + self._start)
        swings[:, 1] = self._along
        if len(circles):
            angle = time_s * self._turn + self._angle
            circles[:, 0], circles[:, 1] = 8.0 * np.cos(angle), 8.0 * np.sin(angle)
            circles += self._corner
        if len(races):
            gone = time_s * SECTOR_SIZE * self._speed + self._ahead
            races[:, 0] = np.abs(gone % (4 * EXTENT) - 2 * EXTENT) - EXTENT
            races[:, 1] = self._row
        place[self._across] = place[self._across][:, ::-1]
        return place
