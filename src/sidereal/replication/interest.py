"""What clients see: enter, update, leave, from all shards alike.

Every few ticks one snapshot of all positions answers all subscriptions at once.
Each client's answer is compared with its view. What came near enters with its
whole state, nearest first; what is farther than a little beyond the radius
leaves, so that what wanders on the edge does not flicker; of the rest, those of
a newer tick are sent as datagrams, nearest and most stale first. States that changed
go whole, as the shards send them: once an interval at most. All of it
keeps within a client's bytes per second; what had no room waits for the next round.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidereal.kernel import ABSENT, Snapshot
from sidereal.replication.books import CUSTODY, Books, SendDatagrams
from sidereal.replication.sessions import Session
from sidereal.replication.shown import ROW_BYTES, Shown, shown
from sidereal.replication.view import Mask
from sidereal.wire.client_messages import (
    EntitiesChanged,
    EntitiesEnter,
    EntitiesLeave,
    LeaveRows,
)
from sidereal.wire.datagrams import CLIENT_UPDATE
from sidereal.world.columns import F64, U32
from sidereal.world.entities import EntityRows, StateRows, gather
from sidereal.world.rules import NS_PER_S

LEAVE_FACTOR = 1.05
"""What was seen stays in view until it is so much farther than the radius."""

ENTITY_BYTES = 80
"""What one entity takes in `EntitiesEnter` beside its state."""

STATE_ROW_BYTES = 20
"""What one entity takes in `EntitiesChanged` beside its state."""

LEAVE_BYTES = 9
"""What one entity takes in `EntitiesLeave`."""

OVERHEAD_BYTES = 64
"""What a message or datagram takes beside its payload: transport, encryption, UDP and IP."""

ALLOWANCE_S = 0.5
"""Bytes that were not used are saved up for so long."""

NEAR = 0.25
"""An entity at the centre goes out 1 + 1/NEAR times as often as one at the edge."""

CORRECTED_S = 0.5
"""An entity that was seen to move on in custody, and rests at an earlier tick, is shown there so
much later. One that moves has passed that tick by then."""


@dataclass(frozen=True, slots=True)
class Hits:
    """What one client's discs cover: rows of the table, each once, by id.

    ``ratio`` is the distance to the nearest centre, in radii: above 1 only what is seen stays.
    """

    slots: U32
    ratio: F64


class Interest:
    """Sends each client what it sees."""

    def __init__(self) -> None:
        self._told_tick = -1
        self._told_ns: int | None = None

    def round(self, books: Books, now: int) -> None:
        """Send a round to every client, if one is due."""
        tick = books.tick_at(now)
        if tick - self._told_tick < books.settings.client_interval_ticks:
            return
        elapsed_s = 0.0 if self._told_ns is None else (now - self._told_ns) / NS_PER_S
        self._told_tick = tick
        self._told_ns = now
        watching = [s for s in books.sessions if s.link is not None]
        watching = [s for s in watching if s.subscriptions or len(s.view)]
        if not watching:
            return
        rate = books.settings.client_bytes_per_s
        world = shown(books, now)
        for session, hits in zip(watching, _look(books, world, watching), strict=True):
            view = session.view
            saved = view.allowance_bytes + rate * elapsed_s
            view.allowance_bytes = min(saved, rate * ALLOWANCE_S)
            _tell(books, world, session, hits)


def _look(books: Books, world: Shown, watching: list[Session]) -> list[Hits]:
    """Answer all clients' subscriptions from one snapshot."""
    table = books.table
    discs = [disc for session in watching for disc in session.subscriptions.values()]
    centres = np.array([(d.x, d.y) for d in discs], np.float64).reshape(-1, 2)
    radii = np.array([d.radius for d in discs], np.float64)
    entities = np.array([d.entity for d in discs], np.uint64)
    followed = np.flatnonzero(entities)
    slots = table.slots(entities[followed])
    there = slots != ABSENT
    centres[followed[there]] = world.position[slots[there]]
    centres[followed[~there]] = np.nan
    snapshot = Snapshot(world.position, books.rules.sector_size)
    index, offsets = snapshot.query(centres, radii * LEAVE_FACTOR)
    of_disc = np.repeat(np.arange(len(discs)), (offsets[1:] - offsets[:-1]).astype(np.int64))
    away = world.position[index] - centres[of_disc]
    ratio = np.hypot(away[:, 0], away[:, 1]) / radii[of_disc]
    ids = table.ids[index]
    answers = []
    disc = 0
    for session in watching:
        first, disc = disc, disc + len(session.subscriptions)
        rows = slice(int(offsets[first]), int(offsets[disc]))
        if disc - first == 1:
            order = np.argsort(ids[rows])
        else:
            order = np.lexsort((ratio[rows], ids[rows]))
            order = order[_first_of_each(ids[rows][order])]
        answers.append(Hits(index[rows][order], ratio[rows][order]))
    return answers


def _tell(books: Books, world: Shown, session: Session, hits: Hits) -> None:
    table, view = books.table, session.view
    ids = table.ids[hits.slots]
    at, known = view.find(ids)
    if _leave(books, session, at[known]):
        at, known = view.find(ids)
    stale = np.zeros(len(ids), np.int64)
    stale[known] = world.now_tick - view.tick[at[known]]
    _change(books, session, hits.slots[known], at[known])
    risen = known.copy()
    ticks = world.tick[hits.slots]
    ticks[_mistaken(books, world, session, hits.slots, at, known)] = world.now_tick
    risen[known] = ticks[known] > view.tick[at[known]]
    new = ~known & (hits.ratio <= 1)
    # Where both want to go, arrivals leave half of the room to the updates.
    room_bytes = view.allowance_bytes * (0.5 if risen.any() else 1.0)
    if new.any():
        nearest = np.flatnonzero(new)[np.argsort(hits.ratio[new], kind="stable")]
        _enter(books, world, session, hits.slots[nearest], room_bytes)
    if risen.any():
        urgency = stale[risen] / (NEAR + hits.ratio[risen])
        _update(books, world, session, hits.slots[risen], ticks[risen], urgency)


