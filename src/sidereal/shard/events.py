"""What a shard tells its game: typed events, drained by the caller."""

from dataclasses import dataclass

from sidereal.ids import Sector, ShardId
from sidereal.world.columns import F64, U32, U64
from sidereal.world.entities import EntityRows
from sidereal.world.rules import WorldRules


@dataclass(frozen=True, slots=True)
class Registered:
    """The replication server knows this shard; sectors may follow."""

    shard_id: ShardId
    rules: WorldRules


@dataclass(frozen=True, slots=True)
class SectorAssigned:
    """A sector is yours, with what is in it. `first_time`: nobody ever had it; fill it.

    `cause` is ``activation``, ``migration`` or ``rehomed``: from a shard that died.
    """

    sector: Sector
    first_time: bool
    cause: str
    entities: EntityRows


@dataclass(frozen=True, slots=True)
class SectorFrozen:
    """A sector is about to be unloaded or moved; `ids`, held in it, are not simulated meanwhile.

    `tick` is of their states. Shadows among its entities stand still too, but their
    answers decide about them.
    """

    sector: Sector
    ids: U64
    version: U32
    tick: U32


@dataclass(frozen=True, slots=True)
class SectorResumed:
    """The move was given up: go on with `ids`."""

    sector: Sector
    ids: U64
    version: U32
    tick: U32


@dataclass(frozen=True, slots=True)
class SectorUnassigned:
    """A sector is no longer yours; `ids` (u64) went with it."""

    sector: Sector
    ids: U64


@dataclass(frozen=True, slots=True)
class EntitiesEntered:
    """Entities came over a border, or were spawned by the server. `tick` is their state's."""

    entities: EntityRows


@dataclass(frozen=True, slots=True)
class EntitiesCrossing:
    """You asked to hand these over: until the answer they are shadows. `version` asked."""

    ids: U64
    version: U32
    tick: int


@dataclass(frozen=True, slots=True)
class EntitiesKept:
    """Shadows that turned out yours: acknowledged or refused. `asked_tick` is when you asked,
    `tick` how far they have been simulated since.
    """

    ids: U64
    version: U32
    tick: U32
    asked_tick: U32


@dataclass(frozen=True, slots=True)
class EntitiesExited:
    """Entities are another shard's now: drop them. `version` is the one that they left with."""

    ids: U64
    version: U32


@dataclass(frozen=True, slots=True)
class EntitiesDestroyed:
    """Entities that no longer exist."""

    ids: U64


@dataclass(frozen=True, slots=True)
class PositionsInvalid:
    """Positions that were NaN, infinite or outside the world: these entities did not move."""

    ids: U64


@dataclass(frozen=True, slots=True)
class GhostsChanged:
    """Read-only copies of what lies just across your borders.

    ``ids`` u64 (n,), ``position`` f64 (n, 2), ``velocity`` f64 (n, 2), ``flags`` u32 (n,).
    """

    tick: int
    ids: U64
    position: F64
    velocity: F64
    flags: U32


@dataclass(frozen=True, slots=True)
class MailReceived:
    """Bytes for one of your entities, from ``client:N`` or ``shard:NAME``."""

    entity: int
    sender: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class MailRefused:
    """Bytes that you sent were not taken, and why.

    Or it is not known whether they were: then `reason` says so, and `payload` what they were.
    """

    entity: int
    reason: str
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class PossessionChanged:
    """A client's session took or lost one of your entities."""

    entity: int
    session: int
    held: bool


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """No answer within the lease: nothing is simulated until there is one."""


@dataclass(frozen=True, slots=True)
class LeaseRegained:
    """Answers come again; go on."""


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The link is gone. All goes on while the lease lasts; a new link is being made."""

    reason: str


@dataclass(frozen=True, slots=True)
class SessionResumed:
    """The link is back; what had changed meanwhile was told by the events before this one."""


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The server has given up this shard's life, and with it all that was here; it registers anew.

    ``ids`` u64, ``version`` u32 and ``tick`` u32 are of all entities that were here, those among
    them that it had asked to hand over.
    """

    reason: str
    ids: U64
    version: U32
    tick: U32


Event = (
    Registered
    | SectorAssigned
    | SectorFrozen
    | SectorResumed
    | SectorUnassigned
    | EntitiesEntered
    | EntitiesCrossing
    | EntitiesKept
    | EntitiesExited
    | EntitiesDestroyed
    | PositionsInvalid
    | GhostsChanged
    | MailReceived
    | MailRefused
    | PossessionChanged
    | LeaseLost
    | LeaseRegained
    | LinkLost
    | SessionResumed
    | SessionEnded
)
