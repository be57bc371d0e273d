"""Plan a round of rebalancing: local search over border sectors. Pure; can be run dry.

From the hottest shard, the border sector is moved whose move gains most: load
beyond a dead band that it relieves, plus crossings that no longer change
shards, less what moving it costs. Repeated until nothing gains or the round's
budget is spent. Nothing moves where all are cold, and what moved lately rests.
Draining shards give all they have, whatever it costs.

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

MOVE_COST = 0.02
"""What moving one entity costs, in entities of imbalance."""


@dataclass(frozen=True, slots=True)
class View:
    """What the planner is told."""

    loads: Mapping[Sector, float]
    owner: Mapping[Sector, int]
    shards: tuple[int, ...]
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
    owner = dict(view.owner)
    load = dict.fromkeys(view.shards, 0.0)
    held: dict[int, list[Sector]] = {shard: [] for shard in view.shards}
    for sector in sorted(owner):
        if owner[sector] in load:
            load[owner[sector]] += view.loads.get(sector, 0.0)
            held[owner[sector]].append(sector)
    receivers = [shard for shard in view.shards if shard not in view.draining]
    if not receivers:
        return []
    total = sum(load.values())
    mean = total / len(receivers)
    moves: list[Move] = []

    def shift(sector: Sector, target: int, reason: str) -> None:
        source = owner[sector]
        moves.append(Move(sector, source, target, reason))
        load[source] -= view.loads.get(sector, 0.0)
        load[target] += view.loads.get(sector, 0.0)
        owner[sector] = target
        held[source].remove(sector)
        held[target].append(sector)

    for shard in sorted(view.draining & load.keys()):
        for sector in list(held[shard]):
            target = min(receivers, key=lambda s: (load[s], s))
            shift(sector, target, f"shard {shard} is draining")

    if mean < view.cold_load:
        return moves
    ceiling = mean * (1 + view.dead_band)
    spent = 0.0
    while True:
        hottest = max(receivers, key=lambda s: (load[s], -s))
        if load[hottest] <= ceiling:
            return moves
        best: tuple[float, Sector, int] | None = None
        for sector in held[hottest]:
            weight = view.loads.get(sector, 0.0)
            if not weight or sector in view.resting or spent + weight > view.budget * total:
                continue
            for target in _targets(sector, hottest, owner, receivers, load):
                gain = (
                    _excess(load[hottest], ceiling)
                    + _excess(load[target], ceiling)
                    - _excess(load[hottest] - weight, ceiling)
                    - _excess(load[target] + weight, ceiling)
                    + CUT_WEIGHT_S * _uncut(view.flux, sector, hottest, target, owner)
                    - MOVE_COST * weight
                )
                balanced = max(load[hottest] - weight, load[target] + weight) < load[hottest]
                if balanced and (best is None or gain > best[0]):
                    best = (gain, sector, target)
        if best is None or best[0] <= 0:
            return moves
        gain, sector, target = best
        spent += view.loads.get(sector, 0.0)
        reason = (
            f"shard {hottest} at {load[hottest]:.0f} is over {ceiling:.0f}"
            f" (mean {mean:.0f} + {view.dead_band:.0%}); moving {view.loads[sector]:.0f}"
            f" to shard {target} at {load[target]:.0f} gains {gain:.0f}"
        )
        shift(sector, target, reason)


def _excess(load: float, ceiling: float) -> float:
    return max(0.0, load - ceiling)


def _targets(
    sector: Sector,
    source: int,
    owner: Mapping[Sector, int],
    receivers: list[int],
    load: Mapping[int, float],
) -> list[int]:
    """Return the shards across the sector's borders; the coldest too, where it has nothing."""
    x, y = sector
    beside = {owner.get((x + dx, y + dy), source) for dx, dy in NEIGHBOURS}
    found = [shard for shard in receivers if shard in beside and shard != source]
    coldest = min(receivers, key=lambda s: (load[s], s))
    if load[coldest] == 0 and coldest not in found and coldest != source:
        found.append(coldest)
    return found


def _uncut(
    flux: Flux, sector: Sector, source: int, target: int, owner: Mapping[Sector, int]
) -> float:
    """Return the crossings per second that stop changing shards, less those that start to."""
    gained = 0.0
    for other, rate in flux.around(sector):
        holder = owner.get(other)
        if holder == target:
            gained += rate
        elif holder == source:
            gained -= rate
    return gained
