"""Who owns a sector: `SectorMap`."""

import numpy as np
from numpy.typing import NDArray

I32 = NDArray[np.int32]
U32 = NDArray[np.uint32]


class SectorMap:
    """A dictionary from (x, y) to (shard, epoch)."""

    def __init__(self) -> None:
        self.owners: dict[tuple[int, int], tuple[int, int]] = {}

    def set(self, sectors: I32, shard: int | I32, epoch: int | U32) -> None:
        """Add or replace."""
        shards = np.broadcast_to(shard, len(sectors)).tolist()
        epochs = np.broadcast_to(epoch, len(sectors)).tolist()
        for (x, y), s, e in zip(sectors.tolist(), shards, epochs, strict=True):
            self.owners[x, y] = (s, e)

    def get(self, sectors: I32) -> tuple[I32, U32]:
        """Shard and epoch of each; -1 and 0 where absent."""
        found = [self.owners.get((x, y), (-1, 0)) for x, y in sectors.tolist()]
        shard = np.array([s for s, _ in found], dtype=np.int32)
        return shard, np.array([e for _, e in found], dtype=np.uint32)

    def remove(self, sectors: I32) -> int:
        """Forget sectors; how many were there."""
        return sum(self.owners.pop((x, y), None) is not None for x, y in sectors.tolist())

    def sectors(self) -> I32:
        """All sectors, by y, then x."""
        ordered = sorted(self.owners, key=lambda sector: (sector[1], sector[0]))
        return np.array(ordered, dtype=np.int32).reshape(-1, 2)

    def items(self) -> tuple[I32, I32, U32]:
        """All sectors with shard and epoch."""
        found = self.sectors()
        return found, *self.get(found)

    def __len__(self) -> int:
        return len(self.owners)
