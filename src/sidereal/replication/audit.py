"""The running server checks, again and again, that shards have what the record says, no more.

Each shard in turn is asked for digests of its sectors. Question and answer
travel in the session's one order, so a sector in which nothing was decided
between them must have the same rows on both sides. One that differs is asked
for row by row. What differs still is a fault: it is named, counted, and mended
by the rule that mends all else: the session is ended, and the next one's
inventory is judged by the record.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sidereal.ids import Sector, ShardId
from sidereal.replication.registry import ShardInfo
from sidereal.wire.shard_messages import AuditDigests, AuditQuestion, AuditRows
from sidereal.world.columns import I32
from sidereal.world.digests import SectorDigests, VersionRows, digests, versions
from sidereal.world.places import unique_sectors

if TYPE_CHECKING:
    from sidereal.replication.books import Books

NAMED_MAX = 5
"""Entities that a message names; the count has all."""

DIFFERENCES_KEPT = 100
"""The first so many are kept: what comes later follows from them, as a rule."""


@dataclass(slots=True)
class Question:
    """One that is not answered yet."""

    number: int
    sectors: tuple[Sector, ...]
    """Whose rows were asked for; empty: the digests of all."""
    touched: list[I32] = field(default_factory=list)
    """Sectors in which something was decided since it was asked."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that a shard has and the record does not say, or the other way."""

    at_ns: int
    shard: str
    entity: int
    here: int
    """Its version at the shard; 0 where it has none."""
    recorded: int
    """Its version in the record, as this shard's; 0 where it is not."""

    def __str__(self) -> str:
        return (
            f"entity {self.entity}: version {self.here or 'none'} on shard {self.shard},"
            f" {self.recorded or 'none'} of it in the record"
        )


class OnlineAudit:
    """Asks one shard after the other."""

    def __init__(self) -> None:
        self._open: dict[ShardId, Question] = {}
        self._asked_ns: dict[ShardId, int] = {}
        self._number = 0

    def touch(self, sectors: NDArray[np.int32]) -> None:
        """Something was decided in these sectors, i32 (n, 2): they prove nothing this time."""
        for question in self._open.values():
            question.touched.append(sectors)

    def ended(self, shard_id: ShardId) -> None:
        """A session ended, and with it what was asked in it."""
        self._open.pop(shard_id, None)

    def tick(self, books: "Books", now: int) -> None:
        """Ask whoever is due."""
        for shard in books.shards:
            due = self._asked_ns.setdefault(shard.shard_id, now) + books.settings.audit_ns
            if shard.link is None or shard.shard_id in self._open or now < due:
                continue
            self._ask(books, shard, (), now)
            return  # the others in later ticks: no tick audits them all
        for shard_id in [s for s in self._asked_ns if books.shards.get(s) is None]:
            del self._asked_ns[shard_id]
            self._open.pop(shard_id, None)

    def digests(self, books: "Books", shard: ShardInfo, message: AuditDigests, now: int) -> None:
        """Compare digests; ask for the rows of what differs."""
        question = self._answered(shard, message.number)
        if question is None or question.sectors:
            return
        mine, theirs = digests(_rows(books, shard)), message.digests
        busy = set(_sectors(question.touched))
        here = {key: value for key, value in _by_sector(theirs).items() if key not in busy}
        recorded = {key: value for key, value in _by_sector(mine).items() if key not in busy}
        books.counters["audit_rounds"] += 1
        books.counters["audit_sectors"] += len(recorded)
        differ = [c for c in sorted({*here, *recorded}) if here.get(c) != recorded.get(c)]
        if differ:
            self._ask(books, shard, tuple(differ), now)

    def rows(self, books: "Books", shard: ShardInfo, message: AuditRows, now: int) -> None:
        """Compare rows; what differs is a fault, and ends the session."""
        question = self._answered(shard, message.number)
        if question is None or not question.sectors:
            return
        busy = set(_sectors(question.touched))
        quiet = frozenset(question.sectors) - busy
        here, recorded = _versions(message.entities, quiet), _versions(_rows(books, shard), quiet)
        found = [
            Difference(now, shard.name, entity, here.get(entity, 0), recorded.get(entity, 0))
            for entity in sorted({*here, *recorded})
            if here.get(entity) != recorded.get(entity)
        ]
        if not found:
            return
        books.counters["audit_differences"] += len(found)
        story = "; ".join(str(difference) for difference in found[:NAMED_MAX])
        books.differences += found[: DIFFERENCES_KEPT - len(books.differences)]
        books.end_session(shard, f"the audit found {len(found)} differences: {story}")

    def _ask(self, books: "Books", shard: ShardInfo, sectors: tuple[Sector, ...], now: int) -> None:
        self._number += 1
        self._asked_ns[shard.shard_id] = now
        self._open[shard.shard_id] = Question(self._number, sectors)
        books.send(shard, AuditQuestion(self._number, sectors))

    def _answered(self, shard: ShardInfo, number: int) -> Question | None:
        """Return the question that was answered, which is open no more; None for any other."""
        question = self._open.get(shard.shard_id)
        if question is None or question.number != number:
            return None
        return self._open.pop(shard.shard_id)


def _rows(books: "Books", shard: ShardInfo) -> VersionRows:
    """Return what the record says that the shard was sent, but for what it asked to leave with."""
    return versions(books.table, books.rows_of(shard.shard_id))


def _sectors(touched: list[I32]) -> list[Sector]:
    return unique_sectors(np.concatenate(touched)) if touched else []


def _by_sector(rows: SectorDigests) -> dict[Sector, tuple[int, int]]:
    columns = zip(rows.sector.tolist(), rows.count.tolist(), rows.digest.tolist(), strict=True)
    return {(x, y): (count, digest) for (x, y), count, digest in columns}


def _versions(rows: VersionRows, sectors: frozenset[Sector]) -> dict[int, int]:
    columns = zip(rows.ids.tolist(), rows.sector.tolist(), rows.version.tolist(), strict=True)
    return {entity: version for entity, (x, y), version in columns if (x, y) in sectors}
