"""From the server's status to the picture of a run: snapshots, with what has just happened."""

import numpy as np

from sidereal.demo.live import ShardState, Snapshot
from sidereal.demo.measure import Counted
from sidereal.wire.operator_messages import Status


class Watch:
    """Remembers what there was, to tell what is new."""

    def __init__(self) -> None:
        self._notes: list[str] = []
        self._names: dict[int, str] = {}
        self._counted = Counted()

    def note(self, line: str) -> None:
        """Have a line shown with the next snapshot."""
        self._notes.append(line)

    def snapshot(self, status: Status, start_tick: int, stop_tick: int, tick_hz: float) -> Snapshot:
        """Return the world now, as a run from one tick to another sees it."""
        self._counted.look(status)
        counters = self._counted.since_start
        rows = status.sectors
        shards = [
            ShardState(
                id=shard.shard_id,
                name=shard.name,
                state="running" if shard.alive else "dead",
                sectors=shard.sectors,
                entities=shard.entities,
                load=shard.load,
                tick_ms=shard.tick_ms or 0.0,
            )
            for shard in sorted(status.shards, key=lambda shard: shard.name)
        ]
        for gone in self._names.keys() - {shard.id for shard in shards}:
            self.note(f"{self._names[gone]} is dead; its sectors went to others")
        self._names = {shard.id: shard.name for shard in shards}
        notes, self._notes = self._notes, []
        done = max(0, status.tick - start_tick + 1)
        return Snapshot(
            tick=min(done, stop_tick - start_tick + 1),
            ticks=stop_tick - start_tick + 1,
            seconds=done / tick_hz,
            entities=status.entities - status.scheduled,
            handoffs=counters.get("handoffs", 0),
            migrations=counters.get("migrations", 0),
            activations=counters.get("activations", 0),
            overruns=counters.get("server_overruns", 0),
            shards=shards,
            sector_x=rows.sector[:, 0],
            sector_y=rows.sector[:, 1],
            sector_shard=rows.shard.astype(np.int64),
            notes=notes,
        )
