"""What the server knows of a sector's states: by a copy before it moves, and by its last ones.

Before a sector moves, its shard says what is in it while it goes on; that is the
newest that the server has, and goes on to the target as a cache without rights.
Once the target has it all, the sector is frozen, and only what has changed since
is said again. A copy is given up with its move, and when either session ends.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from sidereal.errors import ProtocolError
from sidereal.kernel import ABSENT
from sidereal.limits import COPY_BYTES_MAX
from sidereal.wire.shard_messages import CopySector, DropCopy, SectorCopied, SectorCopy
from sidereal.world.columns import U32, U64, search
from sidereal.world.entities import ROW_BYTES, EntityRows, PlaceRows, gather, nbytes

if TYPE_CHECKING:
    from sidereal.replication.books import Books, SectorEntry
    from sidereal.replication.registry import ShardInfo

Rows = TypeVar("Rows", EntityRows, PlaceRows)


@dataclass(slots=True)
class Copy:
    """A copy on its way from a sector's shard to the one that is to have it."""

    target: int
    why: str
    bytes: int
    """What it is expected to take, or takes already."""
    left: int | None = None
    """How many more parts the source has said will come; None before the first."""
    whole: bool = False
    """All of it has been sent to the target."""
    ids: list[U64] = field(default_factory=list)
    version: list[U32] = field(default_factory=list)
    """What the target was sent."""
    as_copied: list[U64] = field(default_factory=list)
    """Of what was frozen: what is as copied, but for where it is."""

    def close(self) -> None:
        """Put what the target was sent into the order of ids."""
        ids, version = np.concatenate(self.ids), np.concatenate(self.version)
        order = np.argsort(ids)
        self.ids, self.version = [ids[order]], [version[order]]
        self.whole = True


def begin(books: "Books", entry: "SectorEntry", target: int, why: str) -> bool:
    """Ask for a copy of a sector; False where there is nothing to copy, or no room for it."""
    rows = books.rows_in(entry.shard_id, entry.coords)
    state_bytes = books.table.state_bytes / max(1, len(books.table))
    expected = round(len(rows) * (ROW_BYTES + state_bytes))
    if not len(rows) or _taken(books) + expected > COPY_BYTES_MAX:
        return False
    entry.attempt += 1
    books.copies[entry.coords] = Copy(target, why, expected)
    message = CopySector(entry.coords, entry.epoch, entry.attempt)
    books.send(books.shards.get(entry.shard_id), message)
    return True


def came(books: "Books", shard: "ShardInfo", entry: "SectorEntry", message: SectorCopy) -> None:
    """Some of a copy has come: take what is newer, and pass it on as the record has it."""
    copy = books.copies[entry.coords]
    if copy.whole:
        raise ProtocolError(f"SectorCopy {entry.coords}: more of it, and it was whole")
    copy.left = message.left_after(copy.left)
    if not copy.ids:
        copy.bytes = 0
    rows, slots = _current(books, shard, entry, message.entities)
    table = books.table
    newer = rows.tick >= table.tick[slots]  # updates may have overtaken it
    _place(books, rows.take(newer), slots[newer])
    newer = rows.tick >= table.state_tick[slots]
    _state(books, rows.take(newer), slots[newer])
    passed = gather(table, slots)
    copy.bytes += nbytes(passed)
    if too_large(books):
        return  # it is given up: more than the target has room for is never sent to it
    copy.ids.append(passed.ids)
    copy.version.append(passed.version)
    fence = entry.coords, entry.epoch, entry.attempt
    books.send(books.shards.get(copy.target), SectorCopy(*fence, message.left, passed))
    if message.left == 0:
        copy.close()
    books.counters["copied_entities"] += len(passed)


def too_large(books: "Books") -> bool:
    """Whether all copies together take more than there is room for."""
    return _taken(books) > COPY_BYTES_MAX


