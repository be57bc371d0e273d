"""The ids that a shard was granted and has not used: blocks, taken from in rising order."""

import numpy as np

from sidereal.errors import LimitError
from sidereal.limits import ID_BLOCK
from sidereal.world.columns import U64


class Grants:
    """Blocks of ids."""

    def __init__(self) -> None:
        self._blocks: list[tuple[int, int]] = []
        self.asked = False
        """A block is on its way."""

    def put(self, first: int, count: int) -> None:
        """Take a block in."""
        self._blocks.append((first, count))
        self.asked = False

    def __len__(self) -> int:
        return sum(there for _, there in self._blocks)

    def low_without(self, count: int) -> bool:
        """Whether it is time to ask for another block where `count` ids are about to be taken."""
        return len(self) - count < ID_BLOCK // 2

    def take(self, count: int) -> U64:
        """Return `count` ids; raise `LimitError`, and take none, where there are fewer."""
        if count > len(self):
            raise LimitError(f"{count} ids wanted, {len(self)} left: spawn again when granted")
        taken: list[np.ndarray] = []
        while count:
            first, there = self._blocks.pop(0)
            used = min(count, there)
            taken.append(np.arange(first, first + used, dtype=np.uint64))
            count -= used
            if there > used:
                self._blocks.insert(0, (first + used, there - used))
        return np.concatenate(taken) if taken else np.empty(0, np.uint64)
