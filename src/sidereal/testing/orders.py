"""Orders of an operator that strikes need: a sector of a shard's is moved."""

from random import Random
from typing import TYPE_CHECKING

from sidereal.ids import Sector
from sidereal.replication.books import SectorEntry
from sidereal.testing.shards import SimulatedShard
from sidereal.wire import operator_messages as om
from sidereal.world.sectors import SectorState

if TYPE_CHECKING:
    from sidereal.testing.blows import Blows


def others(blows: "Blows", shard_id: int | None) -> list[int]:
    """Return the shards that have a session, but this one."""
    books = blows.cluster.manager.books
    return [i.shard_id for i in books.shards if i.link is not None and i.shard_id != shard_id]


def move(blows: "Blows", coords: Sector, random: Random) -> bool:
    """Order an active sector to another shard; return whether there is one of each."""
    entry = blows.cluster.manager.books.sectors.get(coords)
    if entry is None or entry.state is not SectorState.ACTIVE:
        return False
    targets = others(blows, entry.shard_id)
    if not targets:
        return False
    blows.cluster.order(om.Command(1, "migrate", coords, random.choice(targets)))
    return True


def fullest(blows: "Blows", shard: SimulatedShard) -> SectorEntry | None:
    """Return the active sector of a shard's in which most entities are."""
    mine = [
        entry
        for entry in blows.cluster.manager.books.sectors.values()
        if entry.shard_id == shard.core.shard_id and entry.state is SectorState.ACTIVE
    ]
    return max(mine, key=lambda entry: (entry.entities, entry.coords), default=None)


def moved_away(blows: "Blows", shard: SimulatedShard, random: Random) -> SectorEntry | None:
    """Order the fullest sector of a shard's to another; return it, or None where that cannot be."""
    if shard.core.shard_id is None:
        return None
    entry = fullest(blows, shard)
    if entry is None or not entry.entities or not move(blows, entry.coords, random):
        return None
    return entry
