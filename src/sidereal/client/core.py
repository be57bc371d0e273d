"""`ClientCore`: a game client's session, as a state machine.

Messages, datagrams and time go in; `poll` drains what is to be sent, `events`
what the game is told. It outlives its link: `open` begins the next one, resumes
the session where the server still has it, and says again what is to be seen and
steered, and those letters that had not come when a link broke (`letters`).
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from sidereal.client import events as ev
from sidereal.client.letters import Letters
from sidereal.client.sight import Sight
from sidereal.errors import LimitError, ProtocolError
from sidereal.kernel import unpack_ghosts
from sidereal.limits import MAIL_BYTES_MAX, SUBSCRIPTIONS_PER_CLIENT_MAX
from sidereal.wire import client_messages as cm
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import PROTOCOL_VERSION, Message
from sidereal.wire.datagrams import CLIENT_UPDATE
from sidereal.world.clock import WorldClock
from sidereal.world.rules import NS_PER_S

HEARTBEAT_NS = NS_PER_S
"""How often a client asks for the server's clock."""


class ClientCore:
    """One client's session, over one link after the other."""

    def __init__(self) -> None:
        self.session: int | None = None
        """The number that the server gave it; None until the first welcome."""
        self.clock: WorldClock | None = None
        self.datagrams_malformed = 0
        self._token = b""
        self._welcomed = False
        self._opened_ns = 0
        self._heartbeat_at = 0
        self._sight = Sight()
        self._subscriptions: dict[int, cm.Subscribe] = {}
        self._next_subscription = 1
        self._wanted: dict[int, None] = {}
        self._unwanted: dict[int, None] = {}
        """Released, and not answered yet: said again in the next session."""
        self._unanswered: Counter[int] = Counter()
        """Entities, with how often this session has asked to steer or to release each."""
        self._letters = Letters()
        self._send: list[Message] = []
        self._events: list[ev.Event] = []

    # --- session -------------------------------------------------------------

    def open(self, now: int) -> None:
        """Begin a session over a new link, or go on with the one from before."""
        self._opened_ns = now
        self._send = [cm.ClientHello(PROTOCOL_VERSION, self.session or 0, self._token)]

    def ended(self, reason: str) -> None:
        """The link is gone."""
        self._welcomed = False
        self._letters.link_ended()
        self._send = []
        if len(self._sight.ids):
            nothing = np.zeros(len(self._sight.ids), bool)
            self._events.append(ev.EntitiesLeft(self._sight.ids, nothing))
        self._sight = Sight()
        self._events.append(ev.SessionEnded(reason))

    @property
    def welcomed(self) -> bool:
        """Whether the session is open now."""
        return self._welcomed

    def receive(self, message: Message, now: int) -> None:
        """Take one message of the server's; raise `ProtocolError` where it makes no sense."""
        if not self._welcomed and not isinstance(message, cm.ClientWelcome):
            raise ProtocolError(f"{type(message).__name__} before ClientWelcome")
        match message:
            case cm.ClientWelcome():
                self._welcome(message, now)
            case cm.EntitiesEnter():
                self._events.append(ev.EntitiesEntered(message.entities))
                self._events += self._sight.enter(message.entities)
            case cm.EntitiesLeave():
                rows = message.entities
                self._sight.leave(rows.ids)
                self._events.append(ev.EntitiesLeft(rows.ids, rows.destroyed != 0))
            case cm.EntitiesChanged():
                self._events.append(ev.EntitiesChanged(message.states))
            case cm.PossessOutcome():
                self._unanswered[message.entity] -= 1
                latest = self._unanswered[message.entity] <= 0
                if latest:  # an answer to an older wish says nothing of the newest
                    del self._unanswered[message.entity]
                if latest and not message.held:
                    self._wanted.pop(message.entity, None)
                    self._unwanted.pop(message.entity, None)
                self._events.append(
                    ev.PossessionAnswered(message.entity, message.held, message.reason)
                )
            case sm.MailRefused():
                self._events.append(ev.MailRefused(message.entity, message.reason))
            case sm.HeartbeatAck():
                assert self.clock is not None
                if message.sent_ns > now:
                    raise ProtocolError("an answer to a heartbeat that was never sent")
                self.clock.sample(message.sent_ns, message.server_ns, now)
                self._letters.answered(message.mail_taken, self._send, self._events)
            case _:
                raise ProtocolError(f"a server may not send {type(message).__name__} to a client")

    def receive_datagrams(self, payloads: Sequence[bytes], now: int) -> None:
        """Take updates; what does not parse is dropped and counted."""
        del now
        for payload in payloads:
            if not payload or payload[0] != CLIENT_UPDATE:
                self.datagrams_malformed += 1
                continue
            try:
                told = ev.EntitiesUpdated(*unpack_ghosts(payload))
            except ValueError:
                self.datagrams_malformed += 1
                continue
            news = self._sight.update(told)
            if news is not None:
                self._events.append(news)

    def tick(self, now: int) -> None:
        """Do what is due: keep the clock."""
        if self._welcomed and now >= self._heartbeat_at:
            self._ask(now)

    def poll(self) -> list[Message]:
        """Return, and forget, the messages that are to be sent."""
        out, self._send = self._send, []
        self._letters.left(out)
        return out

    @property
    def letters_unsettled(self) -> int:
        """How many letters the server is not known to have."""
        return len(self._letters)

    def events(self) -> list[ev.Event]:
        """Return, and forget, what the game is to be told, in order."""
        out, self._events = self._events, []
        return out

    # --- the game's wishes ---------------------------------------------------

    def subscribe(
        self,
        radius: float,
        *,
        point: tuple[float, float] | None = None,
        entity: int | None = None,
    ) -> int:
        """Show what is within `radius` units of a point or of an entity; returns its number.

        Raises
        ------
        ValueError
            Not exactly one of point and entity, or a number that is not finite.
        LimitError
            Too many subscriptions.
        """
        if (point is None) == (entity is None):
            raise ValueError("subscribe to a point or to an entity, one of them")
        x, y = (0.0, 0.0) if point is None else (float(point[0]), float(point[1]))
        if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(radius) and radius > 0):
            raise ValueError(f"cannot watch a radius of {radius} around ({x}, {y})")
        if len(self._subscriptions) >= SUBSCRIPTIONS_PER_CLIENT_MAX:
            raise LimitError(
                f"{SUBSCRIPTIONS_PER_CLIENT_MAX} subscriptions already: unsubscribe first"
            )
        number = self._next_subscription
        self._next_subscription += 1
        message = cm.Subscribe(number, float(radius), x, y, entity or 0)
        self._subscriptions[number] = message
        self._say(message)
        return number

    def unsubscribe(self, number: int) -> None:
        """No longer; raise `KeyError` where there is no such subscription."""
        del self._subscriptions[number]
        self._say(cm.Unsubscribe(number))

    def possess(self, entity: int) -> None:
        """Ask to steer an entity; `PossessionAnswered` follows."""
        self._wanted[entity] = None
        self._unwanted.pop(entity, None)
        self._say(cm.Possess(entity, True))

    def release(self, entity: int) -> None:
        """Steer it no longer."""
        self._wanted.pop(entity, None)
        self._unwanted[entity] = None
        self._say(cm.Possess(entity, False))

    def send_mail(self, entity: int, payload: bytes) -> None:
        """Send bytes to whichever shard holds `entity`, once there is a session.

        Raises
        ------
        LimitError
            The payload is too large, or too many messages wait for a session, or have not reached
            the server.
        """
        if len(payload) > MAIL_BYTES_MAX:
            raise LimitError(f"a message of {len(payload)} bytes; at most {MAIL_BYTES_MAX}")
        self._letters.post(entity, bytes(payload), self._send)

    # --- inside --------------------------------------------------------------

    def _say(self, message: Message) -> None:
        """Say it now; what is wished while there is no session is said when there is one."""
        if self._welcomed:
            self._send.append(message)
            if isinstance(message, cm.Possess):
                self._unanswered[message.entity] += 1

    def _welcome(self, welcome: cm.ClientWelcome, now: int) -> None:
        if self._welcomed:
            raise ProtocolError("ClientWelcome twice on one link")
        if welcome.tick_hz <= 0:
            raise ProtocolError(f"a world of {welcome.tick_hz} ticks a second")
        self._welcomed = True
        self.session = welcome.session
        self._token = welcome.token
        self.clock = WorldClock(welcome.origin_ns, round(NS_PER_S / welcome.tick_hz))
        self.clock.sample(self._opened_ns, welcome.server_ns, now)
        self._heartbeat_at = now + HEARTBEAT_NS
        self._events.append(ev.Welcomed(welcome.session, welcome.resumed))
        self._send += self._subscriptions.values()
        self._unanswered.clear()
        for wishes, hold in ((self._unwanted, False), (self._wanted, True)):
            for entity in wishes:
                self._say(cm.Possess(entity, hold))
        if self._letters.welcomed(welcome.resumed, welcome.term, self._send, self._events):
            self._ask(now)

    def _ask(self, now: int) -> None:
        """Ask for the server's clock, and for how much mail has come."""
        self._heartbeat_at = now + HEARTBEAT_NS
        self._send.append(sm.Heartbeat(now, 0, 0))
