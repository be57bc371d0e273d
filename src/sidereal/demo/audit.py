"""The audit that does not believe the replication server.

The launcher made the plan, and reads what the shards themselves wrote down, also
the dead ones. What it checks:

1. *Every tick*: simulated plus gaps is what the plan says is alive, in number and
   in identity (`sidereal.demo.tally` has the sum and each of its terms).
2. *The end*: all shards stop at one world tick and are asked directly. Each entity
   is held once, where the plan has it, with a blob that accounts for every tick of
   its life (`sidereal.demo.finals`).
3. *The way*: how long handoffs and migrations took, by the clocks of the two shards
   (`sidereal.demo.passages`).

How a run ends: the launcher calls `stop_at` with a tick that no shard has reached
yet and up to which all births are spawned. Each shard simulates that tick and no
later one, goes on talking, and steps what still arrives for this very tick, so
that whatever was in transit lands. When `settled`, or after patience has run out,
`finish` asks for the final answers; when `answered`, `verdict` judges.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sidereal.demo import audit_file as af
from sidereal.demo.audit_file import AuditFile
from sidereal.demo.finals import Census, census, read_finals
from sidereal.demo.passages import Passages, passages
from sidereal.demo.plan import Plan
from sidereal.demo.stays import Intervals, Stays, beside_torn
from sidereal.demo.tally import Tally, few, findings, tally
from sidereal.errors import ConfigError
from sidereal.runtime.due import CATCH_UP_S

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

BEFORE_FAULT_S, FAULT_S = 1.0, 5.0
"""Gaps that begin within this time before or after a shard's death count as the fault's:
what was on its way to it or newest at the server; the lease, its allowance, and the
sectors' way to other shards."""

BEHIND_S = CATCH_UP_S + 0.5
"""By so much shards may be apart: by what they catch up, and what their clocks are wrong by."""


@dataclass(frozen=True)
class ShardRun:
    """What one shard's file says about its process.

    Attributes
    ----------
    done : bool
        It gave its final answer.
    ticks_left_out : int
        World ticks between its first and last in which it did not step at all, outside of what
        was struck on purpose.
    unwritten : int
        Rows for which its file had no room.
    step_ns : ndarray, (ticks,) int64
        Time of each step.
    count : ndarray, (ticks,) int64
        Entities simulated in each.
    """

    name: str
    pid: int
    done: bool
    first_tick: int
    last_tick: int
    ticks_run: int
    ticks_left_out: int
    tick_overruns: int
    unwritten: int
    step_ns: I64
    count: I64


@dataclass(frozen=True)
class Rehomed:
    """Entities that went on elsewhere after their shard died.

    Attributes
    ----------
    entities : int
        Also those that were on their way into the shard, or out of it.
    state_age_ticks : ndarray, (entities,) int64
        How much older than the last tick simulated the state was that they went on
        from: what was lived once for nothing.
    absent_ticks : ndarray, (entities,) int64
        Ticks from the last one simulated to the first one simulated again.
    entered : ndarray, (entities,) int64
        The tick in which they went on.
    """

    entities: int
    state_age_ticks: I64
    absent_ticks: I64
    entered: I64


@dataclass(frozen=True)
class Verdict:
    """All that the audit knows at the end.

    Attributes
    ----------
    wrong : list of str
        Why the world is not as it should be, one line each; empty is a clean audit.
    faulty : bool
        A shard died or was fenced.
    gap_ticks : int
        Entity-ticks that nobody simulated, outside faults.
    gap_lengths : ndarray, (gaps,) int64
        The same, gap by gap.
    fault_gap_ticks : int
        Entity-ticks that nobody simulated inside faults.
    gaps : Intervals
        All gaps, one by one.
    """

    wrong: list[str]
    faulty: bool
    first_tick: int
    last_tick: int
    tally: Tally
    census: Census
    passages: Passages
    rehomed: Rehomed
    shards: list[ShardRun]
    gap_ticks: int
    gap_lengths: I64
    fault_gap_ticks: int
    gaps: Intervals


