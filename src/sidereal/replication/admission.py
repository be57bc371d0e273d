"""Who may join: a shard registers, or resumes its session; ids are granted.

One incarnation of a name at a time: a second one that comes while the first is
heard of waits until it is silent, and is refused if it is not. A restart on the
spot is let in as soon as the old process has missed two heartbeats; its sectors
are the old one's until that lease is over.
"""

from dataclasses import dataclass

import msgspec

from sidereal.errors import ProtocolError
from sidereal.ids import Incarnation, LinkId
from sidereal.limits import ID_BLOCK, WALL_BEHIND_NS_MAX
from sidereal.replication import clients, resumption
from sidereal.replication.books import CUSTODY, Books, CloseLink, Send
from sidereal.replication.records import Registered
from sidereal.replication.registry import ShardInfo
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import PROTOCOL_VERSION

SILENT_HEARTBEATS = 2
"""An incarnation that has missed so many is taken for gone, as far as its name goes."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """A registration that waits for another of its name to fall silent."""

    link: LinkId
    message: sm.RegisterShard
    since_ns: int


class Admission:
    """Registrations, those that wait among them."""

    def __init__(self) -> None:
        self._waiting: dict[LinkId, Applicant] = {}

    def disconnected(self, link: LinkId) -> None:
        """A link ended; it waits for nothing any more."""
        self._waiting.pop(link, None)

    def register(
        self, books: Books, link: LinkId, name: str, message: sm.RegisterShard, now: int
    ) -> None:
        """Take a new incarnation in, or let it wait."""
        _check(books, name, message)
        if link in self._waiting:
            raise ProtocolError("RegisterShard twice in one session")
        known = books.shards.find(name, message.incarnation)
        if known is not None:
            # It was registered, and the answer was lost: it has nothing but what it is sent now.
            resumption.end_older(books, known)
            known.opened(now)
            resumption.begin_again(books, known, link, _answer(books, known, message.sent_ns, now))
            known.grants.append(grant(books, link, ID_BLOCK, known))
        elif _heard(books, name, now):
            self._waiting[link] = Applicant(link, message, now)
        else:
            _admit(books, link, message, now)

    def tick(self, books: Books, now: int) -> None:
        """Let in who waited long enough; refuse whose name is in use."""
        for applicant in list(self._waiting.values()):
            name = applicant.message.name
            older = _heard(books, name, now)
            if older is None:
                del self._waiting[applicant.link]
                _admit(books, applicant.link, applicant.message, now)
            elif older.answered_ns > applicant.since_ns + books.settings.heartbeat_ns:
                del self._waiting[applicant.link]
                books.counters["registrations_refused"] += 1
                reason = (
                    f"a shard {name!r} runs already (incarnation {older.incarnation}): give this"
                    " process a name and a key of its own, or end the other"
                )
                books.out.append(CloseLink(applicant.link, reason))

    def resume(
        self, books: Books, link: LinkId, name: str, message: sm.ResumeShard, now: int
    ) -> None:
        """Let a known incarnation go on; tell any other that it is dead."""
        _check(books, name, message)
        shard = books.shards.find(name, message.incarnation)
        if shard is None:
            books.counters["incarnations_turned_away"] += 1
            reason = f"incarnation {message.incarnation} of {name} is dead, or was never here"
            books.out.append(Send(link, sm.IncarnationFenced(reason)))
            return
        resumption.end_older(books, shard)
        _keep_time(books, message, now)
        shard.opened(now)
        shard.wants_ghosts = message.wants_ghosts
        shard.mail_sent = max(shard.mail_sent, message.mail_seen)
        books.out.append(Send(link, _answer(books, shard, message.sent_ns, now)))
        resumption.resume(books, shard, link, message, now)


def grant(
    books: Books, link: LinkId, count: int, shard: ShardInfo | None = None
) -> tuple[int, int]:
    """Grant a block of ids to a shard or an operator."""
    if not 0 < count <= ID_BLOCK:
        raise ProtocolError(f"{count} ids asked for; 1 to {ID_BLOCK} are granted at a time")
    first, count = books.grant_ids(count, CUSTODY if shard is None else shard.shard_id)
    books.out.append(Send(link, sm.GrantIds(first, count)))
    return first, count


def _check(books: Books, name: str, message: sm.RegisterShard | sm.ResumeShard) -> None:
    if message.protocol != PROTOCOL_VERSION:
        raise ProtocolError(
            f"shard {name} speaks protocol {message.protocol}, this server"
            f" {PROTOCOL_VERSION}: install the same release on both"
        )
    if message.name != name:
        raise ProtocolError(f"the key is for shard {name!r}, not for {message.name!r}")
    if message.term_seen > books.term:
        raise ProtocolError(
            f"shard {name} has seen term {message.term_seen}; this server's is"
            f" {books.term}: another server has taken over"
        )


def _keep_time(books: Books, message: sm.ResumeShard, now: int) -> None:
    """World time never goes back: where only the wall's clock told it to this server, the shards of
    its predecessor know better.
    """
    ahead = message.tick - books.tick_at(now)
    if not books.by_wall or books.began is None or ahead <= 0:
        return
    ahead_ns = ahead * books.rules.tick_ns
    if ahead_ns > WALL_BEHIND_NS_MAX:
        raise ProtocolError(
            f"shard {message.name} is at tick {message.tick}, by this machine's clock it is tick"
            f" {books.tick_at(now)}: set that clock right, then start the server again"
        )
    books.origin_ns -= ahead_ns
    books.began = msgspec.structs.replace(books.began, origin_ns=books.origin_ns)
    books.note(books.began)
    books.counters["world_time_set_on_ticks"] += ahead
    reason = "world time was set on: resume by the new one"
    for shard in books.shards:
        books.end_session(shard, reason)
    clients.end_all(books, reason, now)


def trust_clock(books: Books) -> None:
    """Nobody knows world time better once all who knew the last server's have come, or are dead."""
    if books.by_wall and books.began is not None and all(s.hears_ns for s in books.shards):
        books.by_wall = False
        books.began = msgspec.structs.replace(books.began, by_wall=False)
        books.note(books.began)


def _heard(books: Books, name: str, now: int) -> ShardInfo | None:
    """Return an incarnation of that name that is connected and was heard of just now."""
    silence_ns = SILENT_HEARTBEATS * books.settings.heartbeat_ns
    for shard in books.shards:
        if shard.name == name and shard.link is not None and now - shard.answered_ns <= silence_ns:
            return shard
    return None


def _admit(books: Books, link: LinkId, message: sm.RegisterShard, now: int) -> None:
    shard = books.shards.register(
        message.name, Incarnation(message.incarnation), link, message.wants_ghosts, now
    )
    books.note(Registered(shard.shard_id, shard.name, shard.incarnation, shard.wants_ghosts))
    books.send(shard, _answer(books, shard, message.sent_ns, now))
    shard.grants.append(grant(books, link, ID_BLOCK, shard))


def _answer(books: Books, shard: ShardInfo, sent_ns: int, now: int) -> sm.RegistrationAck:
    settings = books.settings
    return sm.RegistrationAck(
        shard_id=shard.shard_id,
        term=books.term,
        rules=books.rules,
        sent_ns=sent_ns,
        server_ns=now,
        origin_ns=books.origin_ns,
        lease_ns=settings.lease_ns,
        heartbeat_ns=settings.heartbeat_ns,
        load_report_ns=settings.load_report_ns,
        idle_unload_ns=settings.idle_unload_ns,
    )
