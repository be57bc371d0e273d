"""The world as it is shown to those who only look: clients, and shards across a border.

It is the record, but for entities in custody: nobody simulates those, so they
are shown moving on by their velocity.
"""

from dataclasses import dataclass

import numpy as np

from sidereal.kernel import EntityTable, pack_ghosts
from sidereal.replication.books import CUSTODY, Books
from sidereal.wire.datagrams import PAYLOAD_BYTES
from sidereal.world.columns import F64, U32

HEADER_BYTES = 8
ROW_BYTES = 36
"""One copy in a datagram: id, position, velocity in single precision, flags."""

_SPEED_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Shown:
    """Where everything is at world tick `now_tick`: columns beside the table's, by slot."""

    table: EntityTable
    now_tick: int
    position: F64
    tick: U32

    def pack(self, slots: U32, kind: int, tick: int) -> tuple[list[bytes], U32]:
        """Return datagrams of `kind` with the rows `slots`, and where each one's rows begin.

        The offsets (u32) are one more than the datagrams.
        """
        table = self.table
        velocity = table.velocity[slots]
        np.clip(velocity, -_SPEED_MAX, _SPEED_MAX, out=velocity)
        data, offsets = pack_ghosts(
            table.ids[slots],
            self.position[slots],
            velocity,
            table.flags[slots],
            kind,
            tick,
            PAYLOAD_BYTES,
        )
        payloads = [
            data[start:end].tobytes()
            for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
        ]
        rows = (offsets - np.arange(len(offsets), dtype=np.uint32) * HEADER_BYTES) // ROW_BYTES
        return payloads, rows.astype(np.uint32)


def shown(books: Books, now: int) -> Shown:
    """Return what is to be shown at `now`."""
    table = books.table
    tick = books.tick_at(now)
    held = np.flatnonzero(table.shard == CUSTODY)
    if not len(held):
        return Shown(table, tick, table.position, table.tick)
    position, ticks = table.position.copy(), table.tick.copy()
    elapsed = np.maximum(tick - ticks[held].astype(np.int64), 0) / books.rules.tick_hz
    position[held] += table.velocity[held] * elapsed[:, None]
    ticks[held] = np.maximum(ticks[held], tick)
    return Shown(table, tick, position, ticks)
