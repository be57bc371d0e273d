"""The sums: for every tick, simulated plus gaps equals what the plan says is alive.

For each world tick ``w`` of the run, in numbers and in summed id-hashes:

    simulated(w) + spans(w) - excused(w) + unlogged(w) == alive(w)

simulated
    What each shard counted as it stepped: rows with authority whose life holds
    ``w``. An entity that was spawned ahead of its birth, or that waits for its end
    to be acknowledged, is held but not counted.
spans
    What shards wrote down afterwards. A *gap* reaches from the tick of the state
    that came to the tick before the first one simulated: the time in transit, in
    custody, in a frozen sector, without a lease, or left out by a slow shard; it
    is clipped to the life, so an end in transit needs no other rule. A *shadow*
    is the ticks that a pending row was simulated before it turned out to have
    stayed. A shadow that another shard took over from is no span: the other's gap
    covers it.
excused
    Only where a shard died or was fenced. Its entities went on from a state older
    than its last tick, so the gap written by their new holder covers ticks which
    the dead shard had counted. Those ticks were lived twice, once for nothing. They
    are found entity by entity (`sidereal.demo.stays`), never taken from the sums,
    and shared ticks of two living shards are not excused.
    What a shard simulated once another had begun to is excused here and named there
    (`beside_torn`).
unlogged
    Ticks after a torn stay that the next holder's gap should cover and does not:
    what no shard could write down. 0 where each shard records before it sends;
    more than one tick is excused to nobody.

Too much in a tick is somebody simulated twice, too little somebody lost. A state
rolled back in mid-run is too much: its gap covers ticks that were counted.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidereal.demo.audit_file import AuditFile
from sidereal.demo.idhash import id_of_hash
from sidereal.demo.plan import Plan
from sidereal.demo.stays import Intervals, Stays, holes_after_torn, overlaps, stays_of

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

NAMED_MAX = 10
"""Findings told in full; more are only counted."""

FEW = 5
"""Ids named in a finding."""


@dataclass(frozen=True)
class Tally:
    """The sums of a run, and what they are made of.

    Attributes
    ----------
    first_tick : int
    alive, simulated, gaps : int
        Entity-ticks of the whole run.
    off_count : ndarray, (ticks,) int64
        What is too much (above 0) or too little in each tick.
    off_hash : ndarray, (ticks,) uint64
    excused : Intervals
        Counted by a dead shard, and covered again by whoever went on.
    unlogged : Intervals
    stays : Stays
        Clipped to lives.
    """

    first_tick: int
    alive: int
    simulated: int
    gaps: int
    off_count: I64
    off_hash: U64
    excused_ticks: int
    unlogged: Intervals
    stays: Stays

    @property
    def wrong_ticks(self) -> int:
        """Ticks in which the sums do not agree."""
        return int(((self.off_count != 0) | (self.off_hash != 0)).sum())


def tally(files: list[AuditFile], plan: Plan, last_tick: int) -> Tally:
    """Add up all shards' files over the ticks of a plan, up to a last tick."""
    expected = plan.expected(last_tick)
    first_tick, ticks = expected.first_tick, len(expected.count)
    count, hashed = -expected.count, np.uint64(0) - expected.hash
    simulated = gaps = 0
    for file in files:
        own_count, own_hash = file.columns(first_tick, ticks)
        count, hashed, simulated = count + own_count, hashed + own_hash, simulated + own_count.sum()
        rows = file.committed_spans()
        late = rows["cause"] > 0
        for spans, gap in ((rows[late], True), (rows[~late], False)):
            interval = Intervals(
                spans["id"], spans["first"].astype(np.int64), spans["last"].astype(np.int64)
            )
            span_count, span_hash = interval.per_tick(first_tick, ticks)
            count, hashed = count + span_count, hashed + span_hash
            if gap:
                gaps += span_count.sum()
            else:
                simulated += span_count.sum()
    stays, end = _within_lives(stays_of(files), plan)
    excused = 0
    if stays.torn.any():
        for some, sign in ((stays, 1), (stays.of(~stays.torn), -1)):
            twice_count, twice_hash = overlaps(some).per_tick(first_tick, ticks)
            count = count - sign * twice_count
            hashed = hashed - twice_hash if sign > 0 else hashed + twice_hash
            excused += sign * int(twice_count.sum())
    unlogged = holes_after_torn(stays, end)
    hole_count, hole_hash = unlogged.per_tick(first_tick, ticks)
    return Tally(
        first_tick=first_tick,
        alive=int(expected.count.sum()),
        simulated=int(simulated),
        gaps=int(gaps),
        off_count=count + hole_count,
        off_hash=hashed + hole_hash,
        excused_ticks=excused,
        unlogged=unlogged,
        stays=stays,
    )


