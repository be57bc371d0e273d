"""Mail: bytes for whoever holds an entity, in order from each sender, each once.

A letter goes at once to the shard that was sent the entity, under the next
number of that shard's incarnation, and is kept until the shard says that it is done
with it. When the record takes entities from a shard, the message that made it
so says which letters their game was given; the others are withdrawn and wait
here, before newer ones, until the entity arrives somewhere. A shadow that turns
out its shard's own has kept what was withdrawn from it: that is not sent again.

Bounds: letters that wait for one entity, bytes that wait in all, bytes kept for
one shard. Beyond them a letter is refused with a reason; what was taken is never
thrown away to make room.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from sidereal.errors import ProtocolError
from sidereal.limits import (
    MAIL_BYTES_MAX,
    MAIL_PER_ENTITY_MAX,
    MAIL_UNACKNOWLEDGED_BYTES_MAX,
    MAIL_WAITING_BYTES_MAX,
)
from sidereal.replication.registry import ShardInfo
from sidereal.wire.shard_messages import DeliverMail, MailRefused, SendMail
from sidereal.world.columns import U32, U64, among

if TYPE_CHECKING:
    from sidereal.replication.books import Books
    from sidereal.replication.sessions import Session

LETTER_BYTES = 128
"""About what one letter takes beside its payload."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who wrote: a shard's id or a client's session, and the name that the receiver is told."""

    name: str
    shard_id: int | None = None
    session: int | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """One message to one entity."""

    sender: Sender
    entity: int
    payload: bytes
    kept_by: int | None = None
    """The shard from which it was withdrawn, which may have it still."""
    number: int = 0
    """Under which it was sent there."""

    @property
    def nbytes(self) -> int:
        """What it counts against a bound."""
        return len(self.payload) + LETTER_BYTES


@dataclass(slots=True)
class Unacknowledged:
    """Letters sent in one shard's session and not yet done with."""

    by_entity: dict[int, dict[int, Letter]] = field(default_factory=dict)
    order: deque[tuple[int, int]] = field(default_factory=deque)
    """Numbers, rising, with their entities; some may have been withdrawn since."""
    nbytes: int = 0


