"""What is in view at a client, and what of a datagram is news.

Enter and leave come in order, updates beside them in none: one may be late, or
early. Late ones are recognised by their tick. Early ones, of entities whose
entering is still on its way, are kept for it, since the server counts them as
arrived and sends them no more.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from sidereal.client.events import EntitiesUpdated
from sidereal.limits import EARLY_UPDATE_ROWS_MAX
from sidereal.world.columns import U64, all_of, among
from sidereal.world.entities import EntityRows


class Sight:
    """Entities in view. ``ids`` u64 (n,), rising; ``tick`` i64 (n,), the newest that is known."""

    def __init__(self) -> None:
        self.ids: U64 = np.empty(0, np.uint64)
        self.tick: NDArray[np.int64] = np.empty(0, np.int64)
        self._early: deque[EntitiesUpdated] = deque()
        self._early_rows = 0

    def enter(self, rows: EntityRows) -> list[EntitiesUpdated]:
        """Take arrivals; return what is newer of them and had come before."""
        at, known = self._find(rows.ids)
        self.tick[at[known]] = rows.tick[known]
        new = np.flatnonzero(~known)[np.argsort(rows.ids[~known])]
        at = np.searchsorted(self.ids, rows.ids[new])
        self.ids = np.insert(self.ids, at, rows.ids[new])
        self.tick = np.insert(self.tick, at, rows.tick[new].astype(np.int64))
        if not self._early:
            return []
        early, self._early = self._early, deque()
        self._early_rows = 0
        return [news for kept in early if (news := self.update(kept)) is not None]

    def update(self, told: EntitiesUpdated) -> EntitiesUpdated | None:
        """Return the rows of `told` that are news, or None; keep those that are early."""
        at, known = self._find(told.ids)
        if not all_of(known):
            self._keep(_rows(told, ~known))
        newer = known.copy()
        newer[known] = self.tick[at[known]] < told.tick
        if not np.count_nonzero(newer):
            return None
        self.tick[at[newer]] = told.tick
        return told if all_of(newer) else _rows(told, newer)

    def leave(self, ids: U64) -> None:
        """Forget what left; what comes of it later is early, until it enters again."""
        gone = among(self.ids, ids)
        self.ids, self.tick = self.ids[~gone], self.tick[~gone]

    def _find(self, ids: U64) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        at = np.searchsorted(self.ids, ids)
        known = at < len(self.ids)
        known[known] = self.ids[at[known]] == ids[known]
        return at, known

    def _keep(self, told: EntitiesUpdated) -> None:
        self._early.append(told)
        self._early_rows += len(told.ids)
        while self._early_rows > EARLY_UPDATE_ROWS_MAX:
            self._early_rows -= len(self._early.popleft().ids)


def _rows(told: EntitiesUpdated, mask: NDArray[np.bool_]) -> EntitiesUpdated:
    return EntitiesUpdated(
        told.tick,
        told.ids[mask],
        told.position[mask],
        told.velocity[mask],
        told.flags[mask],
    )
