"""The lives that the server leads, beside a sector's: an entity's, a handoff's, a client's session.

A sector's is in `sidereal.world.sectors`.
"""

from enum import Enum

from sidereal.world.life import Life


class Holder(Enum):
    """Who has an entity, as the record says: the table's ``shard`` column."""

    NOBODY = "not there"
    CUSTODY = "in custody"
    SHARD = "at a shard"


class HolderEvent(Enum):
    """What can happen to an entity in the record."""

    APPEAR = "appear"
    """A shard or a tool makes it, in a sector that somebody owns."""
    APPEAR_NOWHERE = "appear in custody"
    """Likewise, where nobody owns the sector."""
    HAND_OVER = "be handed over"
    """It crosses into a sector that somebody owns, the same shard maybe."""
    GO_ASTRAY = "leave for nowhere"
    """It crosses into a sector that nobody owns, or that is frozen."""
    ASSIGN = "be assigned"
    """Its sector has an owner, is moved to another one, or goes on after a freeze."""
    UNLOAD = "be unloaded"
    """Its sector is: `SectorRemoved`."""
    FENCE = "be left by a dead shard"
    DESTROY = "be destroyed"


_H, _V = Holder, HolderEvent

ENTITY = Life(
    "an entity",
    _H.NOBODY,
    {
        (_H.NOBODY, _V.APPEAR): _H.SHARD,
        (_H.NOBODY, _V.APPEAR_NOWHERE): _H.CUSTODY,
        (_H.SHARD, _V.HAND_OVER): _H.SHARD,
        (_H.SHARD, _V.GO_ASTRAY): _H.CUSTODY,
        (_H.SHARD, _V.ASSIGN): _H.SHARD,
        (_H.SHARD, _V.UNLOAD): _H.CUSTODY,
        (_H.SHARD, _V.FENCE): _H.CUSTODY,
        (_H.SHARD, _V.DESTROY): _H.NOBODY,
        (_H.CUSTODY, _V.ASSIGN): _H.SHARD,
        (_H.CUSTODY, _V.DESTROY): _H.NOBODY,
    },
)


class Handoff(Enum):
    """How far a row of an `EntityTransitionRequest` has come."""

    ASKED = "asked for"
    AWAITING = "in custody"
    ACKNOWLEDGED = "acknowledged"
    ENTERED = "handed over"
    REFUSED = "refused"
    OUTDATED = "out of date"


class HandoffEvent(Enum):
    """What can come of it."""

    OWN = "go to its own shard"
    """Case A: `AcknowledgeTransition`."""
    OTHER = "go to another shard"
    """Case B: `EntityEnterSector` there, `ConfirmTransitionExit` here."""
    NONE = "go where nobody is"
    """Case C: the sector is to be loaded, or is frozen."""
    REFUSE = "be refused"
    """`RefuseTransition`: custody is full, one of the group is gone, its position is elsewhere."""
    OLD = "be outdated"
    """The record has another version: `ConfirmTransitionExit`."""
    END = "end"
    """It is destroyed in custody: `EntitiesDestroyed`."""


_F, _G = Handoff, HandoffEvent

HANDOFF = Life(
    "a handoff",
    _F.ASKED,
    {
        (_F.ASKED, _G.OWN): _F.ACKNOWLEDGED,
        (_F.ASKED, _G.OTHER): _F.ENTERED,
        (_F.ASKED, _G.NONE): _F.AWAITING,
        (_F.ASKED, _G.REFUSE): _F.REFUSED,
        (_F.ASKED, _G.OLD): _F.OUTDATED,
        (_F.AWAITING, _G.OWN): _F.ACKNOWLEDGED,
        (_F.AWAITING, _G.OTHER): _F.ENTERED,
        (_F.AWAITING, _G.END): _F.OUTDATED,
    },
)


class Presence(Enum):
    """Where a client's session stands."""

    OVER = "over"
    HERE = "here"
    AWAY = "away"


class PresenceEvent(Enum):
    """What can happen to a client's session."""

    OPEN = "open"
    """`ClientHello` without a token, or with one that is not known any more."""
    LEAVE = "be left"
    """Its link has ended; what it possesses stays its own for a while."""
    COME_BACK = "come back"
    """`ClientHello` with its token, over another link."""
    EXPIRE = "expire"
    RESTORE = "be restored"
    """A new server finds it in the journal."""


_A, _B = Presence, PresenceEvent

CLIENT_SESSION = Life(
    "a client's session",
    _A.OVER,
    {
        (_A.OVER, _B.OPEN): _A.HERE,
        (_A.OVER, _B.RESTORE): _A.AWAY,
        (_A.HERE, _B.LEAVE): _A.AWAY,
        (_A.AWAY, _B.COME_BACK): _A.HERE,
        (_A.AWAY, _B.EXPIRE): _A.OVER,
    },
)
