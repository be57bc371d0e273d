"""Rebalancing, periodically: predict each sector's load, plan a round, begin its moves.

The prediction is a running mean with a half-life of seconds plus its trend:
measured, that matters more than the planner does.
"""

from sidereal.ids import Sector
from sidereal.limits import MOVE_PART_NS_MAX
from sidereal.replication import lifecycle
from sidereal.replication.books import Books
from sidereal.replication.flux import HALF_LIFE_S, Flux
from sidereal.replication.plan import Move, View, plan
from sidereal.replication.settings import Settings
from sidereal.world.rules import NS_PER_S
from sidereal.world.sectors import SectorState

OBSERVE_S = 1.0
"""Short beside the half-life; per sector and edge, it is the planner's dearest work."""

DRAIN_LOAD_MAX = 2000.0
"""So much of draining shards is on its way at once: sectors stand still for as long as what moves
with them takes, so a drain takes a while rather than stop all of a shard's world for a moment."""


class Rebalancer:
    """The loads and flows of the world over time, and the rounds that follow from them."""

    def __init__(self) -> None:
        self.flux = Flux()
        self._mean: dict[Sector, float] = {}
        self._trend: dict[Sector, float] = {}
        self._observed_ns: int | None = None
        self._round_ns: int | None = None

    def observe(self, books: Books, now: int) -> None:
        """Fold in what has been surveyed since the last time, about once a second."""
        if self._observed_ns is None:
            self._observed_ns = now
        elapsed_s = (now - self._observed_ns) / NS_PER_S
        if 0 < elapsed_s < OBSERVE_S:
            return
        crossed, books.crossed = books.crossed, []
        self._observed_ns = now
        self.flux.observe(crossed, elapsed_s)
        keep = 0.5 ** (elapsed_s / HALF_LIFE_S)
        means: dict[Sector, float] = {}
        trends: dict[Sector, float] = {}
        for coords, entry in books.sectors.items():
            if entry.state is SectorState.UNLOADED:
                continue
            before = self._mean.get(coords, entry.load)
            mean = keep * before + (1 - keep) * entry.load
            slope = (mean - before) / elapsed_s if elapsed_s > 0 else 0.0
            means[coords] = mean
            trends[coords] = keep * self._trend.get(coords, 0.0) + (1 - keep) * slope
        self._mean, self._trend = means, trends

    def predicted(self) -> dict[Sector, float]:
        """Return each sector's load one half-life from now."""
        return {
            coords: max(0.0, mean + self._trend[coords] * HALF_LIFE_S)
            for coords, mean in self._mean.items()
        }

    def view(self, books: Books, now: int) -> View:
        """Return what the planner is told of the world as it stands."""
        settings = books.settings
        owner: dict[Sector, int] = {}
        resting: set[Sector] = set()
        for coords, entry in books.sectors.items():
            if entry.state is SectorState.ACTIVE and coords not in books.copies:
                owner[coords] = entry.shard_id
                if any(_lately(at, settings, now) for at in (entry.moved_ns, entry.unmoved_ns)):
                    resting.add(coords)
        connected = [info for info in books.shards if info.link is not None]
        shards = tuple(info.shard_id for info in connected)
        cordoned = frozenset(
            info.shard_id
            for info in connected
            if info.cordoned or _lately(info.untaken_ns, settings, now)
        )
        draining = frozenset(info.shard_id for info in connected if info.draining)
        return View(
            self.predicted(),
            owner,
            shards,
            cordoned,
            draining,
            frozenset(resting),
            self.flux,
            settings.dead_band,
            settings.move_budget,
            settings.cold_load,
        )

    def round(self, books: Books, now: int) -> list[Move]:
        """Begin the moves of a round where one is due; draining shards do not wait for it."""
        if self._round_ns is None:
            self._round_ns = now
        due = now - self._round_ns >= books.settings.rebalance_ns
        if due:
            self._round_ns = now
        moves = plan(self.view(books, now)) if due or self._draining(books) else []
        moves = self._paced(books, moves, due, now)
        for move in moves:
            entry = books.sectors[move.sector]
            lifecycle.move(books, entry, move.target, move.reason, now)
        return moves

    @staticmethod
    def _paced(books: Books, moves: list[Move], due: bool, now: int) -> list[Move]:
        """Return the moves to begin now: some of draining shards', others' where a round is due.

        One that a shard owes for too long, decided or not, makes room for others.
        """
        draining = {info.shard_id for info in books.shards if info.draining}
        room = DRAIN_LOAD_MAX
        for entry in books.sectors.values():
            owed_ns = now - entry.frozen_ns if entry.frozen_ns else 0
            if (entry.frozen_ns or entry.coords in books.copies) and owed_ns < MOVE_PART_NS_MAX:
                room -= entry.load
        begun: list[Move] = []
        for move in moves:
            if move.source not in draining:
                begun += [move] if due else []
            elif room > 0:
                entry = books.sectors[move.sector]
                if not _lately(entry.unmoved_ns, books.settings, now):
                    room -= entry.load
                    begun.append(move)
        return begun

    @staticmethod
    def _draining(books: Books) -> bool:
        return any(s.draining and s.sectors and s.link is not None for s in books.shards)


def _lately(at_ns: int | None, settings: Settings, now: int) -> bool:
    return at_ns is not None and now - at_ns < settings.move_cooldown_ns
