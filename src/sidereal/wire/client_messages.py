"""Messages between a game client and the replication server.

Positions of what is visible travel beside these, as `ClientUpdate` datagrams.
"""

from sidereal.wire.base import Message
from sidereal.world.entities import EntityRows


class ClientHello(Message, tag=40, frozen=True):
    """Client → server: open a session, or resume `session` with its `token`."""

    protocol: int
    session: int
    token: bytes


class ClientWelcome(Message, tag=41, frozen=True):
    """Server → client: your session, what resumes it, and the world's clock."""

    session: int
    token: bytes
    resumed: bool
    tick_hz: float
    server_ns: int
    origin_ns: int


class Subscribe(Message, tag=42, frozen=True):
    """Client → server: show me what is within `radius` of a point, or of `entity` (not 0)."""

    subscription: int
    radius: float
    x: float
    y: float
    entity: int


class Unsubscribe(Message, tag=43, frozen=True):
    """Client → server: no longer."""

    subscription: int


class EntitiesEnter(Message, tag=44, frozen=True):
    """Server → client: these came into view, with their whole state."""

    entities: EntityRows


class EntitiesLeave(Message, tag=45, frozen=True):
    """Server → client: these left your view; those in `destroyed` no longer exist."""

    ids: list[int]
    destroyed: list[int]


class Possess(Message, tag=46, frozen=True):
    """Client → server: `entity` is mine to steer (or, not `hold`, no longer)."""

    entity: int
    hold: bool


class PossessOutcome(Message, tag=47, frozen=True):
    """Server → client: whether you hold it; `reason` where not."""

    entity: int
    held: bool
    reason: str
