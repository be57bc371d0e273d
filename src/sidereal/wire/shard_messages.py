"""Messages between a shard and the replication server, in the order of the seed.

All of them but the datagram kinds travel in one ordered channel of one session.
Sector messages carry the sector's epoch, entity rows their versions; what does
not match has no effect but a counted reason.
"""

from msgspec import field

from sidereal.errors import ProtocolError
from sidereal.limits import COPY_PARTS_MAX
from sidereal.wire.base import Coords, Count, Id, Message
from sidereal.world.digests import SectorDigests, VersionRows
from sidereal.world.entities import (
    ClaimRows,
    EnterRows,
    EntityRows,
    OutcomeRows,
    PlaceRows,
    StateRows,
    TransitionRows,
)
from sidereal.world.inventory import EntityInventory, EntityVerdicts, SectorInventory
from sidereal.world.rules import WorldRules

NO_PLACES = PlaceRows.empty()

# --- a session opens ---------------------------------------------------------


class RegisterShard(Message, tag=1, frozen=True):
    """Shard → server: the first message of an incarnation, which a restart draws anew."""

    name: str
    incarnation: int
    protocol: int
    term_seen: int
    sent_ns: int
    wants_ghosts: bool


class RegistrationAck(Message, tag=2, frozen=True):
    """Server → shard: you are `shard_id`; these are the rules, the time, and your lease."""

    shard_id: int
    term: int
    rules: WorldRules
    sent_ns: int
    server_ns: int
    origin_ns: int
    lease_ns: int
    heartbeat_ns: int
    load_report_ns: int
    idle_unload_ns: int


class ResumeShard(Message, tag=27, frozen=True):
    """Shard → server: the first message of a later session of the same incarnation.

    It lists all that the shard has. Of the mail of earlier sessions, all up to number
    `mail_seen` had come. By the shard's clock it is world tick `tick`.
    """

    name: str
    incarnation: int
    protocol: int
    term_seen: int
    sent_ns: int
    wants_ghosts: bool
    sectors: SectorInventory
    entities: EntityInventory
    mail_seen: int
    tick: int = 0


class SessionVerdict(Message, tag=28, frozen=True):
    """Server → shard: right after `RegistrationAck`, what the record says of the inventory.

    `sectors` lists those that go on; whatever else was in the inventory is dropped. What the
    record gives the shard beside follows as assignments and arrivals. `mail_taken` is the
    number of the shard's last `SendMail` that came; -1 where none has since this server took over.
    `possessed` names each possessed entity that the shard has, with its session.
    """

    sectors: tuple[Coords, ...]
    entities: EntityVerdicts
    mail_taken: int
    possessed: tuple[tuple[Id, int], ...]


class IncarnationFenced(Message, tag=29, frozen=True):
    """Server → shard: this incarnation is dead or unknown; forget all, register as a new one."""

    reason: str


class GrantIds(Message, tag=3, frozen=True):
    """Server → shard or operator: ids ``first`` to ``first + count - 1`` are yours to spawn."""

    first: int
    count: int


# --- heartbeats and load -----------------------------------------------------


class Heartbeat(Message, tag=4, frozen=True):
    """Shard → server: alive at `sent_ns` by my clock; all mail up to `mail_seen` is done with.

    `heard_ns` is the `server_ns` of the newest answer that came, the registration's included. A
    client sends it too, with zeros, to keep its clock and to hear how much of its mail has come.
    """

    sent_ns: int
    tick: int
    mail_seen: int
    heard_ns: int = 0


class HeartbeatAck(Message, tag=5, frozen=True):
    """Server → shard: the heartbeat of `sent_ns` extends your lease; my clock is `server_ns`.

    Of your mail, all up to number `mail_taken` has come; a client is told -1 where none has since
    this server took over. Where `extends` is false your lease stays
    as it is, because you seem not to hear: say with a heartbeat at once that you did.
    """

    sent_ns: int
    server_ns: int
    mail_taken: int = 0
    extends: bool = True


