"""Rules broken one at a time, with what must catch each; and branches that must be met."""

from __future__ import annotations

from cases import Mutant, Witness


def _not(name: str, size: tuple[int, int], caught_by: str, /, **bounds: int) -> Mutant:
    return Mutant(name, *size, bounds, tuple(caught_by.split()))


def _reading(name: str, size: tuple[int, int], caught_by: str, /, **bounds: int) -> Mutant:
    return Mutant(name, *size, bounds, tuple(caught_by.split()), reading=True)


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
    _not("DEAF_EXTENDED", (2, 1), f"{_I1} {_I5}", **_CLOCK),
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
    _not("NO_ATTEMPT_NUMBER", (2, 1), f"{_I1} {_I3} {_I4}", UNLOADS=2, ABORTS=1, STEPS=1),
    _not("SOURCE_RESUMES_ITSELF", (2, 1), f"{_I1} {_I3} {_I4}", MIGRATIONS=1, STEPS=1),
    _not("SAME_BY_VERSION", (2, 1), _I3, MIGRATIONS=1, STEPS=2),
    _not(
        "COPY_OF_ANOTHER_ATTEMPT",
        (2, 1),
        f"{_I3} {_I8}",
        MIGRATIONS=1,
        UNLOADS=1,
        ABORTS=1,
        STEPS=1,
    ),
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
    Witness("FROM_COPY", "migration"),
    Witness("COPY_LEFT_OUT", "migration"),
    Witness("CHANGED_SINCE_COPY", "migration"),
    Witness("STALE_COPIED", "migration, aborts"),
    Witness("ABORT_WHILE_COPYING", "migration, breaks"),
)
