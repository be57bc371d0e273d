"""A sector is given to a shard, made ready, frozen, and unloaded or given on.

Sections 3, 4 and 7 of the seed. A move is decided at one point: where the frozen
sector's last states have come (`removed`), the record names the new owner, and
only then do `AssignSector` and `ReleaseSector` leave.
"""

import numpy as np
from numpy.typing import NDArray

from sidereal.ids import Sector
from sidereal.limits import CHUNK_BYTES_MAX, MOVE_PART_NS_MAX, PLACES_MAX
from sidereal.replication import balance, copies, transitions
from sidereal.replication.books import CUSTODY, SENT, Books, SectorEntry
from sidereal.replication.records import Assigned, Unloaded
from sidereal.replication.registry import ShardInfo
from sidereal.wire.shard_messages import (
    NO_PLACES,
    AssignSector,
    ReleaseSector,
    ResumeSector,
    SectorCopied,
    SectorCopy,
    SectorInitialState,
    SectorLastStates,
    SectorReady,
    SectorRemoved,
    UnassignSector,
)
from sidereal.world.columns import U32, among
from sidereal.world.entities import ClaimRows, EntityRows, gather, placed
from sidereal.world.places import rows_by_sector
from sidereal.world.rules import NS_PER_S
from sidereal.world.sectors import SectorEvent, SectorState

NOBODY = EntityRows.empty()

FORGET_IDLE_TIMES = 2
"""After so many idle times nothing but its epoch is known of an empty, unloaded sector."""


def activate_wanted(books: Books, now: int) -> None:
    """Assign every unloaded sector that something is in or about to enter."""
    if not books.wanted or not books.shards.candidates():
        return
    held = _custody_by_sector(books)
    wanted = [books.entry(coords) for coords in sorted(books.wanted, key=_z_order)]
    books.wanted.clear()
    for entry in wanted:
        if entry.state is SectorState.UNLOADED:
            rows = held.get(entry.coords, np.empty(0, np.uint32))
            choice = balance.choose(books, entry.coords)
            entry.why = choice.reason
            assign(books, entry, choice.shard, rows, now)
            books.counters["activations"] += 1


def assign(books: Books, entry: SectorEntry, shard: ShardInfo, rows: U32, now: int) -> None:
    """Give a sector, with the custody rows `rows` in it, to a shard: from the record on."""
    entry.happen(SectorEvent.ASSIGN if entry.state is SectorState.UNLOADED else SectorEvent.MOVED)
    entry.cause = "migration" if entry.frozen_ns else "rehomed" if entry.orphaned else "activation"
    entry.orphaned = False
    books.touch(entry)
    books.give(entry, shard.shard_id)
    entry.custody_since_ns = None
    entry.target = None
    entry.occupied_ns = now
    shard.assigned_since_report += balance.weight(books, rows)
    waiting, entry.awaiting = entry.awaiting, []
    own = {id(group): group for group in waiting if group.shard_id == shard.shard_id}
    acknowledged = [books.table.slots(group.ids) for group in own.values()]
    sent = rows if not acknowledged else rows[~among(rows, np.concatenate(acknowledged))]
    table = books.table
    table.shard[sent] = shard.shard_id
    table.phase[sent] |= np.uint8(SENT)
    states = gather(table, sent)
    known = copies.as_copied(books, entry)
    tell(books, shard, entry, states, among(sent, known) if len(known) else None)
    copies.forget(books, entry)
    kept = transitions.settle(books, waiting, shard.shard_id)
    books.arrived(sent)
    claims = ClaimRows(ids=table.ids[kept], version=table.version[kept])
    books.note(Assigned(entry.coords, entry.epoch, shard.shard_id, states, claims))


def tell(
    books: Books,
    shard: ShardInfo,
    entry: SectorEntry,
    rows: EntityRows,
    as_copied: NDArray[np.bool_] | None = None,
) -> None:
    """Send a shard a sector that the record gives it, with `rows` in it.

    Of those that are `as_copied`, a mask, it has all but where they are.
    """
    places = NO_PLACES
    if as_copied is not None and as_copied.any():
        rows, places = rows.take(~as_copied), placed(rows.take(as_copied))
    whole = rows.parcels(CHUNK_BYTES_MAX)
    there = places.split(PLACES_MAX) if len(places) else []
    chunks = [(part, NO_PLACES) for part in whole] + [(NOBODY, part) for part in there]
    message = AssignSector(entry.coords, entry.epoch, entry.epoch == 1, len(chunks), entry.cause)
    books.send(shard, message)
    for number, chunk in enumerate(chunks):
        books.send(shard, SectorInitialState(entry.coords, entry.epoch, number, *chunk))


def ready(books: Books, shard: ShardInfo, message: SectorReady, now: int) -> None:
    """A shard simulates a sector."""
    entry = _fenced(books, shard, message.sector, message.epoch)
    if entry is None or entry.state is not SectorState.LOADING:
        books.counters["stale_sector_messages"] += 1
        return
    entry.happen(SectorEvent.READY)
    end_freeze(books, entry, now)


