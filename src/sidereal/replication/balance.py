"""Which shard gets a sector: the seed's score, with its reasons.

``score = base load + proximity``: a shard without a sector beside the new one
pays a penalty, one that has neighbours gets a bonus for each. Both are shares
of the mean shard's load, so that they mean the same in small worlds and large.
The lowest score wins; ties go to the lower id.
"""

from dataclasses import dataclass

import numpy as np

from sidereal.ids import Sector
from sidereal.kernel import group
from sidereal.replication.books import Books
from sidereal.replication.registry import ShardInfo
from sidereal.world.columns import U32
from sidereal.world.entities import PLAYER

NEIGHBOURS = [(dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dx, dy) != (0, 0)]
"""The eight sectors beside one."""

LOAD_UNIT_MIN = 100.0
"""Proximity counts as if the mean shard held at least this, so that an empty world clusters."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A shard, and why it."""

    shard: ShardInfo
    reason: str


def weight(books: Books, slots: U32) -> float:
    """Return the load of the rows `slots`: one each, players more."""
    players = int((books.table.flags[slots] & PLAYER != 0).sum())
    return len(slots) + (books.settings.player_weight - 1) * players


def choose(books: Books, coords: Sector) -> Choice:
    """Return the best shard for a sector; there must be at least one candidate."""
    settings = books.settings
    candidates = books.shards.candidates()
    loads = [info.load_score(settings.player_weight) for info in candidates]
    unit = max(sum(loads) / len(loads), LOAD_UNIT_MIN)
    x, y = coords
    scores = []
    for info, load in zip(candidates, loads, strict=True):
        beside = sum((x + dx, y + dy) in info.sectors for dx, dy in NEIGHBOURS)
        if beside:
            proximity = -settings.proximity_bonus * beside * unit
        else:
            proximity = settings.proximity_penalty * unit
        scores.append((load + proximity, info.shard_id, load, proximity, beside, info))
    score, _, load, proximity, beside, info = min(scores, key=lambda row: row[:2])
    return Choice(
        info,
        f"lowest score of {len(scores)} shards: {score:.0f} = load {load:.0f}"
        f" {proximity:+.0f} for {beside} neighbouring sectors of shard {info.name}",
    )


def survey_loads(books: Books) -> None:
    """Count entities and load per sector, from the record."""
    order, offsets, sectors = group(books.table.sector)
    players = (books.table.flags & PLAYER != 0).astype(np.float64)
    weights = (1.0 + (books.settings.player_weight - 1) * players)[order]
    sums = np.add.reduceat(weights, offsets[:-1]) if len(sectors) else np.empty(0)
    sizes = np.diff(offsets)
    for entry in books.sectors.values():
        entry.entities = 0
        entry.load = 0.0
    for (x, y), size, load in zip(sectors.tolist(), sizes.tolist(), sums.tolist(), strict=True):
        entry = books.entry((x, y))
        entry.entities = size
        entry.load = load
