"""Ghosts for shards that want them: `NeighborEntityUpdate`, every few ticks.

What lies within the ghost reach of a shard's sectors, and is not its own, goes
there as datagrams of one tick; the next round replaces it. A shard whose set
became empty is told so with a datagram without rows, a few times over, since
any one of them may be lost; so is one that begins a session, for it may have
seen something in the last.
"""

import numpy as np

from sidereal.ids import LinkId
from sidereal.kernel import ghosts
from sidereal.replication.books import Books, SendDatagrams
from sidereal.replication.shown import shown
from sidereal.wire.datagrams import NEIGHBOR_ENTITY_UPDATE

EMPTY_REPEATS = 12
"""Rounds in which an empty set is told: at 30 % loss one in two million misses all of them."""


class GhostFeed:
    """Sends each shard what it may see across its borders."""

    def __init__(self) -> None:
        self._told_tick = -1
        self._empties_due: dict[LinkId, int] = {}

    def round(self, books: Books, now: int) -> None:
        """Send a round of ghosts, if one is due."""
        tick = books.tick_at(now)
        if tick - self._told_tick < books.settings.ghost_interval_ticks:
            return
        self._told_tick = tick
        wanting = [i for i in books.shards if i.wants_ghosts]
        curious = [(i.link, i.shard_id) for i in wanting if i.link is not None]
        due = {link: self._empties_due.get(link, EMPTY_REPEATS) for link, _ in curious}
        self._empties_due = due
        if not curious:
            return
        view = shown(books, now)
        target, index = ghosts(
            view.position,
            books.table.sector,
            books.table.shard,
            books.rules.sector_size,
            books.rules.ghost_reach,
            books.owners,
        )
        for link, shard_id in curious:
            start, end = np.searchsorted(target, [shard_id, shard_id + 1])
            if end > start:
                payloads, _ = view.pack(index[start:end], NEIGHBOR_ENTITY_UPDATE, tick)
                due[link] = EMPTY_REPEATS
                books.counters["ghosts_sent"] += int(end - start)
            elif due[link]:
                payloads = [empty(tick)]
                due[link] -= 1
            else:
                continue
            books.out.append(SendDatagrams(link, payloads))


def empty(tick: int) -> bytes:
    """Return a `NeighborEntityUpdate` without rows."""
    return bytes([NEIGHBOR_ENTITY_UPDATE, 0, 0, 0]) + tick.to_bytes(4, "little")