def end_freeze(books: Books, entry: SectorEntry, now: int) -> None:
    """The sector runs again, if it was frozen: note for how long it stood still."""
    if entry.frozen_ns:
        books.freezes_ns.append(now - entry.frozen_ns)
        entry.frozen_ns = 0


def move(books: Books, entry: SectorEntry, target: int, why: str, now: int) -> None:
    """Let an active sector go to another shard: first a copy of it, then, frozen, itself."""
    copies.give_up(books, entry)
    entry.asked_ns = now
    if not copies.begin(books, entry, target, why):
        unassign(books, entry, target, why, now)


def copy_came(books: Books, shard: ShardInfo, message: SectorCopy, now: int) -> None:
    """Some of the copy of a sector that is to move has come."""
    entry = _fenced(books, shard, message.sector, message.epoch)
    if entry is None or not moves(books, entry) or entry.attempt != message.attempt:
        books.counters["stale_sector_messages"] += 1
        return
    transitions.check_ticks(books, message.entities, now)
    copies.came(books, shard, entry, message)
    copy = books.copies[entry.coords]
    if copies.too_large(books):
        unassign(books, entry, copy.target, copy.why, now)
    elif copy.whole:
        entry.asked_ns = now  # now it is the target's part


def copied(books: Books, shard: ShardInfo, message: SectorCopied, now: int) -> None:
    """The target has the copy of a sector: now it is frozen."""
    entry = books.sectors.get(message.sector)
    if entry is None or not moves(books, entry) or not copies.arrived(books, entry, shard, message):
        books.counters["stale_sector_messages"] += 1
        return
    copy = books.copies[entry.coords]
    freeze(books, entry, copy.target, copy.why, now)


def moves(books: Books, entry: SectorEntry) -> bool:
    """Whether a sector that is simulated is about to move, and is being copied."""
    return entry.state is SectorState.ACTIVE and entry.coords in books.copies


def unassign(books: Books, entry: SectorEntry, target: int | None, why: str, now: int) -> None:
    """Freeze an active sector as it is, to unload it (no target) or to move it."""
    copies.give_up(books, entry)
    entry.attempt += 1
    freeze(books, entry, target, why, now)


def freeze(books: Books, entry: SectorEntry, target: int | None, why: str, now: int) -> None:
    """Freeze an active sector in its present attempt; what its copy has is not said again."""
    entry.happen(SectorEvent.UNASSIGN)
    entry.target = target
    entry.asked_ns = now
    entry.frozen_ns = 0 if target is None else now
    entry.why = why
    books.freeze(entry)
    message = UnassignSector(entry.coords, entry.epoch, entry.attempt)
    books.send(books.shards.get(entry.shard_id), message)


def last_states(books: Books, shard: ShardInfo, message: SectorLastStates, now: int) -> None:
    """Some of a frozen sector's last states have come: they are its newest, whatever follows."""
    entry = _fenced(books, shard, message.sector, message.epoch)
    if (
        entry is None
        or entry.state is not SectorState.UNLOADING
        or entry.attempt != message.attempt
    ):
        books.counters["stale_sector_messages"] += 1
        return
    _last_states(books, shard, entry, message, now)


def removed(books: Books, shard: ShardInfo, message: SectorRemoved, now: int) -> None:
    """The frozen sector's last states have come: decide, then release the source."""
    entry = _fenced(books, shard, message.sector, message.epoch)
    if (
        entry is None
        or entry.state is not SectorState.UNLOADING
        or entry.attempt != message.attempt
    ):
        books.counters["stale_sector_messages"] += 1
        return
    _last_states(books, shard, entry, message, now)
    mine = books.rows_in(shard.shard_id, entry.coords)
    books.table.shard[mine] = CUSTODY
    books.touch(entry)
    books.mail.withdraw(shard, books.table.ids[mine], message.mail_seen, message.mail_held)
    books.take(entry)
    release = ReleaseSector(entry.coords, entry.epoch, entry.attempt)
    held = books.rows_in(CUSTODY, entry.coords)
    target = None if entry.target is None else books.shards.get(entry.target)
    if target is not None and target.link is not None:
        entry.moved_ns = now
        books.counters["migrations"] += 1
        assign(books, entry, target, held, now)
    else:
        copies.give_up(books, entry)
        entry.happen(SectorEvent.REMOVED)
        books.note(Unloaded(entry.coords, gather(books.table, held)))
        entry.frozen_ns = 0
        entry.entities = 0
        if entry.target is None:
            books.counters["deactivations"] += 1
        entry.target = None
        if len(held) or entry.awaiting:
            books.hold(entry.coords, now)
        else:
            entry.custody_since_ns = None
    books.send(shard, release)