class ShardLoadStats(Message, frozen=True):
    """What a shard says of its load. Times in milliseconds, absent where not measured."""

    entity_count: Count
    player_count: Count
    avg_tick_time_ms: float | None = None
    cpu_load_percent: float | None = None


class ShardLoadUpdate(Message, tag=6, frozen=True):
    """Shard → server, every few seconds."""

    stats: ShardLoadStats


# --- sectors -----------------------------------------------------------------


class AssignSector(Message, tag=7, frozen=True):
    """Server → shard: simulate this sector from now on; `chunks` of initial state follow.

    `first_time` says that the sector has never been assigned, so that a game can fill it;
    `cause` why it comes: ``activation``, ``migration``, or ``rehomed`` from a dead shard.
    """

    sector: Coords
    epoch: int
    first_time: bool
    chunks: int
    cause: str


class SectorInitialState(Message, tag=8, frozen=True):
    """Server → shard: chunk `chunk` of the sector's entities; after the last it may run.

    `entities` have their whole state; `places` are those that are as in the copy that came
    before, at the same version, but for where they are. What no chunk names is not in the sector.
    """

    sector: Coords
    epoch: int
    chunk: int
    entities: EntityRows
    places: PlaceRows = field(default_factory=lambda: NO_PLACES)


class SectorReady(Message, tag=9, frozen=True):
    """Shard → server: the sector runs here."""

    sector: Coords
    epoch: int


class CopySector(Message, tag=35, frozen=True):
    """Server → shard: say what is in this sector, which goes on: it is to move, in this attempt."""

    sector: Coords
    epoch: int
    attempt: int


class SectorCopy(Message, tag=36, frozen=True):
    """Shard → server → target: some of what is in a running sector; `left` more of these follow.

    A copy gives no rights. It is of use for the move of that epoch and attempt alone.
    """

    sector: Coords
    epoch: int
    attempt: int
    left: Count
    entities: EntityRows

    def left_after(self, before: int | None) -> int:
        """Return how many parts follow this one, where ``before`` were to: None before the first.

        Raises
        ------
        ProtocolError
            They are not counted down to 0, or are too many: a copy without an end.
        """
        if before is None and self.left >= COPY_PARTS_MAX:
            raise ProtocolError(
                f"SectorCopy {self.sector}: {self.left} more parts, at most {COPY_PARTS_MAX} in all"
            )
        if before is not None and self.left != before - 1:
            raise ProtocolError(
                f"SectorCopy {self.sector}: {self.left} more parts, {before - 1} were to follow"
            )
        return self.left


class SectorCopied(Message, tag=37, frozen=True):
    """Target → server: the whole copy is here."""

    sector: Coords
    epoch: int
    attempt: int


class DropCopy(Message, tag=38, frozen=True):
    """Server → source or target: the move was given up; forget its copy."""

    sector: Coords
    epoch: int
    attempt: int


class UnassignSector(Message, tag=10, frozen=True):
    """Server → shard: freeze this sector and say what is in it; `attempt` numbers the freeze."""

    sector: Coords
    epoch: int
    attempt: int


class SectorLastStates(Message, tag=34, frozen=True):
    """Shard → server: some of a frozen sector's last states; `SectorRemoved` brings the rest."""

    sector: Coords
    epoch: int
    attempt: int
    entities: EntityRows
    places: PlaceRows = field(default_factory=lambda: NO_PLACES)


class SectorRemoved(Message, tag=11, frozen=True):
    """Shard → server: frozen; these are all entities of the sector, pending ones too, but for
    those that `SectorLastStates` brought just before. `places` are those that are as in the copy
    of this attempt, at the same version, but for where they are.

    Of the mail that came up to number `mail_seen`, all but the numbers `mail_held` has been
    given to the game; those, and later ones, to entities of this sector go on with them.
    """

    sector: Coords
    epoch: int
    attempt: int
    entities: EntityRows
    mail_seen: int = 0
    mail_held: tuple[int, ...] = ()
    places: PlaceRows = field(default_factory=lambda: NO_PLACES)