def _mistaken(
    books: Books, world: Shown, session: Session, slots: U32, at: NDArray[np.int64], known: Mask
) -> Mask:
    """Return which were told as of a tick that the record has not come to, and seems to rest."""
    view, found = session.view, known.copy()
    found[known] = view.doubtful[at[known]]
    if np.count_nonzero(found):
        rows, told = slots[found], view.tick[at[found]]
        found[found] = (
            (books.table.shard[rows] != CUSTODY)
            & (world.tick[rows] <= told)
            & (world.now_tick - told >= CORRECTED_S * books.rules.tick_hz)
        )
    return found


def _first_of_each(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return where each run of equal values begins."""
    first = np.ones(len(values), bool)
    first[1:] = values[1:] != values[:-1]
    return np.flatnonzero(first)


def _leave(books: Books, session: Session, seen: NDArray[np.int64]) -> bool:
    """Take out of view all but the rows `seen` of it; return whether there were any."""
    view = session.view
    gone = np.ones(len(view), bool)
    gone[seen] = False
    if not gone.any():
        return False
    ids = view.leave(gone)
    destroyed = books.table.slots(ids) == ABSENT
    rows = LeaveRows(ids=ids, destroyed=destroyed)
    books.tell_session(session, EntitiesLeave(rows))
    view.allowance_bytes -= LEAVE_BYTES * len(ids) + OVERHEAD_BYTES
    return True


def _enter(books: Books, world: Shown, session: Session, slots: U32, room_bytes: float) -> None:
    """Let in, nearest first, as many as there is room for."""
    if room_bytes <= 0:
        return
    slots = slots[: int(room_bytes) // ENTITY_BYTES + 1]
    lengths, _ = books.table.states(slots)
    ends = np.cumsum(lengths.astype(np.int64) + ENTITY_BYTES)
    slots = slots[ends - lengths - ENTITY_BYTES < room_bytes]
    rows = gather(books.table, slots)
    columns = {name: getattr(rows, name) for name in EntityRows.LAYOUT}
    columns["position"] = world.position[slots]
    columns["tick"] = world.tick[slots]
    rows = EntityRows(**columns, lengths=rows.lengths, states=rows.states)
    held = books.table.shard[slots] == CUSTODY
    session.view.enter(rows.ids, rows.tick, books.table.state_tick[slots], held)
    session.view.allowance_bytes -= int(ends[len(slots) - 1]) + OVERHEAD_BYTES
    books.counters["client_enters"] += len(rows)
    books.tell_session(session, EntitiesEnter(rows))


def _change(books: Books, session: Session, slots: U32, at: NDArray[np.int64]) -> None:
    """Send the states that are newer than those in view, oldest first, as many as have room."""
    table, view = books.table, session.view
    known = view.state_tick[at]
    newer = table.state_tick[slots] > known
    if not newer.any() or view.allowance_bytes <= 0:
        return
    order = np.argsort(known[newer], kind="stable")
    slots, at = slots[newer][order], at[newer][order]
    slots = slots[: int(view.allowance_bytes) // STATE_ROW_BYTES + 1]
    lengths, _ = table.states(slots)
    ends = np.cumsum(lengths.astype(np.int64) + STATE_ROW_BYTES)
    slots = slots[ends - lengths - STATE_ROW_BYTES < view.allowance_bytes]
    lengths, states = table.states(slots)
    ticks = table.state_tick[slots]
    view.state_tick[at[: len(slots)]] = ticks
    view.allowance_bytes -= int(ends[len(slots) - 1]) + OVERHEAD_BYTES
    rows = StateRows(
        ids=table.ids[slots],
        version=table.version[slots],
        tick=ticks,
        lengths=lengths,
        states=states,
    )
    books.counters["client_states"] += len(rows)
    books.tell_session(session, EntitiesChanged(rows))


def _update(
    books: Books, world: Shown, session: Session, slots: U32, ticks: U32, urgency: F64
) -> None:
    """Send the most urgent of the rows that there is room for, datagrams of one of `ticks` each."""
    view = session.view
    room = int(max(view.allowance_bytes, 0)) // ROW_BYTES
    if room < len(slots):
        if room == 0:
            return
        urgent = np.argpartition(-urgency, room)[:room]
        slots, ticks = slots[urgent], ticks[urgent]
    order = np.argsort(ticks, kind="stable")
    slots, ticks = slots[order], ticks[order]
    starts = _first_of_each(ticks).tolist()
    payloads: list[bytes] = []
    row_offsets = [np.zeros(1, np.uint32)]
    for start, end in zip(starts, [*starts[1:], len(slots)], strict=True):
        packed, rows = world.pack(slots[start:end], CLIENT_UPDATE, int(ticks[start]))
        payloads += packed
        row_offsets.append(rows[1:] + np.uint32(start))
    offsets = np.concatenate(row_offsets)
    held = books.table.shard[slots] == CUSTODY
    view.fly(offsets, books.table.ids[slots], ticks.astype(np.int64), held)
    view.allowance_bytes -= sum(map(len, payloads)) + OVERHEAD_BYTES * len(payloads)
    books.counters["client_updates"] += len(slots)
    assert session.link is not None
    books.out.append(SendDatagrams(session.link, payloads))
