"""Possession: which client's session steers which entity, and the shard that must know.

One session at a time. The shard that has the entity is told of each change, and
each shard that it comes to is told anew; what changes in custody is told on
arrival. A session that is away keeps what it possesses from others, but steers
nothing until it is back.
"""

from typing import TYPE_CHECKING

import numpy as np

from sidereal.limits import POSSESSIONS_PER_CLIENT_MAX
from sidereal.replication.records import Possessed
from sidereal.replication.sessions import Session
from sidereal.wire.client_messages import PossessOutcome
from sidereal.wire.shard_messages import Possession
from sidereal.world.columns import U32, U64, among

if TYPE_CHECKING:
    from sidereal.replication.books import Books


class Possessions:
    """Entities that are possessed."""

    def __init__(self) -> None:
        self._holder: dict[int, int] = {}
        self._untold: dict[int, int] = {}
        """Entities in custody of which a shard knows something out of date, with whose session."""

    def take(self, books: "Books", session: Session, entity: int) -> str:
        """Give an entity to a session; return why not, or an empty string."""
        holder = self._holder.get(entity, session.number)
        if books.slot_of(entity) is None:
            return f"there is no entity {entity}"
        if holder != session.number:
            return f"another session steers entity {entity}"
        if entity in session.possessed:
            return ""
        if len(session.possessed) >= POSSESSIONS_PER_CLIENT_MAX:
            return f"{POSSESSIONS_PER_CLIENT_MAX} entities are yours already: release one"
        self.restore(session, entity, True)
        books.note(Possessed(session.number, entity, True))
        self._tell(books, entity, session, held=True)
        return ""

    def release(self, books: "Books", session: Session, entity: int) -> None:
        """Take an entity from a session that has it."""
        if entity in session.possessed:
            self.restore(session, entity, False)
            books.note(Possessed(session.number, entity, False))
            self._tell(books, entity, session, held=False)

    def restore(self, session: Session, entity: int, held: bool) -> None:
        """Write down that a session has an entity, or has it no more."""
        if held:
            self._holder[entity] = session.number
            session.possessed[entity] = None
        else:
            self._holder.pop(entity, None)
            session.possessed.pop(entity, None)

    def forget(self, books: "Books", entity: int) -> None:
        """An entity is no more."""
        session = books.sessions.get(self._holder.get(entity, 0))
        if session is not None:
            self.restore(session, entity, False)

    def away(self, books: "Books", session: Session) -> None:
        """The session's link has ended: it steers nothing."""
        for entity in session.possessed:
            self._tell(books, entity, session, held=False)

    def back(self, books: "Books", session: Session) -> None:
        """The session goes on: it finds its entities again."""
        for entity in session.possessed:
            self._tell(books, entity, session, held=True)

    def expired(self, session: Session) -> None:
        """The session is over: others may have what was its own. Shards know since it went."""
        for entity in session.possessed:
            del self._holder[entity]

    def arrived(self, books: "Books", slots: U32, kept_by: int | None = None) -> None:
        """The rows `slots` came to their shards, or stayed with `kept_by`, who knew it all then."""
        if not self._holder and not self._untold:
            return
        entities = np.unique(np.array([*self._holder, *self._untold], np.uint64))
        for entity in entities[among(entities, books.table.ids[slots])].tolist():
            number = self._holder.get(entity)
            session = None if number is None else books.sessions.get(number)
            untold = self._untold.pop(entity, None)
            if session is not None and session.link is not None:
                if kept_by is None or untold is not None:
                    self._send(books, entity, session.number, held=True)
            elif untold is not None:
                self._send(books, entity, untold, held=False)

    def at(self, books: "Books", shard_id: int) -> tuple[tuple[int, int], ...]:
        """Return the entities that a shard has and a session that is there steers, with it."""
        found: list[tuple[int, int]] = []
        for entity, number in sorted(self._holder.items()):
            session, slot = books.sessions.get(number), books.slot_of(entity)
            there = slot is not None and int(books.table.shard[slot]) == shard_id
            if there and session is not None and session.link is not None:
                found.append((entity, number))
        return tuple(found)

    def destroyed(self, books: "Books", ids: U64) -> None:
        """Entities are no more; tell those who steered them."""
        if not self._holder and not self._untold:
            return
        entities = np.unique(np.array([*self._holder, *self._untold], np.uint64))
        for entity in entities[among(entities, ids)].tolist():
            self._untold.pop(entity, None)
            session = books.sessions.get(self._holder.pop(entity, 0))
            if session is not None:
                del session.possessed[entity]
                outcome = PossessOutcome(entity, False, f"entity {entity} was destroyed")
                books.tell_session(session, outcome)

    def _tell(self, books: "Books", entity: int, session: Session, *, held: bool) -> None:
        slot = books.slot_of(entity)
        assert slot is not None, f"entity {entity} is possessed and does not exist"
        if books.shards.get(int(books.table.shard[slot])) is None:
            self._untold[entity] = session.number
        else:
            self._send(books, entity, session.number, held=held)

    @staticmethod
    def _send(books: "Books", entity: int, session: int, *, held: bool) -> None:
        slot = books.slot_of(entity)
        assert slot is not None
        holder = books.shards.get(int(books.table.shard[slot]))
        books.send(holder, Possession(entity, session, held))
