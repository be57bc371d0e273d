"""`ShardCore`: one shard's side of the protocol, as a state machine.

Messages and time go in; `poll` drains what is to be sent, `events` what the game
is told. A game's tick is: `runnable` → simulate those rows → `move`,
`set_states` → `complete`. Between the first and the last nothing is received.
"""

from collections.abc import Sequence

import numpy as np

from sidereal.errors import LimitError, ProtocolError
from sidereal.ids import Incarnation, Sector, ShardId
from sidereal.kernel import ABSENT, sectors
from sidereal.limits import ID_BLOCK, MAIL_BYTES_MAX, PARCEL_BYTES_MAX
from sidereal.shard import audit, resumption
from sidereal.shard import events as ev
from sidereal.shard.answers import Answers
from sidereal.shard.doomed import Doomed
from sidereal.shard.grants import Grants
from sidereal.shard.holdings import Holdings
from sidereal.shard.letters import Letters
from sidereal.shard.lives import SessionEvent, Stage
from sidereal.shard.load import Load
from sidereal.shard.mailbox import Mailbox
from sidereal.shard.outbox import Outbox
from sidereal.shard.phase import DESTROYING, SHADOW, SPAWNING, STILL
from sidereal.shard.sectors import Sectors
from sidereal.shard.session import Session
from sidereal.shard.sightings import Sightings
from sidereal.shard.steering import Steering
from sidereal.wire import operator_messages as om
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import Message
from sidereal.wire.datagrams import PAYLOAD_BYTES
from sidereal.world.clock import WorldClock
from sidereal.world.columns import F32, F64, U8, U32, U64
from sidereal.world.entities import ClaimRows, EntityRows, TransitionRows
from sidereal.world.rules import NS_PER_S, WorldRules


