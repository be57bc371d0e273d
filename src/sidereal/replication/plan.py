"""Plan a round of rebalancing: local search over border sectors. Pure; can be run dry.

From the hottest shard, the border sector is moved whose move gains most: load
beyond a dead band that it relieves, plus crossings that no longer change
shards, less what moving it costs. Repeated until nothing gains or the round's
budget is spent. Nothing moves where all are cold, and what moved lately rests.
Draining shards give all they have, whatever it costs; cordoned ones get nothing and keep it.

The method is a greedy boundary refinement in the spirit of Fiduccia and
Mattheyses (1982), on load that changes while it is being balanced.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sidereal.ids import Sector
from sidereal.replication.balance import NEIGHBOURS
from sidereal.replication.flux import Flux

CUT_WEIGHT_S = 0.5
"""What one crossing per second weighs, in entities of imbalance."""

QUIET_FLUX_PER_S = 0.1
"""What a border counts as crossed where nobody has crossed it yet: shards stay compact."""

MOVE_COST = 0.02
"""What moving one entity costs, in entities of imbalance."""


@dataclass(frozen=True, slots=True)
class View:
    """What the planner is told."""

    loads: Mapping[Sector, float]
    owner: Mapping[Sector, int]
    shards: tuple[int, ...]
    cordoned: frozenset[int]
    """Those that get nothing; the draining are among them."""
    draining: frozenset[int]
    resting: frozenset[Sector]
    flux: Flux
    dead_band: float
    budget: float
    cold_load: float


@dataclass(frozen=True, slots=True)
class Move:
    """One sector from one shard to another, and why."""

    sector: Sector
    source: int
    target: int
    reason: str


def plan(view: View) -> list[Move]:
    """Return the moves of one round, best first."""
    return _Round(view).moves()


class _Round:
    """One round: the loads as they would be after the moves so far."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._owner = dict(view.owner)
        self._load = dict.fromkeys(view.shards, 0.0)
        for sector, shard in view.owner.items():
            if shard in self._load:
                self._load[shard] += view.loads.get(sector, 0.0)
        self._receivers = [shard for shard in view.shards if shard not in view.cordoned]
        self._moves: list[Move] = []
        self._moved: set[Sector] = set()
        """A sector is frozen by its first move: it has no second one in this round."""
        self._spent = False
        self._offers: dict[Sector, list[tuple[int, float]]] = {}
        """Per border sector: the shards across its borders, and the crossings that each unites."""
        self._border: dict[int, set[Sector]] = {shard: set() for shard in view.shards}

    def moves(self) -> list[Move]:
        view, load = self._view, self._load
        if not self._receivers:
            return []
        shared = {*self._receivers, *view.draining}
        total = sum(load[shard] for shard in view.shards if shard in shared)
        mean = total / len(self._receivers)
        for sector in sorted(self._owner):
            if self._owner[sector] in view.draining:
                target = min(self._receivers, key=lambda s: (load[s], s))
                self._shift(sector, target, f"shard {self._owner[sector]} is draining")
        if mean < view.cold_load:
            return self._moves
        for sector in self._owner:
            self._look(sector)
        ceiling = mean * (1 + view.dead_band)
        budget = view.budget * total
        while budget > 0 and (best := self._best(ceiling, budget)) is not None:
            gain, sector, target = best
            source, weight = self._owner[sector], view.loads[sector]
            budget -= weight
            self._spent = True
            reason = (
                f"shard {source} at {load[source]:.0f} is over {ceiling:.0f}"
                f" (mean {mean:.0f} + {view.dead_band:.0%}); moving {weight:.0f}"
                f" to shard {target} at {load[target]:.0f} gains {gain:.0f}"
            )
            self._shift(sector, target, reason)
            x, y = sector
            for dx, dy in [(0, 0), *NEIGHBOURS]:
                if (x + dx, y + dy) in self._owner:
                    self._look((x + dx, y + dy))
        return self._moves

    def _best(self, ceiling: float, budget: float) -> tuple[float, Sector, int] | None:
        """Return the gain, sector and target of the best move off the hottest shard, or None."""
        view, load = self._view, self._load
        hottest = max(self._receivers, key=lambda s: (load[s], -s))
        if load[hottest] <= ceiling:
            return None
        coldest = min(self._receivers, key=lambda s: (load[s], s))
        border = self._border[hottest]
        candidates = border
        if load[coldest] == 0:
            # Nothing borders on a shard that has nothing: anything may go to it.
            candidates = {s for s, owner in self._owner.items() if owner == hottest}
        best: tuple[float, Sector, int] | None = None
        for sector in candidates:
            weight = view.loads.get(sector, 0.0)
            if not weight or sector in view.resting or sector in self._moved:
                continue
            if weight > budget and self._spent:
                continue  # the first may exceed the budget, or one crowded sector never moved
            offers = self._offers.get(sector, [])
            if load[coldest] == 0:
                offers = [*offers, (coldest, 0.0)]
            for target, united in offers:
                if max(load[hottest] - weight, load[target] + weight) >= load[hottest]:
                    continue
                gain = (
                    max(0.0, load[hottest] - ceiling)
                    + max(0.0, load[target] - ceiling)
                    - max(0.0, load[hottest] - weight - ceiling)
                    - max(0.0, load[target] + weight - ceiling)
                    + CUT_WEIGHT_S * united
                    - MOVE_COST * weight
                )
                # Ties go to the lower sector and shard: a set has no order of its own.
                if gain > 0 and (best is None or (-gain, sector, target) < (-best[0], *best[1:])):
                    best = (gain, sector, target)
        return best

    def _look(self, sector: Sector) -> None:
        """Note to whom a sector could go: the receivers across its borders."""
        x, y = sector
        owner = self._owner
        source = owner[sector]
        around = [owner.get((x + dx, y + dy)) for dx, dy in NEIGHBOURS]
        beside = set(around)
        beside.discard(source)
        targets = [shard for shard in self._receivers if shard in beside]
        for shard in self._border:
            self._border[shard].discard(sector)
        if not targets or source not in self._border:
            self._offers.pop(sector, None)
            return
        self._border[source].add(sector)
        kept = QUIET_FLUX_PER_S * around.count(source)
        united = {target: QUIET_FLUX_PER_S * around.count(target) for target in targets}
        for other, rate in self._view.flux.around(sector):
            holder = owner.get(other)
            if holder == source:
                kept += rate
            elif holder in united:
                united[holder] += rate
        self._offers[sector] = [(target, united[target] - kept) for target in targets]

    def _shift(self, sector: Sector, target: int, reason: str) -> None:
        source, weight = self._owner[sector], self._view.loads.get(sector, 0.0)
        self._moves.append(Move(sector, source, target, reason))
        self._moved.add(sector)
        self._load[source] -= weight
        self._load[target] += weight
        self._owner[sector] = target
