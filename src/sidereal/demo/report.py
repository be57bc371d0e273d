"""The report at the end of a run: what the audit found, and whether that is good.

The keys of the JSON are the attributes of `Report`. `ok` has a reason for each
time it is false, in ``why_not``.
"""

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from sidereal.demo.aftermath import StrikeLine
from sidereal.demo.audit import ShardRun, Verdict
from sidereal.demo.costs import AnUpdate, Costs, an_update

POSITION_ERROR_MAX = 1e-6
"""Units; exact transfers leave only the rounding of a few thousand additions."""

GAP_P99_TICKS_MAX = 4
SKIPPED_SHARE_MAX = 0.01
CUSTODY_S_MAX = 1.0
LEFT_OUT_SHARE_MAX = 0.01
"""World ticks that a shard may leave out: as many as may overrun."""

BUSY_SHARE = 0.5
"""Where a commit took this much of what was late, it is named beside it."""


class Quantiles(msgspec.Struct, frozen=True):
    """A distribution; None where nothing was measured."""

    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


class Tail(msgspec.Struct, frozen=True):
    """A distribution's middle and tail; None where nothing was measured."""

    p50: float | None
    p99: float | None
    max: float | None


class Middle(msgspec.Struct, frozen=True):
    """A distribution's middle and near tail; None where nothing was measured."""

    p50: float | None
    p99: float | None


class Imbalance(msgspec.Struct, frozen=True):
    """Load of the busiest shard over the mean, over the run's ticks; 1 is even."""

    mean: float | None
    max: float | None


class ShardLine(msgspec.Struct, frozen=True):
    """One shard at the end of the run."""

    id: int
    name: str
    pid: int
    sectors: int
    entities: int
    tick_ms: Middle


class Memory(msgspec.Struct, frozen=True):
    """Resident memory at its peak, MB; shards in the order of ``shards``."""

    replication: float
    shards: list[float]


class Rehomed(msgspec.Struct, frozen=True):
    """Entities of dead shards that went on elsewhere, and how old their state was."""

    entities: int
    oldest_state_ms: float
    absent_ms: Tail


class Unlogged(msgspec.Struct, frozen=True):
    """What no shard could write down when one died."""

    entities: int
    ticks: int


class ServerAudit(msgspec.Struct, frozen=True):
    """What the running server compared of its own accord, sector by sector, and what differed."""

    sectors: int
    differences: int


class SlowestCommit(msgspec.Struct, frozen=True):
    """The journal's commit that took longest, and when in the run it began."""

    ms: float
    second: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A run of the demo in figures. Times in ms, rates per second, distances in units."""

    ok: bool
    why_not: list[str]
    seconds: float
    ticks: int
    tick_overruns: int
    entities_peak: int
    created: int
    destroyed: int
    live: int
    lost: int
    duplicated: int
    position_compared: bool
    position_error_max: float | None
    repeated_ticks: int
    skipped_ticks: Tail
    transitions_same_shard: int
    handoffs: int
    handoffs_per_s: float
    handoff_ms: Quantiles
    migrations: int
    migration_freeze_ms: Tail
    activations: int
    deactivations: int
    updates_per_s: float
    imbalance: Imbalance
    bytes_per_s: float
    shards: list[ShardLine]
    memory_mb: Memory
    shards_lost: int
    rehomed: Rehomed
    unlogged: Unlogged
    skipped_share: float
    server_audit: ServerAudit
    skipped_in_faults: int
    strikes: list[StrikeLine]
    costs: list[Costs]
    update_ns: AnUpdate | None
    slowest_commit: SlowestCommit | None

    def to_json(self) -> bytes:
        """Indented JSON, with a newline at its end."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


@dataclass(frozen=True)
class ServerFigures:
    """What only the replication server and the operating system know about the run.

    Attributes
    ----------
    updates, bytes : int
        Entity updates received, and bytes sent and received, in the run.
    custody_oldest_s : float
        How long the server has held the entity that it holds longest; 0 for none.
    migration_freeze_ns : ndarray, (migrations,) int64, or None
        Per sector; without it the entities' own times are reported.
    memory_mb : float
        Its peak.
    slowest_commit_us, slowest_commit_tick : int
        How long the longest commit of the journal took, and the tick in which it began; 0 where
        none was seen.
    """

    migrations: int
    activations: int
    deactivations: int
    updates: int
    bytes: int
    tick_overruns: int
    custody_oldest_s: float
    memory_mb: float
    migration_freeze_ns: npt.NDArray[np.int64] | None = None
    audit_sectors: int = 0
    audit_differences: int = 0
    slowest_commit_us: int = 0
    slowest_commit_tick: int = 0


@dataclass(frozen=True)
class ShardFigures:
    """What the launcher knows about one shard process.

    Attributes
    ----------
    id : int
        Its `ShardId`.
    sectors : int
        As the server has them at the end.
    memory_mb : float
        Its peak.
    """

    id: int
    pid: int
    sectors: int
    memory_mb: float


