"""The catalogue of faults: what a simulation may do to a cluster, each with its number.

A fault is either aimed (a strike at one shard, in one phase of the protocol), or
it is in the weather or in the game all along and is counted where it strikes.
"""

from dataclasses import dataclass
from typing import Final

from sidereal.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the catalogue."""

    number: int
    name: str
    words: str
    group: str
    aimed: bool = False
    phases: tuple[str, ...] = ()
    """Where it strikes by its definition; anywhere, where there are none."""
    needs: str = ""
    """``transport``: only datagrams can meet it."""


_N, _S, _C, _W = "network", "shard", "server", "workload"

_STEPPING = (
    "opening",
    "idle",
    "asked",
    "custody",
    "answered",
    "arriving",
    "loading",
    "copying",
    "freezing",
    "frozen",
    "decided",
    "unloading",
    "spawning",
    "destroying",
)
"""What a game does in a step: no step without a lease."""

_UPDATING = _STEPPING[1:]
"""What befalls updates: none leaves without a session."""

_ASKING = _UPDATING[1:]
"""What shows in a request: who asks is not idle any more."""

FAULTS: Final = (
    Fault(1, "loss", "datagrams are lost", _N, phases=_UPDATING),
    Fault(2, "duplication", "datagrams come twice", _N, phases=_UPDATING, needs="transport"),
    Fault(3, "reordering", "datagrams overtake each other", _N, phases=_UPDATING),
    Fault(4, "delay", "a link delays everything beyond a lease", _N, aimed=True),
    Fault(5, "one-way", "one direction of a link is cut for a while", _N, aimed=True),
    Fault(6, "partition", "a link is cut both ways for a while", _N, aimed=True),
    Fault(7, "flapping", "a link is cut again and again, or breaks at once", _N, aimed=True),
    Fault(8, "clog", "nothing gets through; then all of it at once", _N, aimed=True),
    Fault(
        9,
        "corruption",
        "datagrams arrive changed or cut short",
        _N,
        phases=_UPDATING,
        needs="transport",
    ),
    Fault(10, "old-session", "packets of a session that is over", _N, needs="transport"),
    Fault(11, "crash-idle", "a crash before the transition request", _S, True, ("idle",)),
    Fault(12, "crash-asked", "a crash before the answer", _S, True, ("asked", "custody")),
    Fault(13, "crash-answered", "a crash before it drops what left", _S, True, ("answered",)),
    Fault(14, "crash-arriving", "a crash where an entity arrives", _S, True, ("arriving",)),
    Fault(
        15, "crash-frozen", "a crash while frozen", _S, True, ("freezing", "frozen", "unloading")
    ),
    Fault(16, "crash-removed", "a crash after SectorRemoved", _S, True, ("decided",)),
    Fault(17, "pause", "a process stands still beyond its lease, then goes on", _S, aimed=True),
    Fault(18, "fast-restart", "a crash, and the next incarnation at once", _S, aimed=True),
    Fault(19, "zombie", "a fenced shard's messages arrive late", _S, aimed=True),
    Fault(20, "crash-loop", "four lives within two seconds", _S, aimed=True),
    Fault(21, "slow", "steps take longer than ticks", _S, aimed=True),
    Fault(
        22,
        "crash-both",
        "source and target die together",
        _S,
        True,
        ("freezing", "frozen", "decided"),
    ),
    Fault(23, "crash-all", "all shards die", _S, aimed=True),
    Fault(24, "crash-loading", "a crash while Loading", _S, True, ("loading",)),
    Fault(25, "server-crash", "the server dies before its commit", _C, True),
    Fault(26, "server-unsent", "it dies after the commit, before sending", _C, True),
    Fault(27, "server-batch", "it dies in the middle of a batch", _C, True),
    Fault(28, "two-leaders", "a new leader while the old one lives", _C, True),
    Fault(29, "late-write", "a deposed leader writes", _C, True),
    Fault(30, "store-fails", "disk full, fsync error, torn tail", _C, True),
    Fault(31, "commit-unknown", "a commit of unknown outcome", _C, True),
    Fault(32, "all-reconnect", "a restart, and everybody at once", _C, True),
    Fault(33, "outage", "the server is away beyond a lease", _C, True),
    Fault(
        34,
        "oscillation",
        "an entity goes back where it came from within a second",
        _W,
        phases=_ASKING,
    ),
    Fault(35, "corner", "an entity crosses at a corner of four sectors", _W, phases=_ASKING),
    Fault(36, "chain", "A to B to C with answers outstanding", _W, phases=_ASKING),
    Fault(
        37,
        "destroy-in-transit",
        "an operator destroys what is between two shards",
        _W,
        True,
        ("asked", "custody", "answered", "arriving", "spawning"),
    ),
    Fault(38, "hot-spot", "a crowd has a new place to be", _W),
    Fault(
        39,
        "join-or-drain",
        "a shard joins or drains while a sector migrates",
        _W,
        True,
        ("freezing", "frozen", "decided", "loading"),
    ),
    Fault(40, "migration-back", "a sector moves back as soon as it has moved", _W, aimed=True),
    Fault(41, "custody-full", "no room in custody for a while", _W, aimed=True),
    Fault(42, "drift", "clocks run apart, as far as the allowance allows", _W, phases=_ASKING),
    Fault(43, "teleports", "entities jump to many sectors in one tick", _W, phases=_STEPPING),
    Fault(44, "group-split", "a group lies over a border", _W, phases=_ASKING),
    Fault(45, "border-spawn", "a spawn at a border or in an unloaded sector", _W, phases=_ASKING),
    Fault(
        46,
        "unload-races",
        "a sector is unloaded while an entity arrives",
        _W,
        True,
        ("asked", "custody", "answered", "arriving", "loading"),
    ),
    Fault(
        47, "server-pause", "the server stands still beyond a lease, then goes on", _C, aimed=True
    ),
)
"""All of them, by number. The 47th is beside those of the protocol's own list."""

BY_NAME: Final = {fault.name: fault for fault in FAULTS}


def chosen(text: str) -> tuple[str, ...]:
    """Return the names that ``all``, ``none`` or a list with commas selects, in catalogue order.

    Raises
    ------
    ConfigError
        A name that no fault has.
    """
    if text == "all":
        return tuple(BY_NAME)
    names = {name.strip() for name in text.split(",")} - {"", "none"}
    unknown = sorted(names - set(BY_NAME))
    if unknown:
        raise ConfigError(f"no fault {unknown[0]!r}; there are {', '.join(BY_NAME)}")
    return tuple(name for name in BY_NAME if name in names)
