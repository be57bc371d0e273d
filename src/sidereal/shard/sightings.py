"""Ghosts at one shard: the newest tick's copies, however many datagrams they came in.

A datagram of a newer tick begins a new set, one of the same tick adds to it, an
older one is late. So the loss of a datagram loses its own copies and no more,
until the next tick's. That there is nothing is told several times, and said once.
"""

from collections.abc import Sequence

import numpy as np

from sidereal.kernel import unpack_ghosts
from sidereal.shard.events import GhostsChanged
from sidereal.wire.datagrams import NEIGHBOR_ENTITY_UPDATE
from sidereal.world.columns import F64, U32, U64

Copies = tuple[U64, F64, F64, U32]


class Sightings:
    """Puts datagrams together into sets; `malformed` counts what was dropped."""

    def __init__(self) -> None:
        self.malformed = 0
        self._tick = -1
        self._parts: list[Copies] = []
        self._shown = 0
        """How many the last set had that was returned."""

    def take(self, payloads: Sequence[bytes]) -> GhostsChanged | None:
        """Take datagrams; return the whole set where they changed it."""
        changed = False
        for payload in payloads:
            if not payload or payload[0] != NEIGHBOR_ENTITY_UPDATE:
                self.malformed += 1
                continue
            try:
                tick, ids, position, velocity, flags = unpack_ghosts(payload)
            except ValueError:
                self.malformed += 1
                continue
            if tick < self._tick:
                continue
            if tick > self._tick:
                self._tick = tick
                self._parts = []
            self._parts.append((ids, position, velocity, flags))
            changed = True
        if not changed:
            return None
        count = sum(len(ids) for ids, *_ in self._parts)
        if not count and not self._shown:
            return None
        self._shown = count
        columns = zip(*self._parts, strict=True)
        return GhostsChanged(self._tick, *(np.concatenate(column) for column in columns))
