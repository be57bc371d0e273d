"""A shard's session resumes: its inventory is judged, and both sides go on from the record.

The answer comes before anything else of the session: `RegistrationAck`, then
one `SessionVerdict` for all that the shard has. What the record gives it beside
follows, as assignments and arrivals. Nothing that was in flight when the old
session ended is remembered by either side.
"""

import numpy as np
from numpy.typing import NDArray

from sidereal.ids import LinkId, Sector
from sidereal.kernel import ABSENT
from sidereal.replication import lifecycle, transitions
from sidereal.replication.books import CUSTODY, SENT, Awaiting, Books
from sidereal.replication.registry import ShardInfo
from sidereal.wire.shard_messages import RegistrationAck, ResumeShard, SessionVerdict
from sidereal.world.columns import U32, among
from sidereal.world.entities import gather
from sidereal.world.inventory import EntityPhase, EntityVerdicts, SectorPhase, Verdict
from sidereal.world.places import rows_by_sector, same_sector
from sidereal.world.sectors import SectorEvent, SectorState

Mask = NDArray[np.bool_]


def end_older(books: Books, shard: ShardInfo) -> None:
    """Close the session that the shard still has."""
    books.end_session(shard, f"shard {shard.name} has opened a newer session")


def resume(books: Books, shard: ShardInfo, link: LinkId, message: ResumeShard, now: int) -> None:
    """Judge the inventory and say all that the shard lacks. The registration is answered before."""
    _abort_moves(books, shard)
    books.forget_asked(shard.shard_id)
    run = _sectors(books, shard, message, now)
    verdicts = _judge(books, shard, message, run)
    _await_again(books, shard, message, verdicts, now)
    books.shards.attach(shard, link)
    books.send(
        shard,
        SessionVerdict(
            sectors=tuple(sorted(run)),
            entities=verdicts,
            mail_taken=-1 if shard.mail_taken is None else shard.mail_taken,
            possessed=books.possessions.at(books, shard.shard_id),
        ),
    )
    _send_lacking(books, shard, verdicts, run)
    books.mail.redeliver(books, shard, message.mail_seen)
    books.counters["shard_sessions_resumed"] += 1
    for verdict in Verdict:
        found = int((verdicts.verdict == verdict).sum())
        if found:
            books.counters[f"verdicts_{verdict.name.lower()}"] += found


def begin_again(books: Books, shard: ShardInfo, link: LinkId, answer: RegistrationAck) -> None:
    """Answer an incarnation whose registration was never answered: it has nothing yet."""
    _abort_moves(books, shard)
    books.forget_asked(shard.shard_id)
    books.shards.attach(shard, link)
    books.send(shard, answer)
    _send_lacking(books, shard, EntityVerdicts.empty(), set())


def _abort_moves(books: Books, shard: ShardInfo) -> None:
    """Freezes that are not decided end with the session, wherever the shard stood in them."""
    for coords in sorted(shard.sectors):
        entry = books.sectors[coords]
        if entry.state is SectorState.UNLOADING or coords in books.copies:
            lifecycle.resume(books, entry, f"shard {shard.name} opened a new session")


def _sectors(books: Books, shard: ShardInfo, message: ResumeShard, now: int) -> set[Sector]:
    """Return the sectors that go on: listed at the epoch at which the record has them."""
    run: set[Sector] = set()
    listed = message.sectors
    columns = zip(listed.sector.tolist(), listed.epoch.tolist(), listed.phase.tolist(), strict=True)
    for (x, y), epoch, phase in columns:
        entry = books.sectors.get((x, y))
        if entry is None or (entry.shard_id, entry.epoch) != (shard.shard_id, epoch):
            continue
        run.add((x, y))
        if entry.state is SectorState.LOADING and phase != SectorPhase.LOADING:
            entry.happen(SectorEvent.READY)
            lifecycle.end_freeze(books, entry, now)
    return run