class Auditor:
    """The launcher's side of the audit.

    Parameters
    ----------
    directory : Path
        Where the shards' recorders write.
    plan : Plan
    """

    def __init__(self, directory: Path, plan: Plan) -> None:
        self.directory = directory
        self.plan = plan
        self._files: dict[Path, AuditFile] = {}
        self._stop_tick = 0
        self._finish = False

    def files(self) -> list[AuditFile]:
        """All files there are now, by name; those of new processes are told the stop tick."""
        for path in sorted(self.directory.glob("*.audit")):
            if path not in self._files:
                file = self._files[path] = AuditFile(path, "r+")
                file["stop_tick"], file["finish"] = self._stop_tick, int(self._finish)
        return [self._files[path] for path in sorted(self._files)]

    def stop_at(self, tick: int) -> None:
        """All shards stop after this world tick."""
        self._stop_tick = tick
        for file in self.files():
            file["stop_tick"] = tick

    def settled(self) -> bool:
        """Whether everything that should be alive in the stop tick has been simulated in it."""
        if not self._stop_tick:
            return False
        simulated = sum(int(file.columns(self._stop_tick, 1)[0][0]) for file in self.files())
        for file in self.files():
            spans = file.committed_spans()
            late = spans[(spans["cause"] == 0) & (spans["last"] == self._stop_tick)]
            simulated += len(late)
        return simulated >= len(self.plan.alive(self._stop_tick))

    def held(self) -> int:
        """How many entities the shards may simulate by now, each for itself."""
        return sum(int(file["held"]) for file in self.files())

    def landed(self, alive: int) -> bool:
        """Whether each of so many entities has come where it will stay, and none is in two places.

        Fewer are held while some are on their way; more, while somebody who has let go is yet to
        hear of it, or for good where the promise of one owner is broken.
        """
        return self.settled() and self.held() == alive

    def finish(self) -> None:
        """Ask all shards for their final answers."""
        self._finish = True
        for file in self.files():
            file["finish"] = 1

    def answered(self, dead_pids: frozenset[int] = frozenset()) -> bool:
        """Whether every shard has answered, but those whose process is known to be gone."""
        return all(file["done"] or int(file["pid"]) in dead_pids for file in self.files())

    def verdict(
        self,
        spawned_through: int | None = None,
        faults: Sequence[tuple[int, int]] = (),
        rollbacks: Sequence[tuple[int, int]] = (),
    ) -> Verdict:
        """Judge the run.

        Parameters
        ----------
        spawned_through : int or None
            Generations born up to this tick were spawned; None: up to the stop tick.
        faults : sequence of (int, int)
            Ticks, first and last, in which something was struck on purpose: what nobody simulated
            there is counted apart. Nothing else is excused by them.
        rollbacks : sequence of (int, int)
            Ticks from a snapshot to a strike: a gap that begins there and lasts until after the
            strike is counted apart too, and nothing else.

        Raises
        ------
        ConfigError
            No shard wrote a file, no stop tick was set, or a file cannot be read.
        """
        files = self.files()
        if not files or not self._stop_tick:
            raise ConfigError(
                f"{self.directory}: {len(files)} audit files, stop tick {self._stop_tick}:"
                " there is nothing to judge"
            )
        stop, plan = self._stop_tick, self.plan
        names = [f"{file.name} (pid {int(file['pid'])})" for file in files]
        sums = tally(files, plan, stop)
        people = census(read_finals(files), plan, stop, max(stop, spawned_through or 0))
        shards = [_shard_run(file, faults) for file in files]
        faulty = bool(sums.stays.torn.any()) or not all(file["done"] for file in files)
        wrong = findings(sums, plan, names)
        wrong += _never_lived(sums.unlogged)
        wrong += _beside_torn(sums.stays, plan.motion.tick_hz)
        wrong += _wrong_people(people, sums.stays, names)
        wrong += [
            f"{shard.name}: {shard.unwritten} rows did not fit its audit file; raise its bounds"
            for shard in shards
            if shard.unwritten
        ]
        gaps = _gaps(files)
        in_fault = _in_faults(gaps.first, files, plan.motion.tick_hz, sums.stays, faults)
        before = round(BEFORE_FAULT_S * plan.motion.tick_hz)
        for since, strike in rollbacks:
            in_fault |= (
                (gaps.first > since - before) & (gaps.first <= strike) & (gaps.last >= strike)
            )
        gap_length = gaps.last - gaps.first + 1
        return Verdict(
            wrong=wrong,
            faulty=faulty,
            first_tick=plan.start_tick,
            last_tick=stop,
            tally=sums,
            census=people,
            passages=passages(files, plan),
            rehomed=_rehomed(sums.stays),
            shards=shards,
            gap_ticks=int(gap_length[~in_fault].sum()),
            gap_lengths=gap_length[~in_fault],
            fault_gap_ticks=int(gap_length[in_fault].sum()),
            gaps=gaps,
        )


