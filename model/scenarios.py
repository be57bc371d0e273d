"""The scenarios of the model and the mutants that each must catch: bounds, sizes, expectations.

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


def _of(name: str, shards: int, entities: int, ci: bool = True, /, **bounds: int) -> Scenario:
    return Scenario(name, shards, entities, bounds, ci)


def _not(name: str, size: tuple[int, int], caught_by: str, /, **bounds: int) -> Mutant:
    return Mutant(name, *size, bounds, tuple(caught_by.split()))


def _reading(name: str, size: tuple[int, int], caught_by: str, /, **bounds: int) -> Mutant:
    return Mutant(name, *size, bounds, tuple(caught_by.split()), reading=True)


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

SCENARIOS = (
    _of("handoff", 2, 1, MOVES=3, STEPS=3),
    _of("handoff, breaks", 2, 1, MOVES=2, STEPS=2, BREAKS=2),
    _of("handoff, refusals", 2, 1, MOVES=3, STEPS=2, REFUSALS=2, BREAKS=1),
    _of("oscillation", 2, 1, MOVES=5, STEPS=2, BREAKS=1),
    _of("two entities", 2, 2, MOVES=2, STEPS=1, BREAKS=1, SECTOR_1=1),
    _of("custody", 2, 1, OWNER_1=3, MOVES=3, STEPS=2, BREAKS=2),
    _of("custody, migration", 2, 1, OWNER_1=3, MOVES=2, STEPS=2, MIGRATIONS=1, BREAKS=1),
    _of("custody, two entities", 2, 2, OWNER_1=3, MOVES=2, STEPS=1, BREAKS=1),
    _of("migration", 2, 2, MOVES=2, STEPS=2, MIGRATIONS=1, SECTOR_1=1),
    _of("migration, one owner", 2, 2, OWNER_1=0, MOVES=2, STEPS=1, MIGRATIONS=1, SECTOR_1=1),
    _of("migration, breaks", 2, 1, MOVES=2, STEPS=2, MIGRATIONS=1, BREAKS=2),
    _of("migration, aborts", 2, 1, MOVES=1, STEPS=2, MIGRATIONS=2, ABORTS=1, REFUSALS=1),
    _of(
        "migration, more aborts", 2, 1, False, MOVES=2, STEPS=2, MIGRATIONS=3, ABORTS=2, REFUSALS=1
    ),
    _of("migration and back", 2, 1, MOVES=1, STEPS=2, MIGRATIONS=2, BREAKS=1),
    _of("migration to and fro", 2, 1, False, MOVES=1, STEPS=2, MIGRATIONS=3, BREAKS=1),
    _of("unload", 2, 1, MOVES=2, STEPS=2, UNLOADS=2, BREAKS=1),
    _of("unload, migration", 2, 1, MOVES=1, STEPS=2, UNLOADS=1, MIGRATIONS=1, ABORTS=1),
    _of(
        "unload, migration, breaks",
        2,
        1,
        False,
        MOVES=2,
        STEPS=2,
        UNLOADS=1,
        MIGRATIONS=1,
        ABORTS=1,
        BREAKS=1,
    ),
    _of("unload, arrival", 2, 2, MOVES=2, STEPS=1, UNLOADS=2, SECTOR_1=1),
    _of("server restart", 2, 1, MOVES=2, STEPS=2, MIGRATIONS=1, TAKEOVERS=1, LEADER_CRASHES=1),
    _of(
        "server restarts twice",
        2,
        1,
        False,
        MOVES=2,
        STEPS=1,
        UNLOADS=1,
        TAKEOVERS=2,
        LEADER_CRASHES=2,
    ),
    _of("two leaders", 2, 1, MOVES=2, STEPS=2, TAKEOVERS=1, TWO_LEADERS=1, BREAKS=2),
    _of(
        "two leaders, migration",
        2,
        1,
        MOVES=1,
        STEPS=1,
        MIGRATIONS=1,
        TAKEOVERS=1,
        TWO_LEADERS=1,
        BREAKS=1,
    ),
    _of(
        "two leaders, two migrations",
        2,
        1,
        False,
        MOVES=1,
        STEPS=1,
        MIGRATIONS=2,
        TAKEOVERS=1,
        TWO_LEADERS=1,
        BREAKS=2,
    ),
    _of(
        "two leaders, a death",
        3,
        1,
        MOVES=1,
        STEPS=1,
        MIGRATIONS=1,
        TAKEOVERS=1,
        TWO_LEADERS=1,
        BREAKS=1,
        SHARD_CRASHES=1,
    ),
    _of("crash", 3, 2, MOVES=2, STEPS=1, SHARD_CRASHES=1, RESTARTS=1, SECTOR_1=1),
    _of(
        "crash, migration",
        3,
        1,
        False,
        MOVES=1,
        STEPS=1,
        MIGRATIONS=1,
        SHARD_CRASHES=2,
        RESTARTS=1,
        BREAKS=1,
    ),
    _of(
        "crash while loading",
        3,
        1,
        MOVES=1,
        STEPS=1,
        MIGRATIONS=1,
        SHARD_CRASHES=1,
        READY=1,
        UNLOADS=1,
    ),
    _of("lease out", 2, 1, MOVES=2, STEPS=2, EXPIRIES=2, BREAKS=1, MIGRATIONS=1),
    _of("lease out, fenced", 3, 1, MOVES=2, STEPS=2, EXPIRIES=1, FENCES=1, BREAKS=1),
    _of(
        "lease out, two leaders",
        3,
        1,
        MOVES=1,
        STEPS=1,
        EXPIRIES=1,
        FENCES=1,
        TAKEOVERS=1,
        TWO_LEADERS=1,
    ),
    _of("second process", 3, 1, MOVES=2, STEPS=1, RESTARTS=1, MIGRATIONS=1, BREAKS=1),
    _of(
        "second process, fenced",
        3,
        1,
        MOVES=1,
        STEPS=1,
        RESTARTS=1,
        EXPIRIES=1,
        FENCES=1,
        MIGRATIONS=1,
    ),
    _of("group", 2, 2, GROUP=1, MOVES=2, STEPS=2, MIGRATIONS=1, BREAKS=1),
    _of(
        "group, crashes",
        3,
        2,
        GROUP=1,
        MOVES=1,
        STEPS=1,
        SHARD_CRASHES=1,
        TAKEOVERS=1,
        LEADER_CRASHES=1,
    ),
    _of("group, refusals", 2, 2, GROUP=1, MOVES=2, STEPS=1, REFUSALS=1, UNLOADS=1, BREAKS=1),
    _of("spawn", 2, 1, VERSION_1=0, SPAWNS=1, MOVES=2, STEPS=2, BREAKS=2),
    _of(
        "spawn over the border",
        2,
        1,
        VERSION_1=0,
        SPAWN_INTO=1,
        SPAWNS=1,
        MOVES=1,
        STEPS=1,
        MIGRATIONS=1,
        BREAKS=1,
    ),
    _of(
        "spawn, unloaded sector",
        2,
        1,
        VERSION_1=0,
        SPAWN_INTO=1,
        OWNER_1=3,
        SPAWNS=1,
        MOVES=1,
        STEPS=1,
        BREAKS=2,
    ),
    _of(
        "spawn, destroy, restart",
        2,
        1,
        VERSION_1=0,
        SPAWNS=1,
        MOVES=1,
        STEPS=1,
        OPERATOR_DESTROYS=1,
        TAKEOVERS=1,
        LEADER_CRASHES=1,
        BREAKS=1,
    ),
    _of("destroy", 2, 2, SECTOR_1=1, DESTROYS=1, OPERATOR_DESTROYS=1, MOVES=2, BREAKS=1),
    _of(
        "destroy, migration",
        2,
        1,
        DESTROYS=1,
        OPERATOR_DESTROYS=1,
        MOVES=1,
        STEPS=1,
        MIGRATIONS=1,
        BREAKS=1,
        ABORTS=1,
    ),
    _of("destroy in custody", 2, 1, OWNER_1=3, OPERATOR_DESTROYS=1, MOVES=2, STEPS=1, BREAKS=2),
    _of("updates", 2, 1, UPDATES=1, STEPS=3, LOSSES=2, MOVES=1, BREAKS=1),
    _of("updates, migration", 2, 1, UPDATES=1, STEPS=2, LOSSES=1, MOVES=1, MIGRATIONS=1, BREAKS=1),
    _of(
        "updates, deaths",
        3,
        1,
        UPDATES=1,
        STEPS=2,
        LOSSES=1,
        MOVES=1,
        SHARD_CRASHES=1,
        TAKEOVERS=1,
        LEADER_CRASHES=1,
    ),
    _of("commits", 2, 1, SPLIT=1, MOVES=2, STEPS=1, MIGRATIONS=1, TAKEOVERS=1, LEADER_CRASHES=1),
    _of(
        "commits, two leaders",
        2,
        1,
        SPLIT=1,
        MOVES=2,
        STEPS=1,
        TAKEOVERS=1,
        TWO_LEADERS=1,
        BREAKS=1,
    ),
    _of(
        "commits, two entities",
        2,
        2,
        SPLIT=1,
        MOVES=2,
        STEPS=1,
        TAKEOVERS=1,
        LEADER_CRASHES=1,
        SECTOR_1=1,
    ),
    _of("clock", 2, 1, TIMERS=1, STEPS=1, TICKS=6, HEARTBEATS=2, SLOW=1, FAST=1),
    _of(
        "clock, more heartbeats",
        2,
        1,
        False,
        TIMERS=1,
        STEPS=1,
        TICKS=8,
        HEARTBEATS=4,
        SLOW=1,
        FAST=1,
    ),
    _of(
        "clock, two leaders",
        2,
        1,
        TIMERS=1,
        STEPS=1,
        TICKS=5,
        HEARTBEATS=1,
        SLOW=1,
        FAST=1,
        TAKEOVERS=1,
        TWO_LEADERS=1,
    ),
    _of(
        "clock, two leaders, breaks",
        2,
        1,
        False,
        TIMERS=1,
        STEPS=1,
        TICKS=5,
        HEARTBEATS=2,
        FAST=1,
        TAKEOVERS=1,
        TWO_LEADERS=1,
        BREAKS=1,
    ),
    _of(
        "clock, restart",
        2,
        1,
        TIMERS=1,
        STEPS=1,
        TICKS=5,
        HEARTBEATS=1,
        SLOW=1,
        FAST=1,
        TAKEOVERS=1,
        LEADER_CRASHES=1,
    ),
    _of(
        "clock, restart, heartbeats",
        2,
        1,
        False,
        TIMERS=1,
        STEPS=1,
        TICKS=7,
        HEARTBEATS=2,
        SLOW=1,
        FAST=1,
        TAKEOVERS=1,
        LEADER_CRASHES=1,
    ),
)

_I1 = "I1_one_simulates_and_agrees"
_I1_GROUP = "I1_group_simulates_as_one"
_I2 = "I2_one_record"
_I3 = "I3_ticks_rise"
_I3_UPDATES = "I3_updates_rise"
_I4 = "I4_one_owner_per_epoch"
_I5 = "I5_fenced_has_no_effect"
_I6 = "I6_durable_before_visible"
_I7 = "I7_active_again"
_I8 = "I8_nothing_dropped"
_I9 = "I9_replay_equals_memory"

_CLOCK = {"TIMERS": 1, "STEPS": 1, "TICKS": 6, "HEARTBEATS": 2, "SLOW": 1, "FAST": 1}

MUTANTS = (
    _not("DEATH_EARLY", (2, 1), f"{_I1} {_I5}", **_CLOCK),
    _not("LEADER_DOES_NOT_WAIT", (2, 1), f"{_I1} {_I5}", **_CLOCK, TAKEOVERS=1, LEADER_CRASHES=1),
    _not("DRIFT_ONE_SIDED", (2, 1), f"{_I1} {_I5}", **_CLOCK),
    _not("DEPOSED_ANSWERS", (2, 1), f"{_I1} {_I5}", **_CLOCK, TAKEOVERS=1, TWO_LEADERS=1),
    _not(
        "SEND_BEFORE_COMMIT",
        (2, 1),
        f"{_I6} {_I1}",
        SPLIT=1,
        MOVES=2,
        TAKEOVERS=1,
        LEADER_CRASHES=1,
    ),
    _not("INCARNATION_IGNORED", (3, 1), f"{_I1} {_I4}", MOVES=1, STEPS=1, RESTARTS=1),
    _not(
        "BOOKS_BY_NAME",
        (3, 1),
        f"{_I1} {_I4} {_I9}",
        MOVES=1,
        STEPS=1,
        RESTARTS=1,
        EXPIRIES=1,
        FENCES=1,
        MIGRATIONS=1,
    ),
    _not("RESTART_IS_DEATH", (3, 1), f"{_I1} {_I5}", RESTARTS=1),
    _not("LOADING_CUSTODY_LOST", (2, 1), f"{_I2} {_I8}", READY=1, MIGRATIONS=1, SHARD_CRASHES=1),
    _not("GROUP_MEMBER_FORGOTTEN", (2, 2), f"{_I1} {_I1_GROUP} {_I7}", GROUP=1, MOVES=1, STEPS=1),
    _not("GROUP_TWO_SECTORS", (2, 2), _I1_GROUP, GROUP=1, SECTOR_1=1, OWNER_1=0, MIGRATIONS=1),
    _not("OUTDATED_REFUSED", (2, 1), _I1, MOVES=1, BREAKS=1),
    _not("REQUEST_REPEATED", (2, 1), _I1, MOVES=1, REFUSALS=1),
    _not("NO_ATTEMPT_NUMBER", (2, 1), f"{_I1} {_I3} {_I4}", MIGRATIONS=2, ABORTS=1, STEPS=1),
    _not("SOURCE_RESUMES_ITSELF", (2, 1), f"{_I1} {_I3} {_I4}", MIGRATIONS=1, STEPS=1),
    _not("PRECOPY_RUNS", (2, 1), _I1, OWNER_1=0, MIGRATIONS=1, MOVES=1),
    _not("PENDING_NOT_IN_REMOVED", (2, 1), _I3, MOVES=1, REFUSALS=1, MIGRATIONS=1, STEPS=2),
    _not(
        "RECORD_WITHOUT_STATES",
        (2, 1),
        _I3,
        MIGRATIONS=1,
        UNLOADS=1,
        STEPS=2,
        TAKEOVERS=1,
        LEADER_CRASHES=1,
    ),
    _not("CLEANUP_BEFORE_RELEASE", (2, 1), _I7, MIGRATIONS=1, ABORTS=1),
    _not("ARRIVAL_IGNORED", (2, 1), _I7, MOVES=1, EXPIRIES=1),
    _not("NOT_DIRTY", (2, 1), _I7, UPDATES=1, STEPS=1, BREAKS=1),
    _not("UPDATES_UNORDERED", (2, 1), _I3_UPDATES, UPDATES=1, STEPS=2),
    _not("LOSS_NOT_DIRTY", (2, 1), _I7, UPDATES=1, STEPS=1, LOSSES=1),
    _not("DESTROY_NOT_TOLD", (2, 1), f"{_I1} {_I7}", OPERATOR_DESTROYS=1),
    _not("SPAWN_REPEATED", (2, 1), _I8, VERSION_1=0, SPAWNS=1, BREAKS=1, OPERATOR_DESTROYS=1),
    _not("VERDICT_NOT_FIRST", (2, 1), _I7, MOVES=2, BREAKS=1),
    _not("HANDOFF_OVERTAKES", (2, 2), _I7, OWNER_1=3, MOVES=2),
    _not("REPLAY_SKIPS", (2, 1), _I9, MOVES=1),
    _reading("ACK_BY_OWNER_ALONE", (2, 1), _I3, MOVES=1, STEPS=2, MIGRATIONS=1, BREAKS=1),
    _reading("WAIT_BY_VERSION_ALONE", (2, 1), _I3, MOVES=1, STEPS=2, UNLOADS=1, BREAKS=1),
    _reading("RELEASE_DROPS_SHADOWS", (2, 1), _I7, OWNER_1=3, MOVES=1, MIGRATIONS=1),
)

WITNESSES = (
    Witness("VERDICT_KEEP", "handoff, breaks"),
    Witness("VERDICT_BACK", "handoff, breaks"),
    Witness("VERDICT_ACK", "migration, breaks"),
    Witness("VERDICT_WAIT", "custody"),
    Witness("VERDICT_DROP", "handoff, breaks"),
    Witness("VERDICT_RESEND_SPAWN", "spawn"),
    Witness("VERDICT_RESEND_DESTROY", "destroy"),
    Witness("VERDICT_DROPS_SECTOR", "migration, breaks"),
    Witness("LACKING_SECTOR_SENT", "migration, breaks"),
    Witness("LACKING_ENTITY_SENT", "handoff, breaks"),
    Witness("STALE_REMOVED", "migration, aborts"),
    Witness("PENDING_IN_REMOVED", "migration"),
    Witness("ARRIVAL_WHILE_FROZEN", "migration"),
    Witness("ACK_WHILE_FROZEN", "migration, one owner"),
    Witness("SHADOW_OUTLIVES_RELEASE", "custody, migration"),
    Witness("OUTDATED_REQUEST", "destroy"),
    Witness("DEPOSED_DECIDES", "two leaders"),
    Witness("UPDATE_FENCED", "updates, migration"),
    Witness("UPDATE_OLDER", "updates"),
    Witness("SESSION_END_ABORTS", "migration, breaks"),
    Witness("FENCED_IS_TOLD", "lease out, fenced"),
    Witness("DESTROYED_PENDING", "destroy"),
    Witness("COMMIT_FAILS", "commits, two leaders"),
    Witness("LOADED_AGAIN", "unload"),
    Witness("ARRIVAL_WITHOUT_LEASE", "lease out"),
)