def make_report(
    verdict: Verdict,
    server: ServerFigures,
    shards: list[ShardFigures],
    *,
    seconds: float,
    tick_hz: float,
    problems: list[str] | None = None,
    strikes: list[StrikeLine] | None = None,
    timely: bool = True,
    costs: list[Costs] | None = None,
) -> Report:
    """Judge and sum up a run.

    Parameters
    ----------
    verdict : Verdict
    server, shards : figures from the launcher
        Shards that died are left out.
    seconds : float
        How long the run took.
    problems : list of str
        Reasons of the launcher's own: the server ended early, the run was interrupted.
    strikes : list of StrikeLine
        What was done to the world on purpose.
    timely : bool
        Whether how late things were is judged; on a network that was made bad on purpose it is
        only reported.
    costs : list of Costs
        What each process used, the server first.
    """
    people, way = verdict.census, verdict.passages
    why_not = [*(problems or []), *verdict.wrong, *_broken_bounds(verdict, server)]
    slowest = _slowest_commit(verdict, server, tick_hz)
    if timely:
        why_not += [*_late(verdict, server, tick_hz, slowest), *_late_recoveries(strikes or [])]
    tick_ms = 1000.0 / tick_hz
    runs = {run.pid: run for run in verdict.shards}
    freeze = server.migration_freeze_ns
    position = people.position_error_max
    return Report(
        ok=not why_not,
        why_not=why_not,
        seconds=seconds,
        ticks=verdict.last_tick - verdict.first_tick + 1,
        tick_overruns=server.tick_overruns + sum(run.tick_overruns for run in verdict.shards),
        entities_peak=int(_counts(verdict).sum(axis=0).max(initial=0)),
        created=people.created,
        destroyed=people.destroyed,
        live=people.live,
        lost=len(people.lost),
        duplicated=len(people.duplicated),
        position_compared=people.compared,
        position_error_max=position if np.isfinite(position) else None,
        repeated_ticks=verdict.tally.excused_ticks + people.repeated,
        skipped_ticks=_tail(way.skipped, 1.0),
        transitions_same_shard=way.crossings_kept,
        handoffs=len(way.handoff_ns),
        handoffs_per_s=len(way.handoff_ns) / seconds if seconds > 0 else 0.0,
        handoff_ms=_quantiles(way.handoff_ns, 1e-6),
        migrations=server.migrations,
        migration_freeze_ms=_tail(way.migration_ns if freeze is None else freeze, 1e-6),
        activations=server.activations,
        deactivations=server.deactivations,
        updates_per_s=server.updates / seconds if seconds > 0 else 0.0,
        imbalance=_imbalance(verdict),
        bytes_per_s=server.bytes / seconds if seconds > 0 else 0.0,
        shards=[_shard_line(shard, runs.get(shard.pid)) for shard in shards],
        memory_mb=Memory(server.memory_mb, [shard.memory_mb for shard in shards]),
        shards_lost=sum(not run.done for run in verdict.shards),
        rehomed=Rehomed(
            verdict.rehomed.entities,
            float(verdict.rehomed.state_age_ticks.max(initial=0)) * tick_ms,
            _tail(verdict.rehomed.absent_ticks, tick_ms),
        ),
        unlogged=Unlogged(
            len(np.unique(verdict.tally.unlogged.id)),
            int((verdict.tally.unlogged.last - verdict.tally.unlogged.first + 1).sum()),
        ),
        skipped_share=_skipped_share(verdict),
        server_audit=ServerAudit(server.audit_sectors, server.audit_differences),
        skipped_in_faults=verdict.fault_gap_ticks,
        strikes=strikes or [],
        costs=costs or [],
        update_ns=an_update(costs or []),
        slowest_commit=slowest,
    )


def _slowest_commit(
    verdict: Verdict, server: ServerFigures, tick_hz: float
) -> SlowestCommit | None:
    if not server.slowest_commit_us:
        return None
    ticks = server.slowest_commit_tick - verdict.first_tick
    return SlowestCommit(server.slowest_commit_us / 1000, ticks / tick_hz)


def _busy(slowest: SlowestCommit | None, late_s: float) -> str:
    """What explains a lateness, where a commit took enough of it."""
    if slowest is None or slowest.ms / 1000 < BUSY_SHARE * late_s:
        return ""
    return f"; the disk was busy: a commit took {slowest.ms / 1000:.2f} s at {slowest.second:.1f} s"


def _skipped_share(verdict: Verdict) -> float:
    return verdict.gap_ticks / max(verdict.tally.alive, 1)


