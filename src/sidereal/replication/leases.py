"""Leases: a shard simulates only while it holds one, so that its death can be known.

The lease ends, at the shard, `lease_ns` after it sent the heartbeat that the
last answer names. The server declares death `lease_ns + drift_allowance_ns`
after it gave that answer: by then the shard has stopped by itself, whatever the
network did. Nobody is dead because the server itself stood still: after that it
listens for two heartbeats before it declares anybody, once in each silence, or
whenever it stood still for longer than that.
A shard whose heartbeats come and that does not hear is noticed too: each heartbeat
names the newest answer that came, and while that stays the same, answers extend nothing.
Death is a fence: the sectors go to others at the next epoch, with the newest
state that the server received. A timeout is never a change of owner before that.
"""

import numpy as np

from sidereal.replication import copies
from sidereal.replication.books import CUSTODY, Books, CloseLink
from sidereal.replication.records import Fenced
from sidereal.replication.registry import ShardInfo
from sidereal.wire.shard_messages import Heartbeat, HeartbeatAck
from sidereal.world.entities import gather
from sidereal.world.places import unique_sectors
from sidereal.world.sectors import SectorEvent

DEAF_HEARTBEATS = 1.5
"""A shard has so many heartbeats' time to have heard something newer: one answer may be late. That
the next ones are is no harm either, as long as they come: what counts is that it hears on."""

SPARED_HEARTBEATS = 2
"""For so many heartbeats' time nobody is declared dead after the server stood still."""


def heartbeat(books: Books, shard: ShardInfo, message: Heartbeat, now: int) -> None:
    """Answer, and thereby extend the lease of a shard that hears the answers."""
    shard.hears(message.heard_ns, now)
    extends = now - shard.hears_ns <= DEAF_HEARTBEATS * books.settings.heartbeat_ns
    if extends:
        shard.answered_ns = now
        shard.spared = False
    else:
        books.counters["answers_not_extending"] += 1
    books.mail.settled(shard, message.mail_seen)
    books.send(shard, HeartbeatAck(message.sent_ns, now, shard.mail_taken or 0, extends))


def begin(books: Books, now: int) -> None:
    """The server's first tick: whom an earlier one registered has a lease's time from here on."""
    for info in books.shards:
        info.answered_ns = max(info.answered_ns, now)


def spare(books: Books, stalled_ns: int, now: int) -> None:
    """The server stood still for so long, and may not have heard who lives: let it listen first.

    Once in each silence, or a server that stumbles all the time would declare nobody dead; but
    where it stood still for as long as it listens, nobody could be heard: it listens again.
    """
    settings = books.settings
    books.counters["stalls"] += 1
    patience = settings.lease_ns + settings.drift_allowance_ns
    window_ns = SPARED_HEARTBEATS * settings.heartbeat_ns
    listening = now - patience + window_ns
    for info in books.shards:
        if info.answered_ns < listening and (not info.spared or stalled_ns >= window_ns):
            info.answered_ns = min(info.answered_ns + stalled_ns, listening)
            info.spared = True


def dead(books: Books, now: int) -> list[ShardInfo]:
    """Return the shards whose lease, with the allowance for clock drift, is over."""
    settings = books.settings
    patience = settings.lease_ns + settings.drift_allowance_ns
    return [info for info in books.shards if now - info.answered_ns > patience]


def fence(books: Books, shard: ShardInfo, now: int) -> None:
    """Write down that this incarnation is dead and take back all that it held."""
    for coords in sorted(shard.sectors):
        copies.give_up(books, books.sectors[coords])
    if shard.link is not None:
        reason = (
            f"lease over: for {books.settings.lease_ns} ns no heartbeat of {shard.name} came that"
            " showed that it hears the answers"
        )
        books.out.append(CloseLink(shard.link, reason))
    table = books.table
    held = books.rows_of(shard.shard_id)
    if len(held):
        tick = books.tick_at(now)
        age = tick - int(table.tick[held].min())
        books.rehomed_age_ticks_max = max(books.rehomed_age_ticks_max, age)
        books.counters["rehomed"] += len(held)
        table.shard[held] = np.int32(CUSTODY)
    books.mail.fenced(shard, table.ids[held])
    for coords in sorted(shard.sectors):
        entry = books.sectors[coords]
        entry.happen(SectorEvent.FENCE)
        books.take(entry)
        entry.target = None
        entry.frozen_ns = 0
        entry.orphaned = True
        entry.why = f"shard {shard.name} died"
        books.wanted.setdefault(coords)
    for coords in unique_sectors(table.sector[held]):
        books.hold(coords, now)
    books.forget_asked(shard.shard_id)
    books.shards.remove(shard)
    books.note(Fenced(shard.shard_id, gather(table, held)))
    books.counters["fences"] += 1
