"""What came of each strike, from what the shards wrote down: who stood still, and for how long.

A strike answers for what follows it, up to the next one. An entity stood still if nobody
simulated it for longer than a handoff may take; it went on elsewhere if its shard died or was
fenced, from a state that is so old as the audit finds.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from sidereal.demo.audit import FAULT_S, Verdict
from sidereal.demo.striker import Struck
from sidereal.demo.strikes import PARTITION
from sidereal.runtime.config import ReplicationConfig

USUAL_TICKS = 4
"""A gap that is longer is no handoff's."""


PROMISED = ReplicationConfig()
"""What the demo's server is told, as it is by default."""

REHOMING_S = 1.0
"""After a lease and its allowance: the dead shard's sectors are simulated elsewhere."""


class Restart(msgspec.Struct, frozen=True):
    """A replication server that was killed, and the next one; seconds and milliseconds.

    ``listening_s`` and ``served_s`` are from the new process's start: until it listens, and until
    it was seen with all its shards (None: never). ``stages_ms`` is what it says of its start.
    """

    down_s: float
    listening_s: float
    served_s: float | None
    stages_ms: dict[str, float]


class StrikeLine(msgspec.Struct, frozen=True):
    """One strike, and what came of it.

    ``second`` and ``tick`` are of the run and of the world. ``lasted_s``: until the process was
    started again or let go on, or the network was whole. ``stood_still`` entities were simulated
    by nobody for more than a handoff may take, from before all was whole again; ``recovered_s`` is
    when the last of them went on, counted from the strike. ``rehomed`` entities went on at another
    shard (or incarnation), from states of up to ``oldest_state_ms``. ``allowed_s``: of what costs a
    shard its life, how long ``recovered_s`` may be: lease, allowance and a second, counted from the
    strike, or, where the server died with it, from when the next one listened.
    """

    kind: str
    second: float
    tick: int
    victim: str
    pid: int
    way: str
    lasted_s: float
    stood_still: int
    recovered_s: float
    rehomed: int
    oldest_state_ms: float
    restart: Restart | None
    allowed_s: float | None = None


def windows(
    struck: Sequence[Struck], begin_ns: int, start_tick: int, hz: float
) -> list[tuple[int, int]]:
    """Return the ticks, first and last, that each strike answers for: until a while after it."""
    return [
        (
            _tick(done.struck_ns, begin_ns, start_tick, hz),
            _tick(_undone_ns(done), begin_ns, start_tick, hz) + round(FAULT_S * hz),
        )
        for done in struck
    ]


def rollbacks(
    struck: Sequence[Struck],
    begin_ns: int,
    start_tick: int,
    hz: float,
    promised: ReplicationConfig = PROMISED,
) -> list[tuple[int, int]]:
    """Return for each strike that took a shard with the server the ticks from snapshot to strike.

    The shard's entities may go on from the last snapshot before: a gap that begins in there and
    lasts beyond the strike is the strike's.
    """
    before_ns = round(promised.snapshot_s * 1e9)
    return [
        (
            _tick(done.struck_ns - before_ns, begin_ns, start_tick, hz),
            _tick(done.struck_ns, begin_ns, start_tick, hz),
        )
        for done in struck
        if _together(struck, done, promised) is not None
    ]


def aftermath(
    struck: Sequence[Struck],
    verdict: Verdict,
    begin_ns: int,
    start_tick: int,
    hz: float,
    promised: ReplicationConfig = PROMISED,
) -> list[StrikeLine]:
    """Return a line for each strike, in order of time."""
    at = [_tick(done.struck_ns, begin_ns, start_tick, hz) for done in struck]
    until = [*at, verdict.last_tick + 1][1:]
    gaps, rehomed = verdict.gaps, verdict.rehomed
    again = gaps.last + 1
    long = gaps.last - gaps.first >= USUAL_TICKS
    lines = []
    for done, tick, end in zip(struck, at, until, strict=True):
        allowed_s = _allowed_s(struck, done, promised)
        # What begins once the dead are declared so, or all is whole again, is not the strike's.
        over = _tick(_over_ns(done), begin_ns, start_tick, hz)
        if allowed_s is not None:
            over = tick + int((allowed_s - REHOMING_S) * hz)
        here = long & (again > tick) & (again <= end) & (gaps.first <= over)
        moved = (rehomed.entered > tick) & (rehomed.entered <= end)
        age = rehomed.state_age_ticks[moved].max(initial=0)
        last = again[here].max(initial=tick)
        lines.append(
            StrikeLine(
                kind=done.strike.kind,
                second=(done.struck_ns - begin_ns) / 1e9,
                tick=tick,
                victim=done.victim,
                pid=done.pid,
                way=done.strike.way,
                lasted_s=max(done.undone_ns - done.struck_ns, 0) / 1e9,
                stood_still=len(np.unique(gaps.id[here])),
                recovered_s=float(last - tick) / hz,
                rehomed=int(moved.sum()),
                oldest_state_ms=float(age) * 1000 / hz,
                restart=_restart(done),
                allowed_s=allowed_s,
            )
        )
    return lines