def _broken_bounds(verdict: Verdict, server: ServerFigures) -> list[str]:
    """Bounds that a clean run keeps, one line for each that was broken."""
    broken = []
    people = verdict.census
    error = people.position_error_max
    if people.compared and not verdict.faulty and not error <= POSITION_ERROR_MAX and people.live:
        broken.append(
            f"position error {error:.3g} of entity {people.worst};"
            f" at most {POSITION_ERROR_MAX:g} without faults"
        )
    if not verdict.faulty and people.repeated:
        broken.append(f"{people.repeated} ticks were repeated without a fault")
    if server.audit_differences:
        broken.append(f"the server's own audit found {server.audit_differences} differences")
    broken += [
        f"{run.name} ended at tick {run.last_tick}, not {verdict.last_tick}"
        for run in verdict.shards
        if run.done and run.last_tick < verdict.last_tick
    ]
    return broken


def _late(
    verdict: Verdict, server: ServerFigures, tick_hz: float, slowest: SlowestCommit | None
) -> list[str]:
    """Bounds of time that were broken, one line for each."""
    broken = []
    gap_p99 = _at(verdict.gap_lengths, 99)
    if gap_p99 is not None and gap_p99 > GAP_P99_TICKS_MAX:
        broken.append(
            f"gaps last {gap_p99:g} ticks at p99; at most {GAP_P99_TICKS_MAX}"
            f"{_busy(slowest, gap_p99 / tick_hz)}"
        )
    share = _skipped_share(verdict)
    if share > SKIPPED_SHARE_MAX:
        broken.append(f"{share:.2%} of all ticks were skipped; at most {SKIPPED_SHARE_MAX:.0%}")
    if server.custody_oldest_s > CUSTODY_S_MAX:
        broken.append(
            f"the server has held an entity for {server.custody_oldest_s:.1f} s;"
            f" at most {CUSTODY_S_MAX:g} s at the end{_busy(slowest, server.custody_oldest_s)}"
        )
    broken += [line for run in verdict.shards if (line := _unrun(run, verdict))]
    return broken


def _late_recoveries(strikes: list[StrikeLine]) -> list[str]:
    """Strikes after which entities stood still for longer than is promised."""
    return [
        f"{line.kind} at {line.second:.1f} s: entities stood still for {line.recovered_s:.2f}"
        f" s after it; at most {line.allowed_s:.2f} s"
        for line in strikes
        if line.allowed_s is not None and line.recovered_s > line.allowed_s
    ]


def _unrun(run: ShardRun, verdict: Verdict) -> str | None:
    """Why a shard that lived to the end did not run its ticks."""
    if not run.done or run.last_tick < verdict.last_tick:
        return None
    ticks = run.last_tick - run.first_tick + 1
    if run.ticks_left_out > LEFT_OUT_SHARE_MAX * ticks:
        return f"{run.name} left out {run.ticks_left_out} of its {ticks} ticks"
    return None


def _counts(verdict: Verdict) -> npt.NDArray[np.int64]:
    """Entities simulated by each shard in each tick of the run, (shards, ticks)."""
    ticks = verdict.last_tick - verdict.first_tick + 1
    counts = np.zeros((len(verdict.shards), ticks), np.int64)
    for row, run in zip(counts, verdict.shards, strict=True):
        low = max(run.first_tick, verdict.first_tick)
        high = min(run.last_tick, verdict.last_tick) + 1
        if run.first_tick and low < high:
            part = run.count[low - run.first_tick : high - run.first_tick]
            row[low - verdict.first_tick : high - verdict.first_tick] = part
    return counts


def _imbalance(verdict: Verdict) -> Imbalance:
    counts = _counts(verdict)
    ticks = np.arange(verdict.first_tick, verdict.last_tick + 1)
    runs = [(run.first_tick <= ticks) & (ticks <= run.last_tick) for run in verdict.shards]
    there = np.sum(runs, axis=0)
    total = counts.sum(axis=0)
    some = (total > 0) & (there > 0)
    if not some.any():
        return Imbalance(None, None)
    ratio = counts.max(axis=0)[some] * there[some] / total[some]
    return Imbalance(float(ratio.mean()), float(ratio.max()))


def _shard_line(shard: ShardFigures, run: ShardRun | None) -> ShardLine:
    steps = run.step_ns[run.step_ns > 0] if run else np.empty(0, np.int64)
    return ShardLine(
        id=shard.id,
        name=run.name if run else "",
        pid=shard.pid,
        sectors=shard.sectors,
        entities=int(run.count[-1]) if run and len(run.count) else 0,
        tick_ms=Middle(_at(steps, 50, 1e-6), _at(steps, 99, 1e-6)),
    )


def _at(values: npt.NDArray[Any], percent: float, scale: float = 1.0) -> float | None:
    return float(np.percentile(values, percent)) * scale if len(values) else None


def _tail(values: npt.NDArray[Any], scale: float) -> Tail:
    return Tail(_at(values, 50, scale), _at(values, 99, scale), _at(values, 100, scale))


def _quantiles(values: npt.NDArray[Any], scale: float) -> Quantiles:
    return Quantiles(*(_at(values, percent, scale) for percent in (50, 95, 99, 100)))
