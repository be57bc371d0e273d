"""The names that a game server or a tool is meant to use; ``import sidereal`` finds them all."""

from sidereal.runtime.client import Client
from sidereal.runtime.embed import Shard
from sidereal.runtime.operator import Operator
from sidereal.shard.events import (
    EntitiesCrossing,
    EntitiesDestroyed,
    EntitiesEntered,
    EntitiesExited,
    EntitiesKept,
    GhostsChanged,
    LeaseLost,
    LeaseRegained,
    LinkLost,
    MailReceived,
    MailRefused,
    PositionsInvalid,
    PossessionChanged,
    Registered,
    SectorAssigned,
    SectorFrozen,
    SectorResumed,
    SectorUnassigned,
    SessionEnded,
    SessionResumed,
)
from sidereal.world.batch import Ghosts, Spawn, World
from sidereal.world.rules import WorldRules

__all__ = [
    "Client",
    "EntitiesCrossing",
    "EntitiesDestroyed",
    "EntitiesEntered",
    "EntitiesExited",
    "EntitiesKept",
    "Ghosts",
    "GhostsChanged",
    "LeaseLost",
    "LeaseRegained",
    "LinkLost",
    "MailReceived",
    "MailRefused",
    "Operator",
    "PositionsInvalid",
    "PossessionChanged",
    "Registered",
    "SectorAssigned",
    "SectorFrozen",
    "SectorResumed",
    "SectorUnassigned",
    "SessionEnded",
    "SessionResumed",
    "Shard",
    "Spawn",
    "World",
    "WorldRules",
]
