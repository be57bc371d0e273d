"""Which shard gets a sector: the seed's score, with its reasons.

``score = base load + proximity``: a shard without a sector beside the new one
pays a penalty, one that has neighbours gets a bonus for each. Both are shares
of the mean shard's load, so that they mean the same in small worlds and large.
The lowest score wins; ties go to the lower id.
"""

from dataclasses import dataclass

import numpy as np

from sidereal.ids import Sector
from sidereal.kernel import counts
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
    players = int(np.count_nonzero(books.table.flags[slots] & PLAYER))
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
    for entry in books.sectors.values():
        entry.entities = 0
        entry.load = 0.0
    sectors, sizes = counts(books.table.sector)
    for (x, y), size in zip(sectors.tolist(), sizes.tolist(), strict=True):
        entry = books.entry((x, y))
        entry.entities = size
        entry.load = float(size)
    # Players are few beside the rest: only what they weigh more is added.
    players = np.flatnonzero(books.table.flags & PLAYER)
    sectors, sizes = counts(books.table.sector[players])
    more = books.settings.player_weight - 1
    for (x, y), size in zip(sectors.tolist(), sizes.tolist(), strict=True):
        books.entry((x, y)).load += more * size
