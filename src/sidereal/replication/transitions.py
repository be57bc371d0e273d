"""Entities change sector: the seed's cases A, B and C, in batches.

A shard asks with `EntityTransitionRequest`; each row is judged alone, but for a
group, which is judged as one. A row is accepted where the record has its
version, in a sector that this shard owns at the epoch it names; from then on it
has the next version and stands in the new sector:

- A, the new sector is the same shard's: `AcknowledgeTransition`;
- B, another shard's: `EntityEnterSector` there, `ConfirmTransitionExit` here;
- C, nobody's, or frozen: the server keeps the entity in custody, has the sector
  loaded, and answers once its owner is known.

A request that is out of date is answered with its outcome, never refused. A
spawn is a transition from version 0.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from sidereal.errors import ProtocolError
from sidereal.kernel import ABSENT, sectors
from sidereal.limits import PARCEL_BYTES_MAX
from sidereal.replication.books import CUSTODY, SENT, Awaiting, Books
from sidereal.replication.records import Crossed, CrossRows, HandedOff, Placed, Spawned
from sidereal.replication.registry import ShardInfo
from sidereal.wire.shard_messages import (
    AcknowledgeTransition,
    ConfirmTransitionExit,
    EntityEnterSector,
    RefuseTransition,
)
from sidereal.world.columns import U32, all_of, rising
from sidereal.world.entities import (
    NO_SECTOR,
    ClaimRows,
    EnterRows,
    EntityRows,
    OutcomeRows,
    PlaceRows,
    StateRows,
    TransitionRows,
    gather,
)
from sidereal.world.places import rows_by_sector, same_sector, unique_sectors

Mask = NDArray[np.bool_]


def request(
    books: Books,
    shard: ShardInfo,
    rows: TransitionRows,
    now: int,
    mail_seen: int = 0,
    mail_held: Collection[int] = (),
) -> None:
    """Judge a batch of transition requests and answer each row, or hold it in custody."""
    check_ticks(books, rows, now)
    books.audit.touch(rows.sector)
    books.audit.touch(rows.target)
    spawning = rows.version == 0
    current = _current(books, shard, rows)
    astray = current | spawning
    astray &= ~_in_target(books, rows)
    if np.count_nonzero(astray):
        books.counters["transitions_astray"] += int(astray.sum())
        _refuse(books, shard, rows.take(astray), "its position is not in the sector it asks for")
        rows, current, spawning = rows.take(~astray), current[~astray], spawning[~astray]
    if np.count_nonzero(spawning):
        current |= _may_spawn(books, shard, rows, spawning)
    outdated = ~current
    if np.count_nonzero(outdated):
        books.counters["transitions_outdated"] += int(outdated.sum())
        books.send(shard, ConfirmTransitionExit(_claims(rows, outdated)))
    accepted = _whole_groups(rows, current)
    torn = current & ~accepted
    if np.count_nonzero(torn):
        _refuse(books, shard, rows.take(torn), "one of the group is no longer yours: ask again")
    index = accepted.nonzero()[0]
    if not len(index):
        return
    if len(index) < len(rows):
        rows = rows.take(index)

    destination, _ = books.routes.get(rows.target)
    unknown = destination < 0
    if np.count_nonzero(unknown) and _custody_full(books, int(unknown.sum())):
        reason = f"{books.custody_max} entities are in custody already: start more shards"
        _refuse(books, shard, rows.take(unknown), reason)
        rows, destination = rows.take(~unknown), destination[~unknown]
        unknown = np.zeros(len(rows), bool)
    born = rows.version == 0
    if np.count_nonzero(born) > books.handles.left():
        _refuse(books, shard, rows.take(born), "the record is full: destroy some first")
        rows, destination, unknown = rows.take(~born), destination[~born], unknown[~born]
        born = np.zeros(len(rows), bool)
    if np.count_nonzero(born):
        _create(books, rows.take(born))

    moved = rows.version != 0
    books.crossed.append((rows.sector[moved], rows.target[moved]))
    slots = _write(books, rows, destination)
    here = destination == shard.shard_id
    _note(books, shard, slots, born, here)
    there = ~here & ~unknown
    books.mail.withdraw(shard, rows.ids[~here], mail_seen, mail_held)
    if np.count_nonzero(here):
        books.counters["transitions_same_shard"] += int(np.count_nonzero(here))
        acknowledge(books, shard, slots[here], rows.version[here], rows.tick[here])
    if np.count_nonzero(there):
        books.counters["handoffs"] += int(np.count_nonzero(there))
        enter(books, slots[there])
        books.arrived(slots[there])
        books.send(shard, ConfirmTransitionExit(_claims(rows, there)))
    if np.count_nonzero(unknown):
        books.counters["transitions_into_custody"] += int(np.count_nonzero(unknown))
        _await_owner(books, shard, rows.take(unknown), now)


def place(books: Books, rows: EntityRows, now: int) -> None:
    """Create entities at version 1 wherever their positions lie; nobody asked for an answer.

    Ids must be new to the record, positions valid. Sectors follow from the positions.
    """
    destination, _ = books.routes.get(rows.sector)
    books.audit.touch(rows.sector)
    books.table.upsert(rows.ids, rows.position, rows.velocity)
    slots = books.table.slots(rows.ids)
    books.table.bind(slots, books.handles.grant(len(rows)))
    at = _write_columns(books, slots, rows, rows.sector)
    books.table.version[at] = 1
    books.table.shard[at] = np.where(destination < 0, CUSTODY, destination)
    books.counters["created"] += len(rows)
    books.note(Placed(gather(books.table, slots)))
    known = destination >= 0
    if known.any():
        enter(books, slots[known])
    if not known.all():
        for coords in unique_sectors(rows.sector[~known]):
            books.hold(coords, now)


def take_states(books: Books, shard: ShardInfo, rows: StateRows, now: int) -> None:
    """Take changed states of what a shard holds, where versions agree and they are newer."""
    check_ticks(books, rows, now)
    table = books.table
    slots = table.slots(rows.ids)
    good = slots != ABSENT
    good[good] = (
        (table.version[slots[good]] == rows.version[good])
        & (table.shard[slots[good]] == shard.shard_id)
        & (table.state_tick[slots[good]] < rows.tick[good])
    )
    rows, slots = rows.take(good), slots[good]
    table.set_states(slots, rows.lengths, rows.states)
    table.state_tick[slots] = rows.tick
    books.counters["states"] += len(rows)


def take_places(books: Books, shard: ShardInfo, rows: PlaceRows, now: int) -> None:
    """Take where entities are that a shard holds, where versions agree and they are newer."""
    check_ticks(books, rows, now)
    where, _ = sectors(rows.position, books.rules.sector_size)
    table = books.table
    slots = table.slots(rows.ids)
    good = (slots != ABSENT) & (where[:, 0] != NO_SECTOR)
    good[good] = (
        (table.version[slots[good]] == rows.version[good])
        & (table.shard[slots[good]] == shard.shard_id)
        & (table.tick[slots[good]] < rows.tick[good])
    )
    rows, slots = rows.take(good), slots[good]
    table.upsert(rows.ids, rows.position, rows.velocity, slots)
    table.tick[slots] = rows.tick
    books.counters["updates"] += len(rows)


def check_ticks(books: Books, rows: EntityRows | StateRows | PlaceRows, now: int) -> None:
    """Refuse states of ticks that are yet to come: they would silence all that follow.

    What is scheduled to begin later stands in the record with its tick, and may say so.
    """
    ahead = (rows.tick > books.last_tick(now)).nonzero()[0]
    if not len(ahead):
        return
    slots = books.table.slots(rows.ids[ahead])
    scheduled = slots != ABSENT
    scheduled[scheduled] = books.table.tick[slots[scheduled]] >= rows.tick[ahead[scheduled]]
    if not scheduled.all():
        first = ahead[~scheduled][0]
        raise ProtocolError(
            f"entity {rows.ids[first]} at tick {rows.tick[first]}, and it is tick"
            f" {books.tick_at(now)}: set the clock by the heartbeats' answers"
        )


def acknowledge(books: Books, shard: ShardInfo, slots: U32, asked: U32, tick: U32) -> None:
    """Tell a shard that the rows `slots`, for which it asked at version `asked`, are its own."""
    table, rows = books.table, slots.astype(np.intp)
    outcomes = OutcomeRows(
        ids=table.ids[rows],
        sector=table.sector[rows],
        asked=asked,
        version=table.version[rows],
        handle=table.handle[rows],
        tick=tick,
    )
    books.send(shard, AcknowledgeTransition(outcomes))


def enter(books: Books, slots: U32) -> None:
    """Send `EntityEnterSector` for the rows `slots` to the shards that the record names."""
    holder = books.table.shard[slots]
    books.table.phase[slots] |= np.uint8(SENT)
    for shard_id in rising(holder):
        rows = gather(books.table, slots[holder == shard_id])
        _, epoch = books.owners.get(rows.sector)
        arriving = EnterRows.grown(rows, epoch=epoch)
        for part in arriving.parcels(PARCEL_BYTES_MAX):
            books.send(books.shards.get(shard_id), EntityEnterSector(part))


def settle(books: Books, waiting: list[Awaiting], shard_id: int) -> U32:
    """Answer those who crossed into a sector that `shard_id` now owns.

    Returns the slots of those that this very shard keeps (acknowledged, not sent).
    """
    kept: list[U32] = []
    for group in waiting:
        asker = books.shards.get(group.shard_id)
        if asker is None:
            continue
        slots = books.table.slots(group.ids)
        current = slots != ABSENT
        current[current] &= (books.table.version[slots[current]] == group.asked[current] + 1) & (
            books.table.shard[slots[current]] == CUSTODY
        )
        if group.shard_id == shard_id:
            mine = slots[current]
            books.table.shard[mine] = shard_id
            acknowledge(books, asker, mine, group.asked[current], group.tick[current])
            books.arrived(mine, kept_by=shard_id)
            books.counters["transitions_same_shard"] += len(mine)
            kept.append(mine)
            gone = ~current
        else:
            books.counters["handoffs"] += int(current.sum())
            gone = np.ones(len(slots), bool)
        if gone.any():
            claims = ClaimRows(ids=group.ids[gone], version=group.asked[gone])
            books.send(asker, ConfirmTransitionExit(claims))
    return np.concatenate(kept) if kept else np.empty(0, np.uint32)


def _current(books: Books, shard: ShardInfo, rows: TransitionRows) -> Mask:
    table = books.table
    slots = table.slots(rows.ids)
    accepted: Mask = (slots != ABSENT) & (rows.version != 0)
    claim = accepted.nonzero()[0]
    known = slots[claim].astype(np.intp)  # once, and not for each column
    sector = rows.sector.take(claim, 0)
    owner, epoch = books.owners.get(sector)
    accepted[claim] = (
        (table.version[known] == rows.version[claim])
        & (table.shard[known] == shard.shard_id)
        & same_sector(table.sector.take(known, 0), sector)
        & (owner == shard.shard_id)
        & (epoch == rows.epoch[claim])
    )
    return accepted


def _in_target(books: Books, rows: TransitionRows) -> Mask:
    """Return whose position lies in the sector that it asks for, or within the margin of it.

    A group's members have their root's sector, wherever they are.
    """
    rules = books.rules
    where, _ = sectors(rows.position, rules.sector_size)
    good = same_sector(where, rows.target)
    good |= (rows.group != 0) & (rows.group != rows.ids)
    if not all_of(good):
        low = rows.target[~good] * rules.sector_size
        above = rows.position[~good] >= low - rules.margin
        below = rows.position[~good] <= low + (rules.sector_size + rules.margin)
        good[~good] = (above & below).all(axis=1)
    return good


def _may_spawn(books: Books, shard: ShardInfo, rows: TransitionRows, spawning: Mask) -> Mask:
    """Return what may be spawned: granted ids, in rising order, each once, within the world."""
    ids = rows.ids
    accepted = spawning & (ids > shard.spawn_serial) & shard.granted(ids)
    accepted &= books.table.slots(ids) == ABSENT
    if accepted.any():
        shard.decided(int(ids[accepted].max()))
        where, _ = sectors(rows.position, books.rules.sector_size)
        accepted &= where[:, 0] != NO_SECTOR
    return accepted


def _create(books: Books, rows: TransitionRows) -> None:
    """Let spawned rows into the record; what else is known of them follows."""
    books.table.upsert(rows.ids, rows.position, rows.velocity)
    slots = books.table.slots(rows.ids)
    books.table.bind(slots, books.handles.grant(len(slots)))
    books.counters["created"] += len(slots)


def _whole_groups(rows: TransitionRows, current: Mask) -> Mask:
    """Return what is accepted of what is current: groups whole or not at all."""
    grouped = rows.group != 0
    if not np.count_nonzero(grouped):
        return current
    wanted = np.unique(
        np.column_stack([rows.group[grouped].view(np.int64), rows.target[grouped]]), axis=0
    )
    if (wanted[1:, 0] == wanted[:-1, 0]).any():
        raise ProtocolError("EntityTransitionRequest: one group into two sectors")
    torn = np.isin(rows.group, rows.group[grouped & ~current]) & grouped
    whole: Mask = current & ~torn
    return whole


def _write(books: Books, rows: TransitionRows, destination: NDArray[np.int32]) -> U32:
    table = books.table
    slots = table.slots(rows.ids)
    table.upsert(rows.ids, rows.position, rows.velocity, slots)
    at = _write_columns(books, slots, rows, rows.target)
    table.version[at] = rows.version + 1
    table.phase[at] = 0
    table.shard[at] = np.where(destination < 0, CUSTODY, destination)
    table.bind(slots, books.handles.renew(table.handle[at]))
    return slots


def _write_columns(
    books: Books, slots: U32, rows: EntityRows, sector: NDArray[np.int32]
) -> NDArray[np.intp]:
    """Write what the rows say at the slots; return these as an index."""
    table = books.table
    books.order.strayed += len(slots)
    at = slots.astype(np.intp)  # once, and not for each column
    table.sector[at] = sector
    table.group[at] = rows.group
    table.flags[at] = rows.flags
    table.sensor[at] = rows.sensor
    table.tick[at] = rows.tick
    table.state_tick[at] = rows.tick
    table.set_states(slots, rows.lengths, rows.states)
    return at


def _await_owner(books: Books, shard: ShardInfo, rows: TransitionRows, now: int) -> None:
    for coords, here in rows_by_sector(rows.target):
        entry = books.hold(coords, now)
        entry.awaiting.append(
            Awaiting(shard.shard_id, rows.ids[here], rows.version[here], rows.tick[here])
        )


def _note(books: Books, shard: ShardInfo, slots: U32, born: Mask, here: Mask) -> None:
    """Write down what was accepted: who was born, who stays with its shard, who goes on."""
    table = books.table
    if np.count_nonzero(born):
        books.note(Spawned(shard.shard_id, gather(table, slots[born])))
    stay = slots[here & ~born].astype(np.intp)
    if len(stay):
        columns = {name: getattr(table, name).take(stay, 0) for name in CrossRows.LAYOUT}
        books.note(Crossed(CrossRows.of(columns)))
    leave = slots[~here & ~born]
    if len(leave):
        books.note(HandedOff(gather(table, leave)))


def _custody_full(books: Books, more: int) -> bool:
    if len(books.table) + more <= books.custody_max:  # all that there is may be in custody
        return False
    held = int((books.table.shard == CUSTODY).sum())
    return held + more > books.custody_max


def _refuse(books: Books, shard: ShardInfo, rows: TransitionRows, reason: str) -> None:
    books.counters["transitions_refused"] += len(rows)
    outcomes = OutcomeRows(
        ids=rows.ids,
        sector=rows.sector,
        asked=rows.version,
        version=rows.version,
        handle=rows.handle,
        tick=rows.tick,
    )
    books.send(shard, RefuseTransition(outcomes, reason))


def _claims(rows: EntityRows, which: Mask) -> ClaimRows:
    return ClaimRows.of({"ids": rows.ids[which], "version": rows.version[which]})
