"""Clients' sessions: they outlive their links for a while, and are resumed with a token.

A broken link ends what was in flight, and the view with it; a client that comes
back says again what it wants to see. What lives on is who it is: the name that
receivers of its mail know, and what it possesses.
"""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field

from sidereal.errors import ProtocolError
from sidereal.ids import LinkId
from sidereal.limits import SESSIONS_MAX
from sidereal.replication.lives import CLIENT_SESSION, Presence, PresenceEvent
from sidereal.replication.view import View

TOKEN_BYTES = 16


@dataclass(frozen=True, slots=True)
class Subscription:
    """A disc to be shown: around a point, or around `entity` where that is not 0. In units."""

    radius: float
    x: float
    y: float
    entity: int


@dataclass(slots=True)
class Session:
    """One client."""

    number: int
    token: bytes
    link: LinkId | None
    """None while it is away; it may come back until `away_ns` is too long ago."""
    away_ns: int = 0
    subscriptions: dict[int, Subscription] = field(default_factory=dict)
    view: View = field(default_factory=View)
    possessed: dict[int, None] = field(default_factory=dict)
    mail_taken: int | None = 0
    """The number of its last letter that came; None where none has since this server took over."""
    presence: Presence = CLIENT_SESSION.start

    def happen(self, event: PresenceEvent) -> None:
        """Go where the table of `sidereal.replication.lives` says."""
        self.presence = CLIENT_SESSION.after(self.presence, event)

    @property
    def name(self) -> str:
        """What receivers of its mail are told."""
        return f"client:{self.number}"


class Sessions:
    """All sessions, by number and by link."""

    def __init__(self) -> None:
        self._by_number: dict[int, Session] = {}
        self._by_link: dict[LinkId, Session] = {}
        self.next_number = 1

    def open(self, link: LinkId, token: bytes) -> Session:
        """Begin a session; raise `ProtocolError` where there are too many."""
        if len(self._by_number) >= SESSIONS_MAX:
            raise ProtocolError(f"{SESSIONS_MAX} sessions are open already: come back later")
        session = Session(self.next_number, token, link)
        session.happen(PresenceEvent.OPEN)
        self.next_number += 1
        self._by_number[session.number] = session
        self._by_link[link] = session
        return session

    def restore(self, session: Session) -> None:
        """Add one that an earlier server opened; it is away until its client comes back."""
        session.happen(PresenceEvent.RESTORE)
        self._by_number[session.number] = session
        self.next_number = max(self.next_number, session.number + 1)

    def remove(self, session: Session) -> None:
        """Forget a session that is away."""
        session.happen(PresenceEvent.EXPIRE)
        del self._by_number[session.number]

    def find(self, number: int, token: bytes) -> Session | None:
        """Return the session that `token` resumes, or None."""
        session = self._by_number.get(number)
        if session is None or not hmac.compare_digest(session.token, token):
            return None
        return session

    def attach(self, session: Session, link: LinkId) -> None:
        """The session goes on over another link."""
        session.happen(PresenceEvent.COME_BACK)
        session.link = link
        self._by_link[link] = session

    def detach(self, link: LinkId, now: int) -> Session | None:
        """Its link has ended; nothing that was in flight or in view is known any more."""
        session = self._by_link.pop(link, None)
        if session is not None:
            session.happen(PresenceEvent.LEAVE)
            session.link = None
            session.away_ns = now
            session.subscriptions = {}
            session.view = View()
        return session

    def expired(self, now: int, patience_ns: int) -> list[Session]:
        """Forget, and return, those that have been away too long."""
        away = [s for s in self if s.presence is Presence.AWAY]
        gone = [s for s in away if now - s.away_ns > patience_ns]
        for session in gone:
            self.remove(session)
        return gone

    def by_link(self, link: LinkId) -> Session | None:
        """Return the session behind `link`, or None."""
        return self._by_link.get(link)

    def get(self, number: int) -> Session | None:
        """Return the session of that number, or None where it is over."""
        return self._by_number.get(number)

    def __iter__(self) -> Iterator[Session]:
        """All sessions, by number."""
        return iter(list(self._by_number.values()))

    def __len__(self) -> int:
        return len(self._by_number)
