"""Handles: the 32-bit names under which shards send updates.

A handle is an index of 24 bits and a generation of 8 above them. The index is
an entity's for as long as it lives; the generation rises with each change of
its version, so that an update of an older version does not resolve: the
handle is the version's fence, in one byte.
"""

import numpy as np

from sidereal.errors import LimitError
from sidereal.limits import HANDLE_INDEX_BITS
from sidereal.world.columns import U32

_INDEX_MASK = np.uint32((1 << HANDLE_INDEX_BITS) - 1)
_GENERATION = np.uint32(1 << HANDLE_INDEX_BITS)


class Handles:
    """Grants, renews and takes back handles, in batches."""

    def __init__(self) -> None:
        self._fresh = 0
        self._free: list[U32] = []
        self._free_count = 0

    def grant(self, count: int) -> U32:
        """Return `count` handles that nobody has."""
        parts: list[U32] = []
        while count and self._free:
            batch = self._free.pop()
            parts.append(batch[:count])
            if len(batch) > count:
                self._free.append(batch[count:])
            self._free_count -= len(parts[-1])
            count -= len(parts[-1])
        if count:
            if self._fresh + count > 1 << HANDLE_INDEX_BITS:
                raise LimitError(
                    f"{self._fresh + count} entities alive; at most {1 << HANDLE_INDEX_BITS}"
                )
            parts.append(np.arange(self._fresh, self._fresh + count, dtype=np.uint32))
            self._fresh += count
        return np.concatenate(parts) if parts else np.empty(0, np.uint32)

    def left(self) -> int:
        """Return how many may still be granted."""
        return (1 << HANDLE_INDEX_BITS) - self._fresh + self._free_count

    @staticmethod
    def renew(handles: U32) -> U32:
        """Return the same indices one generation on."""
        return handles + _GENERATION

    def take_back(self, handles: U32) -> None:
        """Free the indices; their next owners start one generation on."""
        if len(handles):
            self._free.append(self.renew(handles))
            self._free_count += len(handles)