def resume(books: Books, entry: SectorEntry, why: str) -> None:
    """Give up a move that is not decided yet: the source goes on."""
    copies.give_up(books, entry)
    if entry.state is SectorState.ACTIVE:  # it never stopped
        entry.why = why
        return
    entry.happen(SectorEvent.RESUME)
    books.touch(entry)
    entry.target = None
    entry.frozen_ns = 0
    entry.why = why
    books.thaw(entry)
    source = books.shards.get(entry.shard_id)
    books.send(source, ResumeSector(entry.coords, entry.epoch, entry.attempt))
    waiting, entry.awaiting = entry.awaiting, []
    transitions.settle(books, waiting, entry.shard_id)
    held = books.rows_in(CUSTODY, entry.coords)
    books.table.shard[held] = entry.shard_id
    entry.custody_since_ns = None
    if len(held):
        transitions.enter(books, held)
        books.arrived(held)


def abort_moves_to(books: Books, shard: ShardInfo, why: str) -> None:
    """Give up the undecided moves to a shard: their sources go on."""
    for entry in books.sectors.values():
        frozen = entry.state is SectorState.UNLOADING and entry.target == shard.shard_id
        copy = books.copies.get(entry.coords)
        if frozen or (copy is not None and copy.target == shard.shard_id):
            resume(books, entry, f"its target, shard {shard.name}, {why}")


def give_up_overdue(books: Books, now: int) -> None:
    """Give up moves and unloadings that are not decided and take too long, though all are heard."""
    seconds = MOVE_PART_NS_MAX // NS_PER_S
    for entry in books.sectors.values():
        frozen = entry.state is SectorState.UNLOADING
        if not (frozen or moves(books, entry)) or now - entry.asked_ns < MOVE_PART_NS_MAX:
            continue
        owes, lacks = books.shards.get(entry.shard_id), "has not said all that is in it"
        if frozen:
            lacks = "has not let go of it"
        elif (copy := books.copies[entry.coords]).whole:
            owes, lacks = books.shards.get(copy.target), "has not said that it has the copy"
        if owes is None or owes.link is None:
            continue  # that session is over, and with it, when the next opens, this
        if owes.shard_id == entry.shard_id:
            entry.unmoved_ns = entry.occupied_ns = now
        else:
            owes.untaken_ns = now
        what = "unloading" if frozen and entry.target is None else "move"
        books.counters["moves_given_up"] += 1
        resume(books, entry, f"its {what} was given up: shard {owes.name} {lacks} in {seconds} s")


def stood_still(books: Books, stalled_ns: int) -> None:
    """The server heard nobody for so long: it counts against no move."""
    for entry in books.sectors.values():
        entry.asked_ns += stalled_ns


def unload_idle(books: Books, now: int) -> None:
    """Unload what has been empty, and not about to be entered, for the idle time."""
    for entry in books.sectors.values():
        if entry.state is SectorState.ACTIVE and is_idle(books, entry, now):
            unassign(books, entry, None, f"empty for {books.settings.idle_unload_ns} ns", now)


def forget_unloaded(books: Books, now: int) -> None:
    """Let go of sectors that have long been unloaded: a world may have seen millions of them."""
    patience = FORGET_IDLE_TIMES * books.settings.idle_unload_ns
    for entry in list(books.sectors.values()):
        held = entry.entities or entry.awaiting or entry.custody_since_ns is not None
        if entry.state is not SectorState.UNLOADED or held or entry.coords in books.wanted:
            continue
        if now - entry.occupied_ns >= patience:
            books.rest(entry)


def is_idle(books: Books, entry: SectorEntry, now: int) -> bool:
    """Whether a sector has been empty and out of reach for the idle time."""
    return entry.entities == 0 and now - entry.occupied_ns >= books.settings.idle_unload_ns


def _fenced(books: Books, shard: ShardInfo, coords: Sector, epoch: int) -> SectorEntry | None:
    entry = books.sectors.get(coords)
    if entry is None or entry.shard_id != shard.shard_id or entry.epoch != epoch:
        return None
    return entry


def _last_states(
    books: Books,
    shard: ShardInfo,
    entry: SectorEntry,
    message: SectorLastStates | SectorRemoved,
    now: int,
) -> None:
    transitions.check_ticks(books, message.entities, now)
    transitions.check_ticks(books, message.places, now)
    copies.last_states(books, shard, entry, message.entities, message.places)


def _custody_by_sector(books: Books) -> dict[Sector, U32]:
    held = books.rows_of(CUSTODY)
    return {coords: held[rows] for coords, rows in rows_by_sector(books.table.sector[held])}


def _z_order(coords: Sector) -> int:
    """Order sectors along a Morton curve, so that those given out together lie together."""
    x, y = coords[0] + 2**31, coords[1] + 2**31
    return sum(((x >> bit & 1) | (y >> bit & 1) << 1) << 2 * bit for bit in range(32))