class ShardCore:
    """One incarnation of one shard, through all its sessions.

    Parameters
    ----------
    name
        Its configured name; its key is for that name.
    incarnation
        Drawn at random by the caller, new for each life.
    wants_ghosts
        Whether to be sent copies of what lies across its borders.
    """

    def __init__(
        self, name: str, incarnation: Incarnation, *, wants_ghosts: bool = False, term_seen: int = 0
    ) -> None:
        self.session = Session(name, incarnation, wants_ghosts, term_seen)
        self.rules = WorldRules()
        self.holdings = Holdings(self.rules)
        self.sectors = Sectors(self.holdings)
        self._answers = Answers(self.holdings, self.sectors)
        self._outbox = Outbox(self.rules)
        self.payload_bytes = PAYLOAD_BYTES  # of the longest datagram that the link carries
        self._send: list[Message] = []
        self._held_back: list[Message] = []
        self._payloads: list[bytes] = []
        self._events: list[ev.Event] = []
        self._heartbeat_at = self._report_at = self._propose_at = self._doom_at = 0
        self._mailbox = Mailbox()
        self._sightings = Sightings()
        self._ids = Grants()
        self._load = Load()
        self._doomed = Doomed()
        self._letters = Letters()
        self._steering = Steering()
        self.fenced = False
        """The server has given up this incarnation: nothing here counts any more."""

    @property
    def name(self) -> str:
        """The shard's configured name."""
        return self.session.name

    @property
    def incarnation(self) -> Incarnation:
        """Which life of that name this is."""
        return self.session.incarnation

    @property
    def term_seen(self) -> int:
        """The highest term of a server that it has talked to."""
        return self.session.term_seen

    @property
    def shard_id(self) -> ShardId | None:
        """What the server calls it; None before it is registered."""
        return self.session.shard_id

    @property
    def clock(self) -> WorldClock | None:
        """World time; None before it is registered."""
        return self.session.clock

    # --- session -------------------------------------------------------------

    def open(self, now: int) -> None:
        """Begin a session: register, or resume with all that is here."""
        opening = self.session.opening(now)
        if self.clock is None:
            self._send = [opening]
            return
        here = self.holdings, self.sectors, self._mailbox
        self._send = [resumption.inventory(opening, self.clock.tick_at(now), *here)]

    def lost(self) -> None:
        """The link has ended: what was in flight is forgotten; the simulation goes on."""
        self.session.happen(SessionEvent.LOST)
        self._send, self._held_back, self._payloads = [], [], []
        self._outbox.forget()
        self._ids.asked = False

    def receive(self, message: Message, now: int) -> None:
        """Take one message of the server's; raise `ProtocolError` where it makes no sense."""
        if not self.session.is_open:
            self._opened_by(message, now)
            return
        match message:
            case sm.HeartbeatAck():
                self.session.answered(message, now)
                self.session.watch(now, self._events)
                self._letters.taken(message.mail_taken)
                if not message.extends:  # because the last answers did not come: this one did
                    self._heartbeat_at = now
            case sm.GrantIds():
                self._ids.put(message.first, message.count)
            case sm.EntityEnterSector():
                self._answers.enter(message.entities, self._events)
            case sm.AcknowledgeTransition():
                self._answers.acknowledge(message.outcomes, self._events)
            case sm.ConfirmTransitionExit():
                self._answers.exit(message.claims, self._events)
                self._forget_gone()
            case sm.RefuseTransition():
                self._answers.refuse(message.outcomes, self._events)
                self._forget_gone()
            case sm.EntitiesDestroyed():
                self._answers.destroyed(message.claims, self._events)
                self._forget_gone()
            case sm.AuditQuestion():
                self._send.append(audit.answer(message, self.holdings))
            case sm.DeliverMail():
                self._mailbox.put(message)
            case sm.MailRefused():
                self._events.append(ev.MailRefused(message.entity, message.reason))
            case sm.Possession():
                self._steering.changed(message.entity, message.session, message.held, self._events)
            case sm.ReleaseSector():
                self.sectors.release(message, self._events)
                self._forget_gone()
            case _:
                here = self._mailbox, self._send, self._events
                if not self.sectors.receive(message, *here):
                    kind = type(message).__name__
                    raise ProtocolError(f"a server may not send {kind} to a shard")

    def receive_datagrams(self, payloads: Sequence[bytes], now: int) -> None:
        """Take ghosts; what does not parse is dropped and counted, since it is only a picture."""
        del now
        changed = self._sightings.take(payloads)
        if changed is not None:
            self._events.append(changed)

    def tick(self, now: int) -> None:
        """Do what is due: heartbeats, reports, proposals; notice a lease that is over."""
        ack = self.session.ack
        if ack is None:
            return
        self.session.watch(now, self._events)
        if not self.session.is_open:
            return
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + ack.heartbeat_ns
            self._send.append(self.session.heartbeat(now, self._mailbox.settled()))
        if now >= self._report_at:
            self._report_at = now + ack.load_report_ns
            self._send.append(sm.ShardLoadUpdate(self._load.report(self.holdings.table)))
        if len(self._doomed) and self.session.leased and now >= self._doom_at:
            self._doom_at = now + self.rules.tick_ns  # and not with each message that comes
            self.destroy(self._doomed.take())
        if now >= self._propose_at:
            self._propose_at = now + NS_PER_S // 2
            self._send += self.sectors.propose(ack.idle_unload_ns, now)

    def poll(self) -> tuple[list[Message], list[bytes]]:
        """Return, and forget, the messages and the datagrams that are to be sent."""
        out = self._send, self._payloads
        self._send, self._payloads = [], []
        return out

    def sent_datagrams(self, first_token: int) -> None:
        """Say which token the transport gave the first datagram of the last `poll`."""
        self._outbox.sent(first_token)

    def notice(self, acked: Sequence[int], lost: Sequence[int]) -> None:
        """Take the transport's notice of datagrams that arrived or were lost."""
        self._outbox.notice(self.holdings.table, acked, lost)

    def events(self) -> list[ev.Event]:
        """Return, and forget, what the game is to be told, in order; mail comes last."""
        out, self._events = self._events, []
        out += [
            ev.MailReceived(letter.entity, letter.sender, letter.payload)
            for letter in self._mailbox.take(self.holdings.table)
        ]
        return out

    # --- a tick of the game --------------------------------------------------

    def has_lease(self, now: int) -> bool:
        """Whether anything may be simulated at `now`."""
        return self.session.has_lease(now)

    def runnable(self, tick: int) -> U32:
        """Return the slots that `tick` simulates; shadows among them."""
        return self.holdings.runnable(tick)

    def move(self, slots: U32, position: F64, velocity: F64) -> None:
        """Write what the game made of the rows; invalid positions stay, and an event says so."""
        invalid = self.holdings.move(slots, position, velocity)
        if len(invalid):
            self._events.append(ev.PositionsInvalid(invalid))

    def set_states(self, slots: U32, lengths: U32, states: U8) -> None:
        """Write state blobs (``lengths`` u32 (n,), ``states`` u8) that the game changed."""
        self.holdings.set_states(slots, lengths, states)

    def complete(
        self,
        tick: int,
        slots: U32,
        now: int,
        step_ms: float | None = None,
        destroyed: Sequence[U64] = (),
        *,
        behind: bool = False,
    ) -> bool:
        """End a tick: destroy, request transitions, send updates. False: the lease ended meanwhile.

        `behind`: the next tick is due already; its updates can do for those of this one. Without a
        lease nothing of the step leaves: the rows are as simulated, in memory only, and
        what was to be destroyed is, once the lease is back.
        """
        table = self.holdings.table
        table.stamp(slots, tick)
        if not self.has_lease(now):
            self._doomed.add(table, *destroyed)
            self.tick(now)
            return False
        for ids in destroyed:  # before anybody is asked to take them over
            self.destroy(ids)
        if self.session.is_open:
            rows = self.holdings.crossing()
            if len(rows):
                self._request(rows)
                self._events.append(ev.EntitiesCrossing(rows.ids, rows.version, tick))
            own, room = self.holdings.own, self.payload_bytes
            self._payloads += self._outbox.collect(table, own, tick, room, behind=behind)
            self._send += self._outbox.messages(table)
        self.holdings.order.keep()
        if step_ms is not None:
            self._load.stepped(step_ms)
        return True

    # --- the game's wishes ---------------------------------------------------

    def spawn(
        self,
        tick: int,
        position: F64,
        velocity: F64,
        *,
        lengths: U32 | None = None,
        states: U8 | None = None,
        flags: U32 | None = None,
        sensor: F32 | None = None,
        group: U64 | None = None,
    ) -> U64:
        """Ask for new entities; they are shadows until acknowledged. Returns their ids.

        ``group`` u64 (n,) names for each the entity that it stays with, 0 for none: one that
        this shard holds, and that runs. `ValueError` where it does not.
        """
        count = len(position)
        where, invalid = sectors(np.ascontiguousarray(position), self.rules.sector_size)
        if len(invalid):
            x, y = position[invalid[0]]
            raise ValueError(
                f"spawn: {len(invalid)} positions lie outside the world, the first ({x}, {y})"
            )
        group = np.zeros(count, np.uint64) if group is None else np.asarray(group, np.uint64)
        joining = group != 0
        if joining.any():
            where[joining] = self.holdings.sectors_of_roots(group[joining])
        # Ids are decided in rising order, and groups are asked for last.
        ids = np.empty(count, np.uint64)
        ids[np.argsort(joining, kind="stable")] = self._take_ids(count)
        rows = EntityRows(
            ids=ids,
            group=group,
            position=position,
            velocity=velocity,
            sector=where,
            version=np.zeros(count, np.uint32),
            handle=np.full(count, ABSENT, np.uint32),
            tick=np.full(count, tick, np.uint32),
            flags=np.zeros(count, np.uint32) if flags is None else flags,
            sensor=np.zeros(count, np.float32) if sensor is None else sensor,
            lengths=np.zeros(count, np.uint32) if lengths is None else lengths,
            states=np.empty(0, np.uint8) if states is None else states,
        )
        rows.check()
        self._answers.install(rows, SPAWNING)
        self._ask_for(ids)
        return ids

    def destroy(self, ids: U64) -> None:
        """Destroy what is held; shadows and frozen rows once they turn out to be held, if so."""
        table = self.holdings.table
        slots = table.slots(np.unique(np.asarray(ids, np.uint64)))
        slots = slots[slots != ABSENT]
        undecided = slots[table.phase[slots] & (SHADOW | STILL) != 0]
        self._doomed.add(table, table.ids[undecided])
        slots = slots[table.phase[slots] == 0]
        if len(slots):
            table.phase[slots] |= DESTROYING
            claims = ClaimRows(ids=table.ids[slots], version=table.version[slots])
            held = self._mailbox.held(claims.ids)
            self._say(sm.DestroyEntities(claims, self._mailbox.seen, held))

    def send_mail(self, entity: int, payload: bytes) -> None:
        """Send bytes to whichever shard holds `entity`."""
        if len(payload) > MAIL_BYTES_MAX:
            raise LimitError(f"a message of {len(payload)} bytes; at most {MAIL_BYTES_MAX}")
        letter = self._letters.write(entity, payload)
        if self.session.is_open:
            self._send.append(letter)

    # --- inside --------------------------------------------------------------

    def _say(self, message: Message) -> None:
        """Send. What is asked for without a session shows in the next one's inventory; what is
        asked for while a session opens is said once it is open.
        """
        if self.session.is_open:
            self._send.append(message)
        elif self.session.stage is not Stage.CLOSED:
            self._held_back.append(message)

    def _forget_gone(self) -> None:
        """Entities may have left: what waited for them here goes with them."""
        self._mailbox.forget_gone(self.holdings.table)
        self._doomed.forget_gone(self.holdings.table)

    def _opened_by(self, message: Message, now: int) -> None:
        session = self.session
        match message, session.stage:
            case sm.RegistrationAck(), Stage.OPENING:
                first = self.shard_id is None
                session.registered(message, now)
                session.watch(now, self._events)
                self._heartbeat_at = self._report_at = now
                if first:
                    self._begin(message)
            case sm.IncarnationFenced(), Stage.OPENING if self.shard_id is not None:
                self._give_up(message.reason)
            case sm.SessionVerdict(), Stage.JUDGED:
                session.happen(SessionEvent.VERDICT)
                self._judged(message)
            case _:
                raise ProtocolError(
                    f"{type(message).__name__} while the session is {session.stage.value}"
                )

    def _begin(self, ack: sm.RegistrationAck) -> None:
        self.rules = ack.rules
        self.holdings = Holdings(ack.rules)
        self.sectors = Sectors(self.holdings)
        self._answers = Answers(self.holdings, self.sectors)
        self._outbox = Outbox(ack.rules)
        self._letters.resume(0, ack.term, self._send, self._events)
        self._events.append(ev.Registered(ShardId(ack.shard_id), ack.rules))

    def _judged(self, verdict: sm.SessionVerdict) -> None:
        rows, send = verdict.entities, self._send
        doomed = resumption.obey(self.holdings, self.sectors, verdict, send, self._events)
        self._forget_gone()
        spawning = resumption.spawning(self.holdings, rows)
        if len(spawning):
            self._ask_for(spawning)
        self.destroy(doomed)
        send += self._held_back
        self._held_back = []
        self._letters.resume(verdict.mail_taken, self.term_seen, send, self._events)
        self._steering.resume(dict(verdict.possessed), self._events)
        self._events.append(ev.SessionResumed())

    def _give_up(self, reason: str) -> None:
        table = self.holdings.table
        self._letters.give_up(
            "whether it came is not known: this incarnation is dead", self._events
        )
        self._events.append(
            ev.SessionEnded(reason, table.ids.copy(), table.version.copy(), table.tick.copy())
        )
        self.fenced = True
        self.session.give_up()

    def _ask_for(self, ids: U64) -> None:
        """Ask for entities that are to be spawned."""
        table = self.holdings.table
        slots = table.slots(ids)
        alone = slots[table.group[slots] == 0]
        # A shadow moves: asked for again, it asks for where it is by now.
        table.sector[alone], _ = sectors(table.position[alone], self.rules.sector_size)
        requests = self.holdings.request(slots, table.sector[slots])
        table.phase[slots] = SPAWNING
        self._request(requests)

    def _request(self, rows: TransitionRows) -> None:
        spawning = not np.count_nonzero(rows.version)
        if spawning:  # decided in rising order of their ids, each one for itself
            rows = rows.take(np.argsort(rows.ids))
        for part in rows.parcels(PARCEL_BYTES_MAX, whole_groups=not spawning):
            self._ask(part)

    def _ask(self, rows: TransitionRows) -> None:
        held = self._mailbox.held(rows.ids)
        self._say(sm.EntityTransitionRequest(rows, self._mailbox.seen, held))

    def _take_ids(self, count: int) -> U64:
        if self._ids.low_without(count) and not self._ids.asked and self.session.is_open:
            self._ids.asked = True
            self._send.append(om.RequestIds(ID_BLOCK))
        return self._ids.take(count)

    def sector_list(self) -> list[Sector]:
        """Return the sectors that this shard has, in the order of their assignment."""
        return list(self.sectors.held)
