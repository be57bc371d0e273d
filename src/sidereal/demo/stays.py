"""Who held an entity when, put together from what the shards wrote about coming and going.

A *stay* begins where a shard first simulates an entity, reaches back over the gap
since the tick of the state that came, and ends where the entity crossed out, left,
or the shard's file ends. A handoff and back is two stays; a crossing within a shard
interrupts none.

The sums by tick are the proof; stays explain them: they give names to what is
missing or double, and they are the only way to tell what a killed shard had
simulated after the state from which its entities went on.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from sidereal.demo import audit_file as af
from sidereal.demo.audit_file import AuditFile
from sidereal.demo.idhash import mixed_ids

I64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Stays:
    """Stays, (n,) each, by id, then by the tick in which they began.

    Attributes
    ----------
    id : ndarray, uint64
    shard : ndarray, int64
        Index of the file.
    first, last : ndarray, int64
        Ticks covered, gap included; ``last < first`` where none is.
    entered : ndarray, int64
        The first tick simulated here.
    cause : ndarray, int64
        Why it came (`sidereal.demo.audit_file`).
    torn : ndarray, bool
        The shard died or was fenced, and this was the entity's last stay there. Another
        shard may go on from an older state than its last: also where it had asked to
        hand the entity over, or had frozen it, because the asking may not have arrived.
    """

    id: npt.NDArray[np.uint64]
    shard: I64
    first: I64
    last: I64
    entered: I64
    cause: I64
    torn: Mask

    def __len__(self) -> int:
        return len(self.id)

    def of(self, rows: npt.NDArray[Any] | slice) -> "Stays":
        """Some of the stays, by mask, indices or slice."""
        return Stays(*(getattr(self, field.name)[rows] for field in fields(self)))

    def clipped(self, birth: I64, end: I64) -> "Stays":
        """Within lives (n,): nothing is simulated before birth, nor after the end."""
        return Stays(
            self.id,
            self.shard,
            np.maximum(self.first, birth),
            np.minimum(self.last, end),
            self.entered,
            self.cause,
            self.torn,
        )


@dataclass(frozen=True)
class Intervals:
    """Ticks ``first .. last``, inclusive, of entities, (n,) each."""

    id: npt.NDArray[np.uint64]
    first: I64
    last: I64

    def __len__(self) -> int:
        return len(self.id)

    def per_tick(self, first_tick: int, ticks: int) -> tuple[I64, npt.NDArray[np.uint64]]:
        """How many lie over each of some ticks, and the sum of their id-hashes, (ticks,) each."""
        some = self.first <= self.last
        low = np.clip(self.first[some] - first_tick, 0, ticks)
        high = np.clip(self.last[some] + 1 - first_tick, 0, ticks)
        count = np.bincount(low, minlength=ticks + 1) - np.bincount(high, minlength=ticks + 1)
        change = np.zeros(ticks + 1, np.uint64)
        mixed = mixed_ids(self.id[some])
        np.add.at(change, low, mixed)
        np.subtract.at(change, high, mixed)
        return np.cumsum(count)[:ticks], np.cumsum(change, dtype=np.uint64)[:ticks]


def stays_of(files: list[AuditFile]) -> Stays:
    """All stays in some files, which may be those of living or dead processes."""
    parts = [_stays_in(file, index) for index, file in enumerate(files)]
    joined = Stays(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Stays))
    )
    return joined.of(np.lexsort((joined.entered, joined.id)))


def _stays_in(file: AuditFile, index: int) -> Stays:
    moves = file.committed_moves()
    order = np.argsort(moves["id"], kind="stable")
    moves = moves[order]
    begin = np.flatnonzero(moves["kind"] == af.ENTERED)
    # The rows of one stay are those up to the id's next ENTERED; its last row ends it.
    edge = np.append(begin[1:], len(moves))
    same = np.searchsorted(moves["id"], moves["id"][begin], side="right")
    final = moves[np.minimum(edge, same) - 1] if len(begin) else moves[:0]
    kind, tick = final["kind"], final["tick"].astype(np.int64)
    closed = (kind == af.CROSSED) | (kind == af.LEFT) | (kind == af.LOST)
    idle = (kind == af.KEPT) & (tick > file.last_tick)
    reached = np.where(idle, final["since"].astype(np.int64), file.last_tick)
    ended = np.minimum(edge, same) < same
    dead = not file["done"]
    head = moves[begin]
    return Stays(
        id=head["id"],
        shard=np.full(len(head), index, np.int64),
        first=head["since"].astype(np.int64) + 1,
        last=np.where(closed, tick, reached),
        entered=head["tick"].astype(np.int64),
        cause=head["cause"].astype(np.int64),
        torn=(kind == af.LOST) | (~ended & dead),
    )


def overlaps(stays: Stays) -> Intervals:
    """Ticks that stays of the same entity share.

    In each tick an entity appears once less than it has stays there, so the
    intervals' number over a tick is what is too much in it.
    """
    by_first = stays.of(stays.last >= stays.first)
    by_first = by_first.of(np.lexsort((by_first.first, by_first.id)))
    last = np.minimum(by_first.last, _running_last(by_first))
    shared = last >= by_first.first
    return Intervals(by_first.id[shared], by_first.first[shared], last[shared])


def beside_torn(stays: Stays) -> I64:
    """How many ticks (n,) each stay was simulated in beside an earlier one, where one is torn.

    A stay that goes on from an older state covers ticks that the torn one had simulated, but begins
    to simulate only after that: for what is beyond that nobody's death is an excuse.
    """
    reach = np.minimum(stays.last, _running_last(stays))
    torn = np.isin(stays.id, stays.id[stays.torn])
    return np.where(torn, np.maximum(reach - stays.entered + 1, 0), 0)


def holes_after_torn(stays: Stays, end: I64) -> Intervals:
    """Ticks between a torn stay and the entity's next one that nothing covers.

    Parameters
    ----------
    stays : Stays
    end : (n,) int64
        Last tick of each stay's life.
    """
    order = np.lexsort((stays.first, stays.id))
    by_first, end = stays.of(order), end[order]
    reach = _running_last(by_first)
    after_torn = np.zeros(len(by_first), np.bool_)
    after_torn[1:] = by_first.torn[:-1] & (by_first.id[1:] == by_first.id[:-1])
    last = np.minimum(by_first.first - 1, end)
    hole = after_torn & (reach < last)
    return Intervals(by_first.id[hole], reach[hole] + 1, last[hole])


def _running_last(stays: Stays) -> I64:
    """The furthest tick that the entity's earlier stays (in this order) reach; -1 for none."""
    n = len(stays)
    if not n:
        return np.empty(0, np.int64)
    fresh = np.append(True, stays.id[1:] != stays.id[:-1])
    group = np.cumsum(fresh) - 1
    span = int(max(stays.last.max(), 0)) + 2
    # One accumulate over all entities: each group is lifted above the one before.
    lifted = np.maximum.accumulate(np.maximum(stays.last, -1) + 1 + group * span)
    before = np.empty(n, np.int64)
    before[0] = 0
    before[1:] = lifted[:-1]
    return np.where(fresh, -1, before - group * span - 1)
