"""When a demo strikes whom, and how: a plan that a seed decides, before anything runs.

Each kind strikes at least twice. Between two strikes the world has time to recover: a dead shard
is missed for a lease, the allowance and a second, then all goes on for a while.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sidereal.errors import ConfigError

KILL_SHARD, KILL_REPLICATION = "kill-shard", "kill-replication"
PAUSE_SHARD, PARTITION = "pause-shard", "partition"
KILL_BOTH = "kill-both"
"""A shard, and the server before it can miss it: two strikes."""
KINDS: Final = (KILL_SHARD, KILL_REPLICATION, PAUSE_SHARD, PARTITION, KILL_BOTH)

ROUNDS_MIN: Final = 2
LEAD_S, TAIL_S = 3.0, 2.0
"""Nothing strikes so soon after the first tick, nor so late that the end hides what comes of it."""
RECOVERY_S: Final = 1.1
"""After a lease: the allowance for drift, and the sectors' way to other shards."""
SETTLE_S: Final = 2.0
RESTART_S: Final = 1.5
"""Until a new replication server listens and its shards have found it."""

PAUSE_S = (0.5, 1.2)
"""How much longer than a lease a pause lasts, and a partition that costs the shard its life."""
SHORT_CUT_S = (0.5, 1.5)
OUTAGE_S = (0.3, 1.2)
APART_S = (0.0, 1.0)
"""The strikes of a pair: less than a lease, so that the shard is not missed in between."""

WAYS: Final = ("both", "both", "out", "in")
"""A partition's direction, seen from the shard: one in two goes both ways."""


@dataclass(frozen=True)
class Strike:
    """One blow.

    Attributes
    ----------
    kind : str
        One of `KINDS`, but for `KILL_BOTH`, which is two.
    victim : int or None
        Number of the shard; None is the replication server.
    lasts_s : float
        Until what was done is undone: the process started again or let go on, the network whole.
    at_s : float
        Seconds after the first tick.
    way : str
        Of a partition: ``both``, ``out`` (nothing leaves the shard) or ``in``.
    """

    kind: str
    victim: int | None
    lasts_s: float
    at_s: float = 0.0
    way: str = ""


@dataclass(frozen=True)
class Blow:
    """What strikes at a time: one strike, or two in a row that the world recovers from at once."""

    strikes: tuple[Strike, ...]

    def needs_s(self, lease_s: float) -> float:
        """How long the world needs to recover, at most."""
        rehoming_s = lease_s + RECOVERY_S
        first, last = self.strikes[0], self.strikes[-1]
        if last.kind == KILL_REPLICATION:
            served_s = last.at_s + last.lasts_s + RESTART_S
            return served_s + (rehoming_s if last is not first else 0.0) + SETTLE_S
        deadly = last.kind != PARTITION or last.lasts_s >= lease_s
        return max(last.lasts_s, rehoming_s if deadly else 0.0) + SETTLE_S


def read(text: str) -> tuple[str, ...]:
    """Return the kinds in ``kill-shard,partition``, in the order of `KINDS`.

    Raises
    ------
    ConfigError
        A name that is none.
    """
    named = [name.strip() for name in text.split(",")]
    for name in named:
        if name not in KINDS:
            raise ConfigError(f"no strike {name!r}; there are {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in named)


def plan_strikes(
    kinds: Sequence[str], *, seconds: float, shards: int, seed: int, lease_s: float
) -> list[Strike]:
    """Return the strikes of a run, in order of time: each kind equally often.

    Raises
    ------
    ConfigError
        The run is too short for two strikes of each kind, or has too few shards.
    """
    if not kinds:
        return []
    if shards < 2:
        raise ConfigError("--chaos needs at least 2 shards: a dead one's sectors go to others")
    chance = random.Random(seed)
    longest = sum(blow.needs_s(lease_s) for blow in _round(kinds, lease_s, None))
    room = seconds - LEAD_S - TAIL_S
    rounds = int(room / longest)
    if rounds < 1:
        raise ConfigError(
            f"{seconds:g} s are too few for {ROUNDS_MIN} strikes of each of {len(kinds)} kinds:"
            f" give at least {LEAD_S + TAIL_S + longest:.0f} s, or fewer kinds"
        )
    blows: list[Blow] = []
    for _ in range(rounds):
        some = list(_round(kinds, lease_s, chance))
        chance.shuffle(some)
        blows += some
    spare = room - sum(blow.needs_s(lease_s) for blow in blows)
    cuts = sorted(chance.uniform(0.0, spare) for _ in blows)
    placed, used, victim = [], LEAD_S, -1
    for blow, before in zip(blows, cuts, strict=True):
        at_s = used + before
        used += blow.needs_s(lease_s)
        for strike in blow.strikes:
            placed.append(replace(strike, at_s=at_s + strike.at_s))
            if strike.kind == KILL_REPLICATION:
                continue
            # Not the same twice in a row: a shard that was struck has sectors again later.
            victim = chance.choice([shard for shard in range(shards) if shard != victim])
            placed[-1] = replace(placed[-1], victim=victim)
    return placed


def _round(kinds: Sequence[str], lease_s: float, chance: random.Random | None) -> Iterator[Blow]:
    """Two blows of each kind; without chance the longest that there may be."""

    def between(bounds: tuple[float, float]) -> float:
        return bounds[1] if chance is None else chance.uniform(*bounds)

    for kind in kinds:
        way = "" if kind != PARTITION else WAYS[0] if chance is None else chance.choice(WAYS)
        if kind == KILL_BOTH:
            for _ in range(ROUNDS_MIN):
                server = Strike(KILL_REPLICATION, None, between(OUTAGE_S), between(APART_S))
                yield Blow((Strike(KILL_SHARD, 0, 0.0), server))
            continue
        if kind == KILL_SHARD:
            lasting = [0.0, 0.0]
        elif kind == KILL_REPLICATION:
            lasting = [0.0, between(OUTAGE_S)]
        elif kind == PAUSE_SHARD:
            lasting = [lease_s + between(PAUSE_S), lease_s + between(PAUSE_S)]
        else:
            lasting = [between(SHORT_CUT_S), lease_s + between(PAUSE_S)]
        for lasts_s in lasting:
            victim = None if kind == KILL_REPLICATION else 0
            yield Blow((Strike(kind, victim, lasts_s, way=way),))
