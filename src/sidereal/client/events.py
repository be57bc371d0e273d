"""What a client is told: typed events, drained by the caller."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidereal.world.columns import F64, U32, U64
from sidereal.world.entities import EntityRows, StateRows


@dataclass(frozen=True, slots=True)
class Welcomed:
    """The session is open. `resumed`: it is the one from before, with what it possessed."""

    session: int
    resumed: bool


@dataclass(frozen=True, slots=True)
class EntitiesEntered:
    """Entities came into view, with their whole state."""

    entities: EntityRows


@dataclass(frozen=True, slots=True)
class EntitiesUpdated:
    """Entities in view moved: their state of world tick `tick`, newer than any before.

    ``ids`` u64 (n,), ``position`` f64 (n, 2), ``velocity`` f64 (n, 2), ``flags`` u32 (n,).
    """

    tick: int
    ids: U64
    position: F64
    velocity: F64
    flags: U32


@dataclass(frozen=True, slots=True)
class EntitiesChanged:
    """Entities in view have another state: ``ids``, ``tick``, and bytes by ``lengths``.

    A state is sent whole, and at most once in the world's state interval.
    """

    states: StateRows


@dataclass(frozen=True, slots=True)
class EntitiesLeft:
    """Entities are no longer in view. ``ids`` u64 (n,), ``destroyed`` bool (n,): those of them
    that no longer exist.
    """

    ids: U64
    destroyed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PossessionAnswered:
    """Whether you steer `entity` now, and why not where you asked to."""

    entity: int
    held: bool
    reason: str


@dataclass(frozen=True, slots=True)
class MailRefused:
    """Bytes that you sent to `entity` were not taken, and why.

    Or it is not known whether they were: then `reason` says so, and `payload` what they were.
    """

    entity: int
    reason: str
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The link is gone, and all that was in view with it; the session may be resumed."""

    reason: str


Event = (
    Welcomed
    | EntitiesEntered
    | EntitiesUpdated
    | EntitiesChanged
    | EntitiesLeft
    | PossessionAnswered
    | MailRefused
    | SessionEnded
)
