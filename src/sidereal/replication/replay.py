"""A journal read back: its records, in order, make the record of the world again.

`restore` makes the books of a new server from the newest image and the records
after it. What only memory knew (sessions' links, freezes, who waits for what) is
told anew by the shards' inventories. `digest` is over the record alone: memory's
and a replayed journal's are equal at all times.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from sidereal.errors import ConfigError, StoreDamaged
from sidereal.ids import Incarnation, ShardId
from sidereal.kernel import ABSENT
from sidereal.replication import records as rec
from sidereal.replication.books import CUSTODY, SENT, Books
from sidereal.replication.registry import ShardInfo
from sidereal.replication.sessions import Session
from sidereal.replication.settings import Settings
from sidereal.world.columns import U32
from sidereal.world.entities import EntityRows, gather, write
from sidereal.world.places import unique_sectors
from sidereal.world.sectors import SectorEvent, SectorState


@dataclass(frozen=True, slots=True)
class Moment:
    """The present, as a server tells its successor: times in nanoseconds.

    `now_ns` is of the clock named `clock`; a server that finds another name (the machine was
    started again) goes by `wall_ns`, the time since 1970.
    """

    now_ns: int
    clock: str = ""
    wall_ns: int = 0


def restore(
    settings: Settings, term: int, moment: Moment, history: Iterable[rec.AnyRecord]
) -> Books:
    """Return the books of a new leader: what `history` amounts to, and then its own beginning."""
    replay = Replay(settings)
    for record in history:
        replay.apply(record)
    return replay.books_of(term, moment)


class Replay:
    """Applies records, one after the other, to books of their own."""

    def __init__(self, settings: Settings) -> None:
        self.books = Books(settings, 0, 0)
        self._began: rec.Began | None = None

    def books_of(self, term: int, moment: Moment) -> Books:
        """Return the books, led by `term` from `moment` on."""
        books, now = self.books, moment.now_ns
        books.term = term
        books.origin_ns = now if self._began is None else _origin(self._began, moment)
        self._hold_what_nobody_owns(now)
        rules = books.rules
        began = self._began
        books.by_wall = began is not None and (began.by_wall or not _same_clock(began, moment))
        books.began = rec.Began(
            format=rec.FORMAT,
            term=term,
            origin_ns=books.origin_ns,
            clock=moment.clock,
            now_ns=now,
            wall_ns=moment.wall_ns,
            sector_size=rules.sector_size,
            tick_hz=rules.tick_hz,
            by_wall=books.by_wall,
        )
        books.note(books.began)
        return books

    def apply(self, record: rec.AnyRecord) -> None:
        """Let one decision have happened."""
        books = self.books
        match record:
            case rec.Began():
                self._begin(record)
            case rec.Registered():
                self._register(
                    record.shard_id, record.name, record.incarnation, record.wants_ghosts
                )
            case rec.Granted():
                books.next_id = max(books.next_id, record.first + record.count)
                shard = books.shards.get(record.shard_id)
                if shard is not None:
                    shard.grants.append((record.first, record.count))
                elif record.shard_id == CUSTODY:
                    books.tool_ids.grant(record.first, record.count)
            case rec.Assigned():
                entry = books.entry(record.sector)
                if entry.shard_id != CUSTODY:
                    books.take(entry)
                entry.epoch = record.epoch - 1
                entry.state = SectorState.UNLOADED
                entry.happen(SectorEvent.ASSIGN)
                books.give(entry, record.shard_id)
                self._write(record.states, SENT)
                books.table.phase[self._slots(record.kept.ids)] = 0
            case rec.Unloaded():
                entry = books.entry(record.sector)
                books.take(entry)
                entry.state = SectorState.UNLOADED
                self._renew(record.states)
            case rec.Crossed():
                rows, table = record.entities, books.table
                slots = self._slots(rows.ids)
                table.sector[slots] = rows.sector
                table.version[slots] = rows.version
                table.group[slots] = rows.group
                table.phase[slots] = 0
            case rec.HandedOff():
                self._write(record.entities, self._sent(record.entities))
            case rec.Spawned():
                shard = books.shards.get(record.shard_id)
                if shard is not None:
                    shard.decided(int(record.entities.ids.max()))
                self._write(record.entities, self._sent(record.entities, record.shard_id))
                books.counters["created"] += len(record.entities)
            case rec.Placed():
                books.tool_ids.use(record.entities.ids)
                self._write(record.entities, SENT)
                books.counters["created"] += len(record.entities)
            case rec.Destroyed():
                books.counters["destroyed"] += books.table.remove(record.claims.ids)
                self._let_go(record.claims.ids.tolist())
            case rec.Fenced():
                self._fence(record.shard_id)
                self._renew(record.states)
            case rec.SessionOpened():
                self._open(record.number, record.token, [])
            case rec.SessionOver():
                session = books.sessions.get(record.number)
                if session is not None:
                    books.possessions.expired(session)
                    books.sessions.remove(session)
            case rec.Possessed():
                session = books.sessions.get(record.number)
                if session is not None:
                    books.possessions.restore(session, record.entity, record.held)
            case rec.Cordoned():
                shard = books.shards.get(record.shard_id)
                if shard is not None:
                    shard.cordoned, shard.draining = record.cordoned, record.draining
            case rec.Image():
                self._image(record)
            case _:
                assert_never(record)

    # --- inside --------------------------------------------------------------

    def _begin(self, began: rec.Began) -> None:
        rules = self.books.rules
        if began.format not in rec.READABLE:
            raise StoreDamaged("this journal", f"its records are of format {began.format}")
        if (began.sector_size, began.tick_hz) != (rules.sector_size, rules.tick_hz):
            raise ConfigError(
                f"this journal is of a world with sectors of {began.sector_size} units at"
                f" {began.tick_hz} Hz; configured are {rules.sector_size} and {rules.tick_hz}:"
                " configure the world's own, or begin with another data directory"
            )
        self._began = began

    def _register(self, shard_id: int, name: str, incarnation: int, ghosts: bool) -> ShardInfo:
        return self.books.shards.restore(
            ShardInfo(ShardId(shard_id), name, Incarnation(incarnation), None, 0, ghosts)
        )

    def _open(self, number: int, token: bytes, possessed: list[int]) -> None:
        session = Session(number, token, None)
        self.books.sessions.restore(session)
        for entity in possessed:
            self.books.possessions.restore(session, entity, True)

    def _let_go(self, ids: list[int]) -> None:
        for entity in ids:
            self.books.possessions.forget(self.books, entity)

    def _fence(self, shard_id: int) -> None:
        shard = self.books.shards.get(shard_id)
        if shard is None:
            raise StoreDamaged("this journal", f"it fences shard {shard_id}, which is not there")
        for coords in sorted(shard.sectors):
            entry = self.books.sectors[coords]
            self.books.take(entry)
            entry.state = SectorState.UNLOADED
            entry.orphaned = True
        self.books.shards.remove(shard)

    def _slots(self, ids: np.ndarray) -> U32:
        slots: U32 = self.books.table.slots(ids)
        if np.count_nonzero(slots == ABSENT):
            raise StoreDamaged(
                "this journal", f"entity {int(ids[slots == ABSENT][0])} was never created"
            )
        return slots

    def _write(self, rows: EntityRows, sent: np.ndarray | int) -> None:
        if len(rows):
            slots = write(self.books.table, rows)
            self.books.table.phase[slots] = sent

    def _sent(self, rows: EntityRows, asker: int = CUSTODY) -> np.ndarray:
        """Return which of those that were let into their sectors were sent to a shard: `SENT` or 0.

        `asker` asked for them, and keeps what is in a sector of its own. One that was frozen has
        its owner here, too: a shadow that might have stayed is dropped, and its entity sent anew.
        """
        owner, _ = self.books.owners.get(rows.sector)
        return np.where((owner >= 0) & (owner != asker), SENT, 0).astype(np.uint8)

    def _renew(self, rows: EntityRows) -> None:
        """Take newer states of entities that stay where they are."""
        self._write(rows, self.books.table.phase[self._slots(rows.ids)].copy())

    def _image(self, image: rec.Image) -> None:
        self.books = books = Books(self.books.settings, 0, 0)
        self._begin(image.began)
        books.next_id = image.next_id
        for each in image.shards:
            shard = self._register(each.shard_id, each.name, each.incarnation, each.wants_ghosts)
            shard.spawn_serial = each.spawn_serial
            shard.grants = list(each.grants)
            shard.cordoned, shard.draining = each.cordoned, each.draining
        books.shards.next_id = image.next_shard
        rows = image.sectors
        columns = zip(rows.sector.tolist(), rows.epoch.tolist(), rows.shard.tolist(), strict=True)
        for (x, y), epoch, shard_id in columns:
            entry = books.entry((x, y))
            entry.epoch = epoch
            if shard_id != CUSTODY:
                entry.epoch -= 1
                entry.happen(SectorEvent.ASSIGN)
                books.give(entry, shard_id)
        self._write(image.entities, np.frombuffer(image.sent, np.uint8))
        books.counters["created"] = image.created
        books.counters["destroyed"] = image.destroyed
        for number, token, possessed in image.sessions:
            self._open(number, token, possessed)
        books.sessions.next_number = image.next_session
        books.tool_ids.blocks = list(image.tool_ids)

    def _hold_what_nobody_owns(self, now: int) -> None:
        """Give handles, find holders, begin leases: what follows from the record, and the time."""
        books = self.books
        table = books.table
        everything = np.arange(len(table), dtype=np.uint32)
        table.bind(everything, books.handles.grant(len(table)))
        owner, _ = books.owners.get(table.sector)
        table.shard[everything] = np.where(owner >= 0, owner, CUSTODY)
        for shard in books.shards:
            shard.answered_ns = now
            shard.mail_taken = None
        for session in books.sessions:
            session.away_ns = now
            session.mail_taken = None
        for entry in books.sectors.values():
            entry.occupied_ns = now
            holder = books.shards.get(entry.shard_id)
            if holder is not None:
                entry.why = f"shard {holder.name} had it when this server took over"
        for coords in unique_sectors(table.sector[table.shard == CUSTODY]):
            books.hold(coords, now)


def image_of(books: Books) -> rec.Image:
    """Return the whole record as it is now, with the newest states received."""
    assert books.began is not None
    table = books.table
    everything = np.arange(len(table), dtype=np.uint32)
    owned = books.owned()
    return rec.Image(
        began=books.began,
        next_id=books.next_id,
        next_shard=books.shards.next_id,
        next_session=books.sessions.next_number,
        created=books.counters["created"],
        destroyed=books.counters["destroyed"],
        shards=[
            rec.ShardImage(
                info.shard_id,
                info.name,
                info.incarnation,
                info.wants_ghosts,
                info.spawn_serial,
                list(info.grants),
                info.cordoned,
                info.draining,
            )
            for info in books.shards
        ],
        sectors=rec.SectorRows(
            sector=np.array([coords for coords, _, _ in owned], np.int32).reshape(-1, 2),
            epoch=[epoch for _, epoch, _ in owned],
            shard=[shard_id for _, _, shard_id in owned],
        ),
        entities=gather(table, everything),
        sent=table.phase.tobytes(),
        sessions=[(s.number, s.token, list(s.possessed)) for s in books.sessions],
        tool_ids=list(books.tool_ids.blocks),
    )


def digest(books: Books) -> str:
    """Return a digest of the record: owners, epochs, and each entity's version, sector, group."""
    table = books.table
    order = np.argsort(table.ids)
    owned = sorted(books.owned())
    lives = [
        (info.shard_id, info.name, info.incarnation, info.cordoned, info.draining)
        for info in books.shards
    ]
    sessions = [(s.number, s.token.hex(), sorted(s.possessed)) for s in books.sessions]
    summary = hashlib.blake2b(digest_size=16)
    ids = (books.next_id, books.shards.next_id, books.tool_ids.blocks)
    summary.update(repr((owned, lives, ids, sessions)).encode())
    for column in (table.ids, table.version, table.sector, table.group):
        summary.update(np.ascontiguousarray(column[order]).tobytes())
    return summary.hexdigest()


def _same_clock(began: rec.Began, moment: Moment) -> bool:
    return began.clock == moment.clock and moment.now_ns >= began.now_ns


def _origin(began: rec.Began, moment: Moment) -> int:
    """Return when tick 0 was, by the present clock: world time goes on, whatever happened."""
    if _same_clock(began, moment):
        return began.origin_ns
    elapsed_ns = max(0, moment.wall_ns - began.wall_ns)
    return moment.now_ns - (began.now_ns - began.origin_ns) - elapsed_ns
