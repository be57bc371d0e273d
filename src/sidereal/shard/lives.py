"""The lives that a shard sees: its session's, a sector's, an entity's. One table each."""

from enum import Enum

from sidereal.world.life import Life


class Stage(Enum):
    """How far a session has come."""

    CLOSED = "closed"
    OPENING = "opening"
    JUDGED = "judged"
    """Registered again; the verdict comes next."""
    OPEN = "open"


class SessionEvent(Enum):
    """What can happen to a session."""

    CONNECTED = "connect"
    """A link is there: `RegisterShard`, or `ResumeShard` with all that is here."""
    REGISTERED = "register"
    """`RegistrationAck` to an incarnation that is new."""
    KNOWN = "be known"
    """`RegistrationAck` to one that the server knows."""
    VERDICT = "be judged"
    """`SessionVerdict`."""
    FENCED = "be fenced"
    """`IncarnationFenced`: this incarnation is dead."""
    LOST = "be lost"
    """The link has ended."""


_T, _H = Stage, SessionEvent

SESSION = Life(
    "a session",
    _T.CLOSED,
    {
        (_T.CLOSED, _H.CONNECTED): _T.OPENING,
        (_T.OPENING, _H.REGISTERED): _T.OPEN,
        (_T.OPENING, _H.KNOWN): _T.JUDGED,
        (_T.OPENING, _H.FENCED): _T.CLOSED,
        (_T.JUDGED, _H.VERDICT): _T.OPEN,
        (_T.CLOSED, _H.LOST): _T.CLOSED,
        (_T.OPENING, _H.LOST): _T.CLOSED,
        (_T.JUDGED, _H.LOST): _T.CLOSED,
        (_T.OPEN, _H.LOST): _T.CLOSED,
    },
)


class Place(Enum):
    """Where a sector stands at this shard."""

    ELSEWHERE = "elsewhere"
    LOADING = "loading"
    RUNNING = "running"
    FROZEN = "frozen"


class PlaceEvent(Enum):
    """What can happen to a sector here."""

    ASSIGN = "be assigned"
    """`AssignSector`: it is this shard's."""
    LOADED = "be loaded"
    """All chunks of `SectorInitialState` are here: `SectorReady`."""
    FREEZE = "be frozen"
    """`UnassignSector`: `SectorRemoved` lists what is in it."""
    RESUME = "be resumed"
    """`ResumeSector` with the attempt that froze it."""
    RELEASE = "be released"
    """`ReleaseSector`: it is another's, or nobody's."""
    KEEP = "be kept"
    """The verdict of a new session says that it goes on."""
    DROP = "be dropped"
    """The verdict does not name it."""


_P, _Q = Place, PlaceEvent

SECTOR_HERE = Life(
    "a sector",
    _P.ELSEWHERE,
    {
        (_P.ELSEWHERE, _Q.ASSIGN): _P.LOADING,
        (_P.LOADING, _Q.LOADED): _P.RUNNING,
        (_P.RUNNING, _Q.FREEZE): _P.FROZEN,
        (_P.FROZEN, _Q.RESUME): _P.RUNNING,
        (_P.FROZEN, _Q.RELEASE): _P.ELSEWHERE,
        (_P.LOADING, _Q.KEEP): _P.RUNNING,
        (_P.RUNNING, _Q.KEEP): _P.RUNNING,
        (_P.FROZEN, _Q.KEEP): _P.RUNNING,
        (_P.LOADING, _Q.DROP): _P.ELSEWHERE,
        (_P.RUNNING, _Q.DROP): _P.ELSEWHERE,
        (_P.FROZEN, _Q.DROP): _P.ELSEWHERE,
    },
)


class Copy(Enum):
    """What this shard's copy of an entity is: bits of the table's ``phase``, but for `STILL`."""

    ABSENT = "absent"
    HELD = "held"
    PENDING = "pending"
    SPAWNING = "spawning"
    DESTROYING = "destroying"


class CopyEvent(Enum):
    """What can happen to an entity here."""

    ENTER = "enter"
    """`EntityEnterSector`, or part of `SectorInitialState`."""
    SPAWN = "be spawned"
    """The game asks for it."""
    CROSS = "cross"
    """It is beyond its sector's border: `EntityTransitionRequest`."""
    DESTROY = "be destroyed"
    """The game ends it: `DestroyEntities`."""
    ACKNOWLEDGE = "be acknowledged"
    """`AcknowledgeTransition`, or the verdict `ack`: the copy, as it is now, is the entity."""
    REFUSE = "be refused"
    """`RefuseTransition`, or the verdict `back`: likewise. What was to be spawned never was."""
    LEAVE = "leave"
    """`ConfirmTransitionExit`, `ReleaseSector`, or the verdict `drop`."""
    END = "end"
    """`EntitiesDestroyed`."""
    AGAIN = "be asked for again"
    """The verdict `resend`: nothing was decided. `wait`: it was, and the answer follows."""


_C, _D = Copy, CopyEvent

ENTITY_HERE = Life(
    "an entity",
    _C.ABSENT,
    {
        (_C.ABSENT, _D.ENTER): _C.HELD,
        (_C.ABSENT, _D.SPAWN): _C.SPAWNING,
        (_C.HELD, _D.CROSS): _C.PENDING,
        (_C.HELD, _D.DESTROY): _C.DESTROYING,
        (_C.HELD, _D.LEAVE): _C.ABSENT,
        (_C.HELD, _D.END): _C.ABSENT,
        (_C.PENDING, _D.ACKNOWLEDGE): _C.HELD,
        (_C.PENDING, _D.REFUSE): _C.HELD,
        (_C.PENDING, _D.AGAIN): _C.PENDING,
        (_C.PENDING, _D.LEAVE): _C.ABSENT,
        (_C.PENDING, _D.END): _C.ABSENT,
        (_C.SPAWNING, _D.ACKNOWLEDGE): _C.HELD,
        (_C.SPAWNING, _D.REFUSE): _C.ABSENT,
        (_C.SPAWNING, _D.AGAIN): _C.SPAWNING,
        (_C.SPAWNING, _D.LEAVE): _C.ABSENT,
        (_C.SPAWNING, _D.END): _C.ABSENT,
        (_C.DESTROYING, _D.AGAIN): _C.DESTROYING,
        (_C.DESTROYING, _D.LEAVE): _C.ABSENT,
        (_C.DESTROYING, _D.END): _C.ABSENT,
    },
)
