"""What a shard says of its load: entities, players, the mean time of its steps."""

from sidereal.kernel import EntityTable
from sidereal.wire.shard_messages import ShardLoadStats
from sidereal.world.entities import PLAYER


class Load:
    """Gathers the times of steps."""

    def __init__(self) -> None:
        self._sum_ms = 0.0
        self._steps = 0

    def stepped(self, ms: float) -> None:
        """A step took so long."""
        self._sum_ms += ms
        self._steps += 1

    def report(self, table: EntityTable) -> ShardLoadStats:
        """Return the load, and begin anew."""
        mean = self._sum_ms / self._steps if self._steps else None
        self._sum_ms, self._steps = 0.0, 0
        players = int((table.flags & PLAYER != 0).sum())
        return ShardLoadStats(len(table), players, mean)