def forget(books: "Books", entry: "SectorEntry") -> Copy | None:
    """A sector's copy is of no use any more: return it, if there was one."""
    return books.copies.pop(entry.coords, None)


def arrived(
    books: "Books", entry: "SectorEntry", shard: "ShardInfo", message: SectorCopied
) -> bool:
    """Whether that says that the target has the copy that the sector waits for."""
    copy = books.copies.get(entry.coords)
    return (
        copy is not None
        and copy.whole
        and copy.target == shard.shard_id
        and (entry.epoch, entry.attempt) == (message.epoch, message.attempt)
    )


def give_up(books: "Books", entry: "SectorEntry") -> None:
    """Let source and target forget a sector's copy, if there is one."""
    copy = forget(books, entry)
    if copy is not None:
        message = DropCopy(entry.coords, entry.epoch, entry.attempt)
        books.send(books.shards.get(entry.shard_id), message)
        books.send(books.shards.get(copy.target), message)


def last_states(
    books: "Books",
    shard: "ShardInfo",
    entry: "SectorEntry",
    rows: EntityRows,
    places: PlaceRows,
) -> None:
    """Take what the frozen shard has, where its version is the record's."""
    rows, slots = _current(books, shard, entry, rows)
    _not_older(books, entry, rows, slots)
    _place(books, rows, slots)
    _state(books, rows, slots)
    if not len(places):
        return
    copy = books.copies.get(entry.coords)
    if copy is None or not copy.whole:
        raise ProtocolError(f"SectorRemoved {entry.coords}: places, and no copy was asked for")
    places, slots = _current(books, shard, entry, places)
    at, known = search(copy.ids[0], places.ids)
    if len(copy.ids[0]):
        known &= copy.version[0][at] == places.version
    if not known.all():
        entity = int(places.ids[~known][0])
        raise ProtocolError(f"SectorRemoved {entry.coords}: {entity} was not in the copy")
    _not_older(books, entry, places, slots)
    _place(books, places, slots)
    copy.as_copied.append(places.ids)


def as_copied(books: "Books", entry: "SectorEntry") -> U32:
    """Return the slots of what the target has already, but for where it is."""
    copy = books.copies.get(entry.coords)
    if copy is None or not copy.as_copied:
        return np.empty(0, np.uint32)
    slots = books.table.slots(np.concatenate(copy.as_copied))
    there: U32 = slots[slots != ABSENT]
    return there


def _taken(books: "Books") -> int:
    return sum(copy.bytes for copy in books.copies.values())


def _current(
    books: "Books", shard: "ShardInfo", entry: "SectorEntry", rows: Rows
) -> tuple[Rows, U32]:
    """Return the rows that are in that sector by the record, at its versions; and their slots."""
    table = books.table
    slots = table.slots(rows.ids)
    current = slots != ABSENT
    known = slots[current].astype(np.intp)  # once, and not for each column
    x, y = entry.coords
    current[current] = (
        (table.version[known] == rows.version[current])
        & (table.shard[known] == shard.shard_id)
        & (table.sector[known, 0] == x)
        & (table.sector[known, 1] == y)
    )
    return rows.take(current), slots[current]


def _not_older(
    books: "Books", entry: "SectorEntry", rows: EntityRows | PlaceRows, slots: U32
) -> None:
    if np.count_nonzero(rows.tick < books.table.tick[slots]):
        raise ProtocolError(
            f"SectorRemoved {entry.coords}: a state older than an update of the same version"
        )


def _place(books: "Books", rows: EntityRows | PlaceRows, slots: U32) -> None:
    books.table.upsert(rows.ids, rows.position, rows.velocity, slots)
    books.table.tick[slots] = rows.tick


def _state(books: "Books", rows: EntityRows, slots: U32) -> None:
    table = books.table
    table.state_tick[slots] = rows.tick
    table.flags[slots] = rows.flags
    table.sensor[slots] = rows.sensor
    table.set_states(slots, rows.lengths, rows.states)
