"""The journal, played back, is what memory has: at rest, and whenever another server takes over.

Compared are the record's digest, and who was sent which entity: by that mark a server tells a
shadow which may still become its entity from one that is stale, since another shard has simulated
the entity meanwhile.
"""

from typing import TYPE_CHECKING

import numpy as np

from sidereal.replication import records
from sidereal.replication.books import SENT, Books
from sidereal.replication.replay import Replay, digest
from sidereal.store import MemoryStore
from sidereal.testing.observer import Violation
from sidereal.world.columns import U64

if TYPE_CHECKING:
    from sidereal.testing.cluster import Cluster

INVARIANT = "a replay is the record"


def replayed(cluster: "Cluster") -> None:
    """What is on the disk, played back, is what the server's memory has; all must be let out."""
    found = MemoryStore(cluster.disk).load()
    replay = Replay(cluster.settings)
    for data in (*(found.snapshot or ()), *found.records):
        replay.apply(records.decode(data))
    same(replay.books, cluster.manager.books)


def same(replay: Books, memory: Books) -> None:
    """Raise `Violation` where books that were played back are not those of the server before.

    A mark may be there that memory has not: what waits at a frozen sector for its answer is sent
    anew by the next server. One that is missing lets a stale shadow become the entity.
    """
    if digest(replay) != digest(memory):
        raise Violation(INVARIANT, "the journal plays back to another record")
    unmarked = np.setdiff1d(_sent(memory), _sent(replay))
    if len(unmarked):
        raise Violation(
            INVARIANT,
            f"by the journal nobody was sent {unmarked[:5]}, and somebody was",
            unmarked.tolist(),
        )


def _sent(books: Books) -> U64:
    ids: U64 = books.table.ids[books.table.phase & SENT != 0]
    return ids