class MailRoom:
    """All letters that are not done with."""

    def __init__(self) -> None:
        self._sent: dict[int, Unacknowledged] = {}
        self._waiting: dict[int, list[Letter]] = {}
        self._waiting_bytes = 0

    def post(self, books: "Books", sender: Sender, message: SendMail) -> None:
        """Take a letter: send it on, have it wait, or refuse it."""
        if len(message.payload) > MAIL_BYTES_MAX:
            raise ProtocolError(
                f"a message of {len(message.payload)} bytes to entity {message.entity};"
                f" at most {MAIL_BYTES_MAX}"
            )
        letter = Letter(sender, message.entity, message.payload)
        slot = books.slot_of(message.entity)
        if slot is None:
            self._refuse(books, letter, f"there is no entity {message.entity}")
            return
        holder = books.shards.get(int(books.table.shard[slot]))
        reason = self._at_bound(holder, letter)
        if reason:
            self._refuse(books, letter, reason)
        elif holder is not None:
            self._send(books, holder, letter)
        else:
            self._wait(letter)

    def settled(self, shard: ShardInfo, number: int) -> None:
        """Forget what a shard is done with: all up to `number`."""
        shard.mail_seen = max(shard.mail_seen, min(number, shard.mail_sent))
        sent = self._sent.get(shard.shard_id)
        while sent is not None and sent.order and sent.order[0][0] <= shard.mail_seen:
            done, entity = sent.order.popleft()
            letters = sent.by_entity.get(entity, {})
            letter = letters.pop(done, None)
            if letter is not None:
                sent.nbytes -= letter.nbytes
                if not letters:
                    del sent.by_entity[entity]

    def withdraw(self, shard: ShardInfo, ids: U64, seen: int, held: Collection[int] = ()) -> None:
        """The record takes `ids` from `shard`, whose game was given all up to `seen` but `held`."""
        held = frozenset(held)
        for letters in self._cut(shard, ids).values():
            for number, letter in letters.items():
                if number > seen or number in held:
                    self._wait(replace(letter, kept_by=shard.shard_id, number=number))

    def arrived(self, books: "Books", slots: U32, kept_by: int | None = None) -> None:
        """The rows `slots` were just sent to the shards that the record names: mail follows.

        Rows that were shadows and stay with `kept_by` have what was withdrawn from there.
        """
        if not self._waiting:
            return
        entities = np.fromiter(self._waiting, np.uint64, len(self._waiting))
        for entity in entities[among(entities, books.table.ids[slots])].tolist():
            holder = books.shards.get(int(books.table.shard[books.table.slots(_one(entity))[0]]))
            assert holder is not None, f"entity {entity} arrived nowhere"
            for letter in self._open(entity):
                if kept_by is None or letter.kept_by != kept_by:
                    self._send(books, holder, letter)
                elif letter.number > holder.mail_seen:
                    self._keep(holder, letter.number, letter)

    def redeliver(self, books: "Books", shard: ShardInfo, seen: int) -> None:
        """A new session: send again, under its old number, what had not come in the last one."""
        sent = self._sent.get(shard.shard_id)
        for number, entity in sent.order if sent is not None else ():
            letter = sent.by_entity.get(entity, {}).get(number) if sent is not None else None
            if letter is not None and number > seen:
                delivery = DeliverMail(number, entity, letter.sender.name, letter.payload)
                books.send(shard, delivery)

    def destroyed(self, books: "Books", ids: U64) -> None:
        """Entities are no more: tell the senders of what waits for them."""
        if self._waiting:
            entities = np.fromiter(self._waiting, np.uint64, len(self._waiting))
            for entity in entities[among(entities, ids)].tolist():
                for letter in self._open(entity):
                    self._refuse(books, letter, f"entity {entity} was destroyed")

    def fenced(self, shard: ShardInfo, ids: U64) -> None:
        """A shard is dead: what it was not done with for `ids`, which it held, waits again."""
        self.withdraw(shard, ids, shard.mail_seen)
        self._sent.pop(shard.shard_id, None)

    def waiting(self) -> int:
        """Return how many letters wait for their entities."""
        return sum(len(letters) for letters in self._waiting.values())

    def unacknowledged(self, shard: ShardInfo) -> int:
        """Return how many letters `shard` is not done with."""
        sent = self._sent.get(shard.shard_id, Unacknowledged())
        return sum(len(letters) for letters in sent.by_entity.values())

    # --- inside --------------------------------------------------------------

    def _at_bound(self, holder: ShardInfo | None, letter: Letter) -> str:
        if holder is None:
            if len(self._waiting.get(letter.entity, ())) >= MAIL_PER_ENTITY_MAX:
                return f"{MAIL_PER_ENTITY_MAX} messages wait for entity {letter.entity} already"
            if self._waiting_bytes + letter.nbytes > MAIL_WAITING_BYTES_MAX:
                return f"{self._waiting_bytes} bytes of messages wait for entities in custody"
        else:
            sent = self._sent.get(holder.shard_id)
            if sent is not None and sent.nbytes + letter.nbytes > MAIL_UNACKNOWLEDGED_BYTES_MAX:
                return f"shard {holder.name} has {sent.nbytes} bytes of messages to read"
        return ""

    def _send(self, books: "Books", holder: ShardInfo, letter: Letter) -> None:
        holder.mail_sent += 1
        number = holder.mail_sent
        self._keep(holder, number, letter)
        books.counters["mail_sent"] += 1
        books.send(holder, DeliverMail(number, letter.entity, letter.sender.name, letter.payload))

    def _keep(self, holder: ShardInfo, number: int, letter: Letter) -> None:
        """Remember a letter until the holder is done with it."""
        sent = self._sent.setdefault(holder.shard_id, Unacknowledged())
        sent.by_entity.setdefault(letter.entity, {})[number] = letter
        sent.nbytes += letter.nbytes
        at = len(sent.order)
        while at and sent.order[at - 1][0] > number:
            at -= 1
        if not at or sent.order[at - 1] != (number, letter.entity):
            sent.order.insert(at, (number, letter.entity))

    def _cut(self, shard: ShardInfo, ids: U64) -> dict[int, dict[int, Letter]]:
        sent = self._sent.get(shard.shard_id)
        if sent is None or not sent.by_entity:
            return {}
        entities = np.fromiter(sent.by_entity, np.uint64, len(sent.by_entity))
        cut = {e: sent.by_entity.pop(e) for e in entities[among(entities, ids)].tolist()}
        sent.nbytes -= sum(letter.nbytes for some in cut.values() for letter in some.values())
        return cut

    def _wait(self, letter: Letter) -> None:
        self._waiting.setdefault(letter.entity, []).append(letter)
        self._waiting_bytes += letter.nbytes

    def _open(self, entity: int) -> list[Letter]:
        letters = self._waiting.pop(entity)
        self._waiting_bytes -= sum(letter.nbytes for letter in letters)
        return letters

    @staticmethod
    def _refuse(books: "Books", letter: Letter, reason: str) -> None:
        books.counters["mail_refused"] += 1
        books.tell(letter.sender, MailRefused(letter.entity, reason))


def is_new(writer: "ShardInfo | Session", number: int) -> bool:
    """Take note of a letter's number; return whether it has not come before. 0 is no number."""
    if number and writer.mail_taken is not None and number <= writer.mail_taken:
        return False
    writer.mail_taken = number or writer.mail_taken
    return True


def _one(entity: int) -> U64:
    return np.array([entity], np.uint64)
