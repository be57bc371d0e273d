"""What the ledger knows of one incarnation of a shard, and of one entity."""

from dataclasses import dataclass, field

from sidereal.ids import Sector
from sidereal.testing.clocks import LocalClock
from sidereal.testing.observer import Violation

FOREVER = 1 << 62


@dataclass(slots=True, eq=False)
class Life:
    """One incarnation of a shard, through its sessions, as its messages tell."""

    name: str
    clock: LocalClock
    lease_ns: int = 0
    granted_until: int = -FOREVER
    """By its own clock: when the lease ends that the server has given it."""
    heard_until: int = -FOREVER
    """The same, of what has reached it."""
    ticked: int = -1
    """The last tick that it simulated, which was within its lease."""
    judged_ns: int = -1
    """When it last heard the verdict of a session, in true time."""
    owned: dict[Sector, int] = field(default_factory=dict)
    attempt: dict[Sector, int] = field(default_factory=dict)
    """Of the freeze that was asked for last."""
    removed: set[Sector] = field(default_factory=set)
    """Listed frozen, for that attempt."""
    asked: dict[int, int] = field(default_factory=dict)
    """Versions at which it asked to hand over, and the server heard."""
    unwanted: set[int] = field(default_factory=set)
    """What its game wants ended, of the copies that it has."""

    @property
    def lapsed(self) -> bool:
        """Whether its lease is over, whatever of it is still on its way."""
        return self.clock.now >= self.granted_until


@dataclass(slots=True, eq=False)
class Known:
    """One entity."""

    life: Life | None
    version: int
    sector: Sector
    doomed: bool = False
    """Whether its holder or an operator ended it."""
    early: bool = False
    """Whether an operator ended it before anything was heard of it but that a shard wished for it:
    to no effect, should the record not have had it yet."""
    stepped: tuple[int, int] = (0, -1)
    """The version and tick that were simulated last."""


def may_step(
    known: Known | None, name: str, entity: int, now: tuple[int, int], life: Life
) -> Known:
    """Refuse a step of what a shard does not hold, or that goes back in version and tick `now`."""
    if known is None:
        raise Violation(
            "agrees with the record", f"{name} simulates {entity}, which nobody gave it", [entity]
        )
    if (known.life is not life or known.version != now[0]) and not known.doomed:
        raise Violation(
            "agrees with the record",
            f"{name} simulates {entity} at version {now[0]}; it is at {known.version} with"
            f" {known.life.name if known.life is not None else 'nobody'}",
            [entity],
            [known.sector],
        )
    if now <= known.stepped:
        raise Violation(
            "versions only rise",
            f"{name} simulates {entity} at version and tick {now} after {known.stepped}",
            [entity],
        )
    return known
