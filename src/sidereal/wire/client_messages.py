"""Messages between a game client and the replication server.

Positions of what is visible travel beside these, as `ClientUpdate` datagrams.
"""

from typing import ClassVar

from sidereal.wire.base import Id, Message
from sidereal.world.columns import U8, U64, Columns
from sidereal.world.entities import EntityRows, StateRows


class LeaveRows(Columns):
    """Entities by ``ids`` u64; ``destroyed`` u8 is 1 for those that no longer exist."""

    LAYOUT: ClassVar[dict[str, tuple[str, int]]] = {"ids": ("<u8", 1), "destroyed": ("u1", 1)}

    ids: U64
    destroyed: U8


class ClientHello(Message, tag=40, frozen=True):
    """Client → server: open a session, or resume `session` with its `token`."""

    protocol: int
    session: int
    token: bytes


class ClientWelcome(Message, tag=41, frozen=True):
    """Server → client: your session, what resumes it, the world's clock, and this server's term."""

    session: int
    token: bytes
    resumed: bool
    tick_hz: float
    server_ns: int
    origin_ns: int
    term: int


class Subscribe(Message, tag=42, frozen=True):
    """Client → server: show me what is within `radius` of a point, or of `entity` (not 0)."""

    subscription: int
    radius: float
    x: float
    y: float
    entity: Id


class Unsubscribe(Message, tag=43, frozen=True):
    """Client → server: no longer."""

    subscription: int


class EntitiesEnter(Message, tag=44, frozen=True):
    """Server → client: these came into view, with their whole state."""

    entities: EntityRows


class EntitiesLeave(Message, tag=45, frozen=True):
    """Server → client: these left your view, or no longer exist."""

    entities: LeaveRows


class EntitiesChanged(Message, tag=48, frozen=True):
    """Server → client: states of entities in your view that changed."""

    states: StateRows


class Possess(Message, tag=46, frozen=True):
    """Client → server: `entity` is mine to steer (or, not `hold`, no longer)."""

    entity: Id
    hold: bool


class PossessOutcome(Message, tag=47, frozen=True):
    """Server → client: whether you hold it; `reason` where not."""

    entity: Id
    held: bool
    reason: str
