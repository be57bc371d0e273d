"""Messages between an operator's tool and the replication server."""

from typing import ClassVar

from msgspec import field

from sidereal.wire.base import Coords, Id, Message
from sidereal.world.columns import I32, U8, U32, Columns
from sidereal.world.entities import ClaimRows, EntityRows


class RequestIds(Message, tag=60, frozen=True):
    """Operator or shard → server: grant me `count` ids (answered by `GrantIds`)."""

    count: int


class SpawnEntities(Message, tag=61, frozen=True):
    """Operator → server: create these, wherever they are; answered by `SpawnOutcome`.

    A ``tick`` of 0 stands for the present one.
    """

    request: int
    entities: EntityRows


class SpawnOutcome(Message, tag=62, frozen=True):
    """Server → operator: so many were created; these ids were not, and why.

    ``used`` are those of the refused whose ids were granted and have been used before.
    """

    request: int
    created: int
    refused: list[int]
    reason: str
    used: list[int] = field(default_factory=list)


class DestroyByOperator(Message, tag=63, frozen=True):
    """Operator → server: destroy these, whoever holds them, at whatever version."""

    request: int
    ids: list[Id]


class Command(Message, tag=64, frozen=True):
    """Operator → server: ``load``, ``unload`` or ``migrate`` a sector; ``cordon`` a shard, so that
    it gets no sectors, ``drain`` it, so that those it has go to others too, or ``uncordon`` it.
    """

    request: int
    verb: str
    sector: Coords | None
    shard: int | None


class CommandOutcome(Message, tag=65, frozen=True):
    """Server → operator: done (or begun), or why not."""

    request: int
    ok: bool
    detail: str


class StatusRequest(Message, tag=66, frozen=True):
    """Operator → server: how is the world? Answered by `Status`."""

    request: int


class SectorRows(Columns):
    """The sector map: ``sector`` i32 (n, 2), ``epoch`` u32, ``entities`` u32, ``shard`` i32,
    ``state`` u8 (0 Unloaded, 1 Loading, 2 Active, 3 Unloading).
    """

    LAYOUT: ClassVar[dict[str, tuple[str, int]]] = {
        "sector": ("<i4", 2),
        "epoch": ("<u4", 1),
        "entities": ("<u4", 1),
        "shard": ("<i4", 1),
        "state": ("u1", 1),
    }

    sector: I32
    epoch: U32
    entities: U32
    shard: I32
    state: U8


class ShardStatus(Message, frozen=True):
    """One shard, as the server sees it."""

    shard_id: int
    name: str
    incarnation: int
    alive: bool
    draining: bool
    sectors: int
    entities: int
    load: float
    tick_ms: float | None
    cordoned: bool = False


class Status(Message, tag=67, frozen=True):
    """Server → operator: shards, the sector map, and the counters since the start.

    Of the `entities`, `scheduled` begin in a later tick; the shards' numbers leave those out.
    """

    request: int
    tick: int
    term: int
    entities: int
    scheduled: int
    custody: int
    custody_oldest_ns: int
    shards: list[ShardStatus]
    sectors: SectorRows
    counters: dict[str, int]
    freezes_ns: list[int]
    rehomed_age_ticks_max: int


class Why(Message, tag=68, frozen=True):
    """Operator → server: why is this sector where it is? Answered by `CommandOutcome`."""

    request: int
    sector: Coords


class DestroyOutcome(Message, tag=69, frozen=True):
    """Server → operator: so many were destroyed."""

    request: int
    destroyed: ClaimRows