class ReleaseSector(Message, tag=12, frozen=True):
    """Server → shard: decided; drop the frozen copy."""

    sector: Coords
    epoch: int
    attempt: int


class ResumeSector(Message, tag=13, frozen=True):
    """Server → shard: given up; go on simulating the frozen sector."""

    sector: Coords
    epoch: int
    attempt: int


class ProposeSectorDeactivation(Message, tag=14, frozen=True):
    """Shard → server: the sector has been empty for the idle time."""

    sector: Coords
    epoch: int


# --- entities ----------------------------------------------------------------


class EntityTransitionRequest(Message, tag=15, frozen=True):
    """Shard → server: these entities crossed a border, or (version 0) are to be spawned.

    `mail_seen` and `mail_held` are as in `SectorRemoved`, for these entities.
    """

    entities: TransitionRows
    mail_seen: int = 0
    mail_held: tuple[int, ...] = ()


class AcknowledgeTransition(Message, tag=16, frozen=True):
    """Server → shard: they are yours in the new sector, at the new version and handle."""

    outcomes: OutcomeRows


class ConfirmTransitionExit(Message, tag=17, frozen=True):
    """Server → shard: for exactly the version asked for, they are no longer yours: drop them."""

    claims: ClaimRows


class RefuseTransition(Message, tag=18, frozen=True):
    """Server → shard: not now; they stay yours as they are. `reason` is for people."""

    outcomes: OutcomeRows
    reason: str


class EntityEnterSector(Message, tag=19, frozen=True):
    """Server → shard: these entities enter your sectors; simulate them."""

    entities: EnterRows


class DestroyEntities(Message, tag=20, frozen=True):
    """Shard → server: the holder destroys them, at these versions.

    `mail_seen` and `mail_held` are as in `SectorRemoved`: the rest comes too late for them.
    """

    claims: ClaimRows
    mail_seen: int = 0
    mail_held: tuple[int, ...] = ()


class EntitiesDestroyed(Message, tag=21, frozen=True):
    """Server → shard: they no longer exist, whatever you asked for them."""

    claims: ClaimRows


class EntityStates(Message, tag=26, frozen=True):
    """Shard → server: changed states that no datagram holds."""

    states: StateRows


class AuditQuestion(Message, tag=30, frozen=True):
    """Server → shard: say what you have: digests of all sectors, or the rows of these."""

    number: int
    sectors: tuple[Coords, ...]


class AuditDigests(Message, tag=31, frozen=True):
    """Shard → server: digests of what it has, but for rows that await an answer."""

    number: int
    digests: SectorDigests


class AuditRows(Message, tag=32, frozen=True):
    """Shard → server: the rows of the sectors asked for, but for those that await an answer."""

    number: int
    entities: VersionRows


class EntityPlaces(Message, tag=33, frozen=True):
    """Shard → server: where entities are that `EntityUpdate` cannot place: members of a group that
    are more than a sector away from their root's, or too fast for its velocities.
    """

    places: PlaceRows


# --- mail --------------------------------------------------------------------


class SendMail(Message, tag=22, frozen=True):
    """Shard or client → server: bring `payload` to whoever holds `entity`.

    Who writes numbers its own, from 1, and says again after a break what may not have come.
    """

    entity: Id
    payload: bytes
    number: int = 0


class DeliverMail(Message, tag=23, frozen=True):
    """Server → shard: the `number`-th message to this incarnation; `sender` as ``kind:name``."""

    number: int
    entity: Id
    sender: str
    payload: bytes


class MailRefused(Message, tag=24, frozen=True):
    """Server → sender: this message was not taken, and why."""

    entity: Id
    reason: str


class Possession(Message, tag=25, frozen=True):
    """Server → shard: a client took (`held`) or lost an entity that you simulate."""

    entity: Id
    session: int
    held: bool