def _together(struck: Sequence[Struck], done: Struck, promised: ReplicationConfig) -> Struck | None:
    """Return the server's strike where it and a shard's belong together, of which `done` is one.

    A shard that was struck a lease before the server, or before the next one was seen with all its
    shards, is declared dead by that one only, which has nothing newer of it than what it found.
    """
    unfenced_ns = round(_rehomed_s(promised) * 1e9)
    for server in reversed(struck):
        if server.strike.victim is not None or not server.listening_ns:
            continue
        shards = [
            other
            for other in struck
            if _deadly(other, promised)
            and server.struck_ns - unfenced_ns <= other.struck_ns
            and not 0 < server.served_ns < other.struck_ns
        ]
        if shards and (done is server or done in shards):
            return server
    return None


def _deadly(done: Struck, promised: ReplicationConfig) -> bool:
    """Whether a strike costs a shard its life; a short cut costs it nothing."""
    strike = done.strike
    outlives = strike.kind == PARTITION and strike.lasts_s < promised.lease_s
    return strike.victim is not None and not outlives


def _allowed_s(struck: Sequence[Struck], done: Struck, promised: ReplicationConfig) -> float | None:
    """Return how long after a strike the last may stand still; None where no shard died of it.

    A shard that is heard and does not hear is noticed after two heartbeats. Where the server died
    too, a pause, or a cut, holds up what it is done to for as long as it lasts, besides.
    """
    rehomed_s = _rehomed_s(promised)
    server = _together(struck, done, promised)
    if server is not None:
        again_ns = max(server.listening_ns, done.struck_ns, done.undone_ns)
        return (again_ns - done.struck_ns) / 1e9 + rehomed_s
    if not _deadly(done, promised):
        return None
    return rehomed_s + 2 * promised.heartbeat_s * (done.strike.way == "in")


def lingering(
    struck: Sequence[Struck],
    verdict: Verdict,
    begin_ns: int,
    start_tick: int,
    hz: float,
    promised: ReplicationConfig = PROMISED,
) -> list[str]:
    """Say who stood still for longer than any fault may cost, wherever in the run, if anybody did.

    That is as long as a shard's death costs, after all is undone that was struck meanwhile.
    """
    gaps = verdict.gaps
    again, over = gaps.last + 1, gaps.first.copy()
    for done in struck:
        begun = _tick(done.struck_ns, begin_ns, start_tick, hz)
        undone = _tick(_undone_ns(done), begin_ns, start_tick, hz)
        met = (again > begun) & (gaps.first <= undone)
        over[met] = np.maximum(over[met], undone)
    allowed_s = _rehomed_s(promised) + 2 * promised.heartbeat_s
    late = np.flatnonzero(again - over > allowed_s * hz)
    if not len(late):
        return []
    worst = late[np.argmax((again - over)[late])]
    return [
        f"entities that stood still for too long: {len(np.unique(gaps.id[late]))}, the longest"
        f" {gaps.id[worst]} in ticks {gaps.first[worst]}..{gaps.last[worst]}; at most"
        f" {allowed_s:.1f} s, or so long after what was struck is undone"
    ]


def _restart(done: Struck) -> Restart | None:
    if not done.listening_ns:
        return None
    began = done.undone_ns
    return Restart(
        down_s=(done.listening_ns - done.struck_ns) / 1e9,
        listening_s=(done.listening_ns - began) / 1e9,
        served_s=(done.served_ns - began) / 1e9 if done.served_ns else None,
        stages_ms=done.stages_ms or {},
    )


def _rehomed_s(promised: ReplicationConfig) -> float:
    """Return how long a shard's death may cost: until it is declared, and its sectors' way."""
    return promised.lease_s + promised.drift_allowance_s + REHOMING_S


def _undone_ns(done: Struck) -> int:
    """Return when what was done was undone; a server's death is once the next one listens."""
    return max(done.undone_ns, done.listening_ns, done.struck_ns)


def _over_ns(done: Struck) -> int:
    """Return when all was whole again: a server has its shards, too."""
    return max(_undone_ns(done), done.served_ns)


def _tick(at_ns: int, begin_ns: int, start_tick: int, hz: float) -> int:
    return start_tick + int((at_ns - begin_ns) / 1e9 * hz)
