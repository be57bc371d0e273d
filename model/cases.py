"""What the model is asked: scenarios, mutants, witnesses, and the bounds that they are made of.

A scenario is a set of bounds: how often each thing may happen, in any order and at any moment.
Bounds not named are 0. `shards` and `entities` are the sizes of the world; the third shard is a
second process under the first one's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenario:
    """A world and what may happen in it."""

    name: str
    shards: int
    entities: int
    bounds: Mapping[str, int]
    ci: bool = True


@dataclass(frozen=True, slots=True)
class Mutant:
    """One rule broken: where it must show, and the invariants of which one must catch it."""

    name: str
    shards: int
    entities: int
    bounds: Mapping[str, int]
    caught_by: tuple[str, ...]
    reading: bool = False
    """A rule as first written in the design, not a fault."""


@dataclass(frozen=True, slots=True)
class Witness:
    """Something that a search must meet in a scenario, or it would prove nothing about it."""

    name: str
    scenario: str


BOUNDS = {
    "MOVES": "border crossings asked for",
    "STEPS": "simulation steps of an entity (of its owner or of a shadow)",
    "BREAKS": "sessions that break, noticed by either end first",
    "REFUSALS": "transition requests refused",
    "MIGRATIONS": "migrations begun",
    "UNLOADS": "deactivations begun",
    "ABORTS": "moves given up by an operator",
    "SHARD_CRASHES": "shards that crash",
    "RESTARTS": "second processes started under shard 0's name",
    "EXPIRIES": "leases that end at a living shard",
    "FENCES": "living shards without a lease declared dead",
    "TAKEOVERS": "new leaders",
    "LEADER_CRASHES": "leaders that crash",
    "SPAWNS": "entities spawned by shards",
    "DESTROYS": "entities destroyed by their holders",
    "OPERATOR_DESTROYS": "entities destroyed by an operator",
    "LOSSES": "updates lost",
    "TICKS": "ticks of the clock",
    "HEARTBEATS": "heartbeats",
    "SLOW": "ticks that a slow shard's clock loses",
    "FAST": "ticks that fast leaders' clocks gain",
    "TWO_LEADERS": "1: a takeover while the old leader lives",
    "GROUP": "1: both entities are one group",
    "SPLIT": "1: decisions and commits are apart, with two decisions in one commit",
    "TIMERS": "1: leases by the clock instead of by events",
    "UPDATES": "1: entity updates are sent",
    "READY": "1: SectorReady is sent, so a sector may be Loading",
    "OWNER_0": "who owns sector 0 at first (3: nobody)",
    "OWNER_1": "who owns sector 1 at first (3: nobody)",
    "SECTOR_1": "the last entity's sector at first",
    "VERSION_1": "the last entity's version at first (0: not yet spawned)",
    "SPAWN_INTO": "the sector that spawns go to",
}