def _shard_run(file: AuditFile, faults: Sequence[tuple[int, int]]) -> ShardRun:
    first, last = file.first_tick, file.last_tick
    length = last - first + 1 if first else 0
    out = np.flatnonzero(file.step_ns[:length] == 0) + first
    for begin, end in faults:
        out = out[(out < begin) | (out > end)]
    return ShardRun(
        name=file.name,
        pid=int(file["pid"]),
        done=bool(file["done"]),
        first_tick=first,
        last_tick=last,
        ticks_run=int(file["ticks_run"]),
        ticks_left_out=len(out),
        tick_overruns=int(file["tick_overruns"]),
        unwritten=int(file["unwritten"]),
        step_ns=np.array(file.step_ns[:length]),
        count=np.array(file.count[:length]),
    )


def _beside_torn(stays: Stays, tick_hz: float) -> list[str]:
    """A line about who was simulated by a shard that was given up, after another had begun to.

    The other may be behind, and have the same ticks at a later time.
    """
    ids = stays.id[beside_torn(stays) > round(BEHIND_S * tick_hz)]
    return _named(ids, "simulated by two shards at once")


def _never_lived(unlogged: Intervals) -> list[str]:
    """A line about whose death explains a hole that is longer than what was being written down."""
    ids = unlogged.id[unlogged.last > unlogged.first]
    return _named(ids, "went on from a tick that no shard had come to")


def _named(ids: U64, what: str) -> list[str]:
    several = np.unique(ids)
    return [f"{len(several)} {what}: {few(several)}"] if len(several) else []


def _wrong_people(people: Census, stays: Stays, names: list[str]) -> list[str]:
    """Lines about the final answers."""
    torn = stays.id[stays.torn]
    lines = []
    for ids, what in (
        (people.lost, "lost: nobody holds them at the end"),
        (people.duplicated, "held by more than one shard at the end"),
        (people.foreign, "held though nobody spawned them"),
        (people.overdue, "still held after their life was over"),
        (people.behind, "held with a state from before the last tick"),
        (
            np.setdiff1d(people.unaccounted, torn),
            "with a state blob that does not account for every tick of their life",
        ),
    ):
        if len(ids):
            listed = few(ids, lambda id_: f"{id_}{_last_holder(stays, id_, names)}")
            lines.append(f"{len(ids)} {what}: {listed}")
    return lines


def _last_holder(stays: Stays, id_: int, names: list[str]) -> str:
    mine = np.flatnonzero(stays.id == np.uint64(id_))
    if not len(mine):
        return " (no shard ever simulated it)"
    last = int(mine[-1])
    return f" (last in {names[int(stays.shard[last])]}, to tick {int(stays.last[last])})"


def _rehomed(stays: Stays) -> Rehomed:
    """Stays that began because another shard died, beside the same entity's stay before.

    The cause is what the shard was told; a stay that reaches back behind the end of a
    torn one counts whatever it was told.
    """
    before, after = stays.of(slice(None, -1)), stays.of(slice(1, None))
    age = before.last - (after.first - 1)
    again = (before.id == after.id) & (
        (after.cause == af.REHOMED) | (before.torn & (age > 0) & (after.cause != af.SPAWN))
    )
    absent = after.entered - before.last - 1
    return Rehomed(
        entities=int(again.sum()),
        state_age_ticks=np.maximum(age[again], 0),
        absent_ticks=np.maximum(absent[again], 0),
        entered=after.entered[again],
    )


def _gaps(files: list[AuditFile]) -> Intervals:
    """All gaps that shards wrote down."""
    rows = np.concatenate([file.committed_spans() for file in files])
    rows = rows[rows["cause"] > 0]
    return Intervals(rows["id"], rows["first"].astype(np.int64), rows["last"].astype(np.int64))


def _in_faults(
    first: I64,
    files: list[AuditFile],
    tick_hz: float,
    stays: Stays,
    faults: Sequence[tuple[int, int]],
) -> npt.NDArray[np.bool_]:
    """Which gaps (n,), by their first ticks, began around a death or a strike."""
    before, after = round(BEFORE_FAULT_S * tick_hz), round(FAULT_S * tick_hz)
    dead = np.array([not file["done"] for file in files])
    deaths = [file.last_tick for file in files if not file["done"]]
    # In a file that lives on, what is torn was lost when its shard was fenced.
    deaths += stays.last[stays.torn & ~dead[stays.shard]].tolist()
    times = [*faults, *((death, death + after) for death in sorted(set(deaths)))]
    during = np.zeros(len(first), np.bool_)
    for begin, end in times:
        during |= (first > begin - before) & (first <= end)
    return during