def _judge(
    books: Books, shard: ShardInfo, message: ResumeShard, run: set[Sector]
) -> EntityVerdicts:
    table, listed = books.table, message.entities
    slots = table.slots(listed.ids)
    known = slots != ABSENT
    at = np.where(known, slots, 0)
    phase = listed.phase
    if len(table):
        version, holder = table.version[at], table.shard[at]
        sector, handle, tick = table.sector[at], table.handle[at], table.tick[at]
        sent = table.phase[at] & SENT != 0
    else:
        version = handle = tick = np.zeros(len(listed), np.uint32)
        holder, sector = np.zeros(len(listed), np.int32), listed.sector
        sent = np.zeros(len(listed), bool)
    mine = known & (holder == shard.shard_id)
    same = (
        mine
        & (version == listed.version)
        & same_sector(sector, listed.sector)
        & _among(listed.sector, run)
    )
    asked = (phase == EntityPhase.PENDING) | (phase == EntityPhase.SPAWNING)
    # What was sent to somebody since is not what this shadow stands for any more.
    accepted = known & asked & (version == listed.version + 1) & ~sent
    undecided = ~known & (phase == EntityPhase.SPAWNING) & (listed.ids > shard.spawn_serial)
    undecided &= shard.granted(listed.ids)
    verdict = np.full(len(listed), Verdict.DROP, np.uint32)
    verdict[same & (phase == EntityPhase.HELD)] = Verdict.KEEP
    verdict[same & (phase == EntityPhase.PENDING)] = Verdict.BACK
    verdict[(same & (phase == EntityPhase.DESTROYING)) | undecided] = Verdict.RESEND
    verdict[accepted & mine] = Verdict.ACK
    verdict[accepted & (holder == CUSTODY)] = Verdict.WAIT
    return EntityVerdicts(
        ids=listed.ids,
        sector=sector,
        version=np.where(known, version, 0),
        handle=handle,
        tick=tick,
        verdict=verdict,
    )


def _among(sector: NDArray[np.int32], run: set[Sector]) -> Mask:
    """Return for each row (i32 (n, 2)) whether its sector is in the set."""
    if not run or not len(sector):
        return np.zeros(len(sector), bool)
    there = np.array(sorted(run), np.int64)
    packed = there[:, 0] << 32 | there[:, 1] & 0xFFFFFFFF
    rows = sector[:, 0].astype(np.int64) << 32 | sector[:, 1].astype(np.int64) & 0xFFFFFFFF
    return among(rows, packed)


def _await_again(
    books: Books, shard: ShardInfo, message: ResumeShard, verdicts: EntityVerdicts, now: int
) -> None:
    """What is in custody, and whose shadow the shard has, is answered once its owner is known."""
    waits = verdicts.verdict == Verdict.WAIT
    if not waits.any():
        return
    rows, asked = verdicts.take(waits), message.entities.version[waits]
    for coords, here in rows_by_sector(rows.sector):
        entry = books.hold(coords, now)
        entry.awaiting.append(
            Awaiting(shard.shard_id, rows.ids[here], asked[here], rows.tick[here])
        )


def _send_lacking(
    books: Books, shard: ShardInfo, verdicts: EntityVerdicts, run: set[Sector]
) -> None:
    """Send every sector and entity that the record gives the shard and that it has not."""
    table = books.table
    here = np.isin(verdicts.verdict, [Verdict.KEEP, Verdict.BACK, Verdict.ACK, Verdict.RESEND])
    slots = table.slots(verdicts.ids[here])
    has = slots[slots != ABSENT]
    lacking: U32 = np.setdiff1d(books.rows_of(shard.shard_id), has).astype(np.uint32)
    inside = dict(rows_by_sector(table.sector[lacking]))
    nothing = np.empty(0, np.uint32)
    for coords in sorted(shard.sectors - run):
        rows = lacking[inside.get(coords, nothing)]
        table.phase[rows] |= np.uint8(SENT)
        lifecycle.tell(books, shard, books.sectors[coords], gather(table, rows))
    arriving = lacking[_among(table.sector[lacking], run)]
    if len(arriving):
        transitions.enter(books, arriving)