def _within_lives(stays: Stays, plan: Plan) -> tuple[Stays, I64]:
    generation = plan.generation_of(stays.id)
    ours = generation >= 0
    stays, generation = stays.of(ours), generation[ours]
    end = plan.end[generation]
    return stays.clipped(plan.birth[generation], end), end


def findings(result: Tally, plan: Plan, names: list[str]) -> list[str]:
    """What is wrong in the sums, by tick and by name where it can be told, one line each.

    Where one entity is too much or missing from a tick on, the difference of the
    sums is its hash, and the hash can be undone. Where several are, the stays name
    those which they show.

    Parameters
    ----------
    names : list of str
        The name of each file's shard.
    """
    before_count = np.append(0, result.off_count[:-1])
    before_hash = np.append(np.uint64(0), result.off_hash[:-1]).astype(np.uint64)
    turn_count = result.off_count - before_count
    turn_hash = result.off_hash - before_hash
    turns = np.flatnonzero((turn_count != 0) | (turn_hash != 0))
    lines = []
    state: dict[int, int] = {}
    for slot in turns[:NAMED_MAX].tolist():
        tick, change = result.first_tick + slot, int(turn_count[slot])
        id_ = id_of_hash(int(turn_hash[slot]) * (1 if change > 0 else -1)) if change else 0
        known = abs(change) == 1 and _generation(plan, id_) >= 0
        if known:
            state[id_] = state.get(id_, 0) + change
            what = {1: "is simulated twice", -1: "is simulated by nobody"}.get(
                state[id_], "is simulated once again"
            )
            lines.append(f"from tick {tick}: entity {id_} {what}{_held(result, id_, tick, names)}")
        else:
            off = int(result.off_count[slot])
            amount = "others than planned" if off == 0 else f"{abs(off)} too {_much(off)}"
            lines.append(f"from tick {tick}: {amount}{_suspects(result, plan, tick)}")
    if len(turns) > NAMED_MAX:
        lines.append(
            f"and {len(turns) - NAMED_MAX} more such turns, to tick"
            f" {result.first_tick + int(turns[-1])}"
        )
    return lines


def _much(off: int) -> str:
    return "many are simulated" if off > 0 else "few are simulated"


def _generation(plan: Plan, id_: int) -> int:
    return int(plan.generation_of(np.array([id_], np.uint64))[0])


def _held(result: Tally, id_: int, tick: int, names: list[str]) -> str:
    """Who wrote that it held an entity around a tick."""
    stays = result.stays
    mine = stays.of((stays.id == np.uint64(id_)) & (stays.first <= tick) & (stays.last >= tick - 1))
    parts = [
        f"{names[shard]} in {first}..{last}"
        for shard, first, last in zip(
            mine.shard.tolist(), mine.first.tolist(), mine.last.tolist(), strict=True
        )
    ]
    return f" (held by {', '.join(parts)})" if parts else ""


def _suspects(result: Tally, plan: Plan, tick: int) -> str:
    """Entities that the stays show twice or not at all in a tick."""
    stays = result.stays
    ids, held = np.unique(
        stays.id[(stays.first <= tick) & (stays.last >= tick)], return_counts=True
    )
    missing = np.setdiff1d(plan.ids[plan.alive(tick)], ids)
    parts = []
    for label, some in (("twice", ids[held > 1]), ("by nobody", missing)):
        if len(some):
            parts.append(f"{label}: {few(some)}")
    return f" ({'; '.join(parts)})" if parts else ""


def few(ids: U64, name: Callable[[int], str] = str) -> str:
    """The first of these ids (n,), as `name` calls each, and whether there are more."""
    more = " …" if len(ids) > FEW else ""
    return ", ".join(map(name, ids[:FEW].tolist())) + more
