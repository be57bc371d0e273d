"""What the game has ended here and that cannot be asked for yet.

A shadow or a frozen row is ended once it turns out to be this shard's still, and
without a lease nothing is asked for. The wish is about the copy that is here: where
that leaves, whoever has the entity next decides anew. It may come back at once, with
another life behind it, and is not to be ended by what a shadow of it was to do.
"""

import numpy as np

from sidereal.kernel import ABSENT, EntityTable
from sidereal.world.columns import U64


class Doomed:
    """Ids of copies that are to end, rising, each once."""

    def __init__(self) -> None:
        self._ids: U64 = np.empty(0, np.uint64)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, table: EntityTable, *ids: U64) -> None:
        """Keep what of ids (n,) is here."""
        self._ids = np.unique(np.concatenate([self._ids, *ids]))
        self.forget_gone(table)

    def take(self) -> U64:
        """Return, and forget, all of them."""
        ids, self._ids = self._ids, np.empty(0, np.uint64)
        return ids

    def forget_gone(self, table: EntityTable) -> None:
        """Forget those that are no longer here, before they come back."""
        if len(self._ids):
            self._ids = self._ids[table.slots(self._ids) != ABSENT]
