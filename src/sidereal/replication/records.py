"""What the journal holds: one record a decision, with the state that its new holder starts from.

Offers, loading, freezes, copies, updates and leases are not decisions. The
record of the world is what all records amount to, in order: who owns each
sector at which epoch, and each entity's version, sector, group and state.

A record is MessagePack, as messages are. `FORMAT` rises when its bytes change
meaning; a journal of another format is refused.
"""

from typing import ClassVar, Union

import msgspec

from sidereal.errors import StoreDamaged
from sidereal.wire.base import Coords
from sidereal.wire.codec import columns_from_bytes, columns_to_bytes
from sidereal.world.columns import I32, U32, U64, Columns
from sidereal.world.entities import ClaimRows, EntityRows

FORMAT = 2
READABLE = (1, FORMAT)
"""In format 1, `Began` ends before `by_wall`."""


class Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One decision. Field order is the journal's format: append, never reorder."""


class CrossRows(Columns):
    """Entities in another sector of the same shard: ``sector`` i32 (n, 2), ``version`` u32."""

    LAYOUT: ClassVar[dict[str, tuple[str, int]]] = {
        "ids": ("<u8", 1),
        "group": ("<u8", 1),
        "sector": ("<i4", 2),
        "version": ("<u4", 1),
    }

    ids: U64
    group: U64
    sector: I32
    version: U32


class SectorRows(Columns):
    """Sectors: ``sector`` i32 (n, 2), ``epoch`` u32, ``shard`` i32, -1 where nobody owns it."""

    LAYOUT: ClassVar[dict[str, tuple[str, int]]] = {
        "sector": ("<i4", 2),
        "epoch": ("<u4", 1),
        "shard": ("<i4", 1),
    }

    sector: I32
    epoch: U32
    shard: I32


class Began(Record, tag=1, frozen=True):
    """A server took the lead, at `now_ns` of the clock `clock` and `wall_ns` since 1970."""

    format: int
    term: int
    origin_ns: int
    clock: str
    now_ns: int
    wall_ns: int
    sector_size: float
    tick_hz: float
    by_wall: bool = False
    """Its predecessor had another clock, and what that one's shards know is not heard yet."""


class Registered(Record, tag=2, frozen=True):
    """An incarnation of a shard has this id."""

    shard_id: int
    name: str
    incarnation: int
    wants_ghosts: bool


class Granted(Record, tag=3, frozen=True):
    """Ids from `first` on are granted: to a shard, or (-1) to a tool."""

    shard_id: int
    first: int
    count: int


class Assigned(Record, tag=4, frozen=True):
    """A sector has an owner, which starts from `states`; its own shadows `kept` are entities."""

    sector: Coords
    epoch: int
    shard_id: int
    states: EntityRows
    kept: ClaimRows


class Unloaded(Record, tag=5, frozen=True):
    """Nobody owns a sector any more; these are the last states in it."""

    sector: Coords
    states: EntityRows


class Crossed(Record, tag=6, frozen=True):
    """Entities are in another sector of the shard that has them, as they are there."""

    entities: CrossRows


class HandedOff(Record, tag=7, frozen=True):
    """Entities are in another sector, at these versions; their next holder starts from this."""

    entities: EntityRows


class Spawned(Record, tag=8, frozen=True):
    """A shard made entities; ids up to the highest are decided."""

    shard_id: int
    entities: EntityRows


class Placed(Record, tag=9, frozen=True):
    """A tool made entities."""

    entities: EntityRows


class Destroyed(Record, tag=10, frozen=True):
    """Entities are no more."""

    claims: ClaimRows


class Fenced(Record, tag=11, frozen=True):
    """An incarnation is dead; what it owned is nobody's. `states` are the newest received of it."""

    shard_id: int
    states: EntityRows


class SessionOpened(Record, tag=12, frozen=True):
    """A client may resume its session with this token."""

    number: int
    token: bytes


class SessionOver(Record, tag=13, frozen=True):
    """A client's session can be resumed no more."""

    number: int


class Possessed(Record, tag=14, frozen=True):
    """A session took an entity, or let it go."""

    number: int
    entity: int
    held: bool


class Cordoned(Record, tag=15, frozen=True):
    """An operator lets a shard have no more sectors (or again); what it has goes to others."""

    shard_id: int
    cordoned: bool
    draining: bool


class ShardImage(msgspec.Struct, frozen=True, array_like=True):
    """One living incarnation, as `Image` keeps it."""

    shard_id: int
    name: str
    incarnation: int
    wants_ghosts: bool
    spawn_serial: int
    grants: list[tuple[int, int]]
    cordoned: bool = False
    draining: bool = False


class Image(Record, tag=20, frozen=True):
    """The whole record at one position of the journal, with the newest states received.

    `sent` has a byte an entity: whether its state was sent to its holder at this version.
    `tool_ids`: first, count and highest used of each block of ids that tools were granted.
    """

    began: Began
    next_id: int
    next_shard: int
    next_session: int
    created: int
    destroyed: int
    shards: list[ShardImage]
    sectors: SectorRows
    entities: EntityRows
    sent: bytes
    sessions: list[tuple[int, bytes, list[int]]]
    tool_ids: list[tuple[int, int, int]] = []


AnyRecord = (
    Began
    | Registered
    | Granted
    | Assigned
    | Unloaded
    | Crossed
    | HandedOff
    | Spawned
    | Placed
    | Destroyed
    | Fenced
    | SessionOpened
    | SessionOver
    | Possessed
    | Cordoned
    | Image
)

_encoder = msgspec.msgpack.Encoder(enc_hook=columns_to_bytes)
_decoder: msgspec.msgpack.Decoder[AnyRecord] = msgspec.msgpack.Decoder(
    Union[AnyRecord.__args__],  # noqa: UP007
    dec_hook=columns_from_bytes,
)


def encode(record: AnyRecord) -> bytes:
    """Return the bytes of `record`."""
    return _encoder.encode(record)


def decode(data: bytes) -> AnyRecord:
    """Return the record that `data` holds; raise `StoreDamaged` where it holds none."""
    try:
        return _decoder.decode(data)
    except Exception as error:
        raise StoreDamaged("this journal", f"a record of {len(data)} bytes: {error}") from error
