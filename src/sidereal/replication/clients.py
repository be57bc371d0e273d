"""Links of clients: what each may say, and what follows from it.

A link opens with `ClientHello`. Its key lets it watch, steer and write, and
nothing else: whatever else it says ends it, with the reason.
"""

import math
from collections.abc import Callable

from sidereal.errors import ProtocolError
from sidereal.ids import LinkId
from sidereal.limits import SUBSCRIPTION_RADIUS_SECTORS_MAX, SUBSCRIPTIONS_PER_CLIENT_MAX
from sidereal.replication.books import Books, CloseLink
from sidereal.replication.mail import Sender, is_new
from sidereal.replication.records import SessionOpened, SessionOver
from sidereal.replication.sessions import TOKEN_BYTES, Session, Subscription
from sidereal.wire import client_messages as cm
from sidereal.wire.base import PROTOCOL_VERSION, Message
from sidereal.wire.shard_messages import Heartbeat, HeartbeatAck, SendMail

Rng = Callable[[int], bytes]


class Clients:
    """Follows the clients' messages.

    Parameters
    ----------
    rng
        ``rng(n)`` gives n random bytes, for tokens; None: this server takes no clients.
    """

    def __init__(self, rng: Rng | None) -> None:
        self._rng = rng

    def receive(self, books: Books, link: LinkId, message: Message, now: int) -> None:
        """Take one message; raise `ProtocolError` where a client may not send it."""
        session = books.sessions.by_link(link)
        if isinstance(message, cm.ClientHello):
            if session is not None:
                raise ProtocolError("ClientHello twice on one link")
            self._hello(books, link, message, now)
            return
        if session is None:
            raise ProtocolError(f"{type(message).__name__} before ClientHello")
        match message:
            case cm.Subscribe():
                _subscribe(books, session, message)
            case cm.Unsubscribe():
                session.subscriptions.pop(message.subscription, None)
            case cm.Possess():
                _possess(books, session, message)
            case SendMail():
                if is_new(session, message.number):
                    books.mail.post(books, Sender(session.name, session=session.number), message)
            case Heartbeat():
                taken = -1 if session.mail_taken is None else session.mail_taken
                books.tell_session(session, HeartbeatAck(message.sent_ns, now, taken))
            case _:
                raise ProtocolError(f"a client may not send {type(message).__name__}")

    def disconnected(self, books: Books, link: LinkId, now: int) -> None:
        """A link has ended; its session may be resumed for a while."""
        session = books.sessions.detach(link, now)
        if session is not None:
            books.possessions.away(books, session)

    def tick(self, books: Books, now: int) -> None:
        """End the sessions that nobody came back to."""
        for session in books.sessions.expired(now, books.settings.session_resume_ns):
            books.possessions.expired(session)
            books.note(SessionOver(session.number))
            books.counters["sessions_expired"] += 1

    def _hello(self, books: Books, link: LinkId, message: cm.ClientHello, now: int) -> None:
        if message.protocol != PROTOCOL_VERSION:
            raise ProtocolError(
                f"this client speaks protocol {message.protocol}, this server"
                f" {PROTOCOL_VERSION}: install the same release on both"
            )
        if self._rng is None:
            raise ProtocolError("this server takes no clients")
        session = books.sessions.find(message.session, message.token)
        resumed = session is not None
        if session is None:
            session = books.sessions.open(link, self._rng(TOKEN_BYTES))
            books.note(SessionOpened(session.number, session.token))
        else:
            if session.link is not None:
                reason = f"session {session.number} goes on over another link"
                books.out.append(CloseLink(session.link, reason))
                self.disconnected(books, session.link, now)
            books.sessions.attach(session, link)
            books.possessions.back(books, session)
        books.counters["sessions_resumed" if resumed else "sessions_opened"] += 1
        welcome = cm.ClientWelcome(
            session=session.number,
            token=session.token,
            resumed=resumed,
            tick_hz=books.rules.tick_hz,
            server_ns=now,
            origin_ns=books.origin_ns,
            term=books.term,
        )
        books.tell_session(session, welcome)


def end_all(books: Books, reason: str, now: int) -> None:
    """End all clients' links; their sessions may be resumed."""
    for session in books.sessions:
        if session.link is not None:
            books.out.append(CloseLink(session.link, reason))
            books.sessions.detach(session.link, now)
            books.possessions.away(books, session)


def _subscribe(books: Books, session: Session, message: cm.Subscribe) -> None:
    farthest = SUBSCRIPTION_RADIUS_SECTORS_MAX * books.rules.sector_size
    if not 0 < message.radius <= farthest:
        raise ProtocolError(
            f"a subscription with a radius of {message.radius}; it must be above 0 and at most"
            f" {farthest} units in this world"
        )
    if not (math.isfinite(message.x) and math.isfinite(message.y)):
        raise ProtocolError(f"a subscription to ({message.x}, {message.y}), which is nowhere")
    if not 0 <= message.entity < 1 << 64:
        raise ProtocolError(f"a subscription to entity {message.entity}, which is no id")
    new = message.subscription not in session.subscriptions
    if new and len(session.subscriptions) >= SUBSCRIPTIONS_PER_CLIENT_MAX:
        raise ProtocolError(
            f"more than {SUBSCRIPTIONS_PER_CLIENT_MAX} subscriptions: unsubscribe first"
        )
    session.subscriptions[message.subscription] = Subscription(
        message.radius, message.x, message.y, message.entity
    )


def _possess(books: Books, session: Session, message: cm.Possess) -> None:
    if message.hold:
        reason = books.possessions.take(books, session, message.entity)
        outcome = cm.PossessOutcome(message.entity, not reason, reason)
    else:
        books.possessions.release(books, session, message.entity)
        outcome = cm.PossessOutcome(message.entity, False, "")
    books.tell_session(session, outcome)
