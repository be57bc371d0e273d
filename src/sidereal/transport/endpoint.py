"""All connections of one UDP socket, both roles, without the socket.

Datagrams and time go in; datagrams, events and the next time to call come out::

    endpoint.receive(socket.receive_runs(256), now)
    endpoint.handle_timeout(now)
    for event in endpoint.events(): ...
    endpoint.send(link, b"...")
    socket.send(endpoint.poll_runs(now))
    # then wait for the socket, or until endpoint.next_timeout()
"""

import heapq
from collections.abc import Callable, Sequence
from typing import Any, Final

from sidereal.errors import ConfigError, HandshakeError
from sidereal.ids import LinkId
from sidereal.transport.acceptor import Acceptor, PskOf
from sidereal.transport.budget import HandshakeBudget
from sidereal.transport.codec import COMPILED, Codec
from sidereal.transport.connection import Connection
from sidereal.transport.cookie import SECRET_BYTES
from sidereal.transport.events import (
    Address,
    BulkReceived,
    ChannelStats,
    DatagramsReceived,
    EndpointStats,
    Event,
    LinkStats,
    MessageReceived,
)
from sidereal.transport.handshake import Hello, Parameters, echo_of, parse_hello
from sidereal.transport.initiator import Initiator
from sidereal.transport.layout import BULK, CONTROL
from sidereal.transport.lifecycle import State
from sidereal.transport.noise import KEY_BYTES
from sidereal.transport.settings import MS, TransportSettings
from sidereal.transport.transmits import Transmit, apart

__all__ = ["BULK", "CONTROL", "Endpoint"]

EARLY_NS: Final = 2 * MS
"""Timers that are further off are not looked at, though they may have moved on."""
_READ = (MessageReceived, BulkReceived, DatagramsReceived)
"""To drain one of these makes room for more of its link."""


def _nobody(_name: str) -> None:
    """No key, by any name: whoever accepts nobody has no secret for cookies either."""


class Endpoint:
    """Every connection of one UDP socket: a state machine without socket or clock.

    Parameters
    ----------
    now
        Absolute nanoseconds of any monotonic clock; all calls use the same one.
    rng
        ``rng(n)`` returns n random bytes: ``os.urandom``, or a seeded source in tests.
    psk_of
        Key name to 32-byte key, or to a tuple of those that are good now (while one is
        being replaced), or None where there is none by that name. Without the function
        this endpoint accepts nobody.
    settings
        See `TransportSettings`.
    codec
        For tests only: the readable codec instead of the compiled one.
    """

    def __init__(
        self,
        *,
        now: int,
        rng: Callable[[int], bytes],
        psk_of: PskOf | None,
        settings: TransportSettings | None = None,
        codec: Codec = COMPILED,
    ) -> None:
        self._settings = settings or TransportSettings()
        self._rng = rng
        self._codec = codec
        secret = rng(SECRET_BYTES) if psk_of is not None else None
        budget = HandshakeBudget(secret or b"", now)
        self._acceptor = Acceptor(psk_of or _nobody, rng, budget)
        self._sieve = codec.sieve(secret, now)
        self._inbox = codec.inbox()
        self._events: list[Event] = []
        self._links: dict[LinkId, Connection] = {}
        self._routes: dict[int, tuple[Address, Connection]] = {}
        self._attempts: dict[int, Connection] = {}
        self._half_open: dict[tuple[Address, int], Connection] = {}
        self._ready: dict[LinkId, Connection] = {}
        self._timers: list[tuple[int, LinkId]] = []
        self._replies: list[tuple[bytes, Address]] = []
        self._next_link = 1
        self._now = now
        self._malformed = 0
        self._wrong_address = 0
        self._forged = 0
        self._replayed = 0

    # -- links ---------------------------------------------------------------------------

    def connect(self, address: Address, key_name: str, psk: bytes, now: int) -> LinkId:
        """Begin to connect; `Connected` or `LinkClosed` follows. Sending may begin at once.

        Raises
        ------
        ConfigError
            The key has not 32 bytes, or its name is empty or too long.
        """
        if len(psk) != KEY_BYTES:
            raise ConfigError(f"key {key_name!r} has {len(psk)} bytes; a key has {KEY_BYTES}")
        self._now = now
        local_id = self._new_id()
        try:
            initiator = Initiator(
                address=address,
                key_name=key_name,
                psk=psk,
                parameters=Parameters.of(self._settings, local_id),
                settings=self._settings,
                rng=self._rng,
                now=now,
            )
        except HandshakeError as error:
            raise ConfigError(str(error)) from error
        connection = self._add(address, key_name, local_id, now, initiator=initiator)
        self._attempts[initiator.echo] = connection
        self._touch(connection)
        return connection.link

    def send(self, link: LinkId, data: bytes, channel: int = CONTROL) -> bool:
        """Queue one reliable message; False if the link is gone.

        Messages of one channel arrive in order; the bulk channel goes beside the
        control channel and never delays it. One on bulk arrives in parts, as they come.

        Raises
        ------
        LimitError
            The message is too long, or too much waits already.
        """
        connection = self._links.get(link)
        if connection is None or not connection.usable:
            return False
        connection.outbox.streams[channel].push(data)
        self._ready[link] = connection
        return True

    def send_many(self, link: LinkId, messages: Sequence[bytes], channel: int = CONTROL) -> bool:
        """Queue reliable messages, all or none, in order; False if the link is gone.

        Raises
        ------
        LimitError
            One is too long, or too much waits already.
        """
        connection = self._links.get(link)
        if connection is None or not connection.usable:
            return False
        connection.outbox.streams[channel].push_many(messages)
        self._ready[link] = connection
        return True

    def send_datagrams(
        self, link: LinkId, payloads: Sequence[Any], sequence: int | None = None
    ) -> int:
        """Queue datagrams; payload ``i`` has the returned token plus ``i``; -1 if the link is gone.

        Each token appears once in a `DatagramNotice`. Of a ``sequence`` (0 to 15) the peer
        is given nothing that is older than the newest it was given; its notice says
        "acknowledged" all the same, for it has arrived.

        Raises
        ------
        LimitError
            A payload is longer than `datagram_payload_max` (of a sequence one byte less), or
            there is no such sequence; none was queued.
        """
        connection = self._links.get(link)
        if connection is None or not connection.usable:
            return -1
        token = connection.outbox.push_datagrams(payloads, self._now, sequence)
        self._ready[link] = connection
        return token

    def close(self, link: LinkId, reason: str, now: int) -> None:
        """End a link: `LinkClosed` comes at once; what was queued is still delivered."""
        self._now = now
        connection = self._links.get(link)
        if connection is not None and connection.usable:
            connection.close(reason, now)
            self._touch(connection)

    def datagram_payload_max(self, link: LinkId) -> int:
        """Return the longest payload (before the link is open, what any peer takes), or 0."""
        connection = self._links.get(link)
        return connection.outbox.payload_max if connection is not None else 0

    def heard_ns(self, link: LinkId) -> int | None:
        """Return when the peer was last heard; None before the link is open, or once it is gone."""
        connection = self._links.get(link)
        return None if connection is None else connection.heard_ns

    def stats(self, link: LinkId) -> LinkStats | None:
        """Return a link's counters, or None if it is gone."""
        connection = self._links.get(link)
        return connection.stats(self._now) if connection is not None else None

    def channel_stats(self, link: LinkId) -> list[ChannelStats]:
        """Return the counters of a link's channels, control and bulk; none if it is gone."""
        connection = self._links.get(link)
        return connection.channel_stats(self._now) if connection is not None else []

    def endpoint_stats(self) -> EndpointStats:
        """Return what concerns no single link."""
        sieve = self._sieve
        return EndpointStats(
            connections=len(self._links),
            half_open=len(self._half_open),
            malformed=self._malformed + sieve.malformed,
            unknown_connection=sieve.unknown,
            wrong_address=self._wrong_address + sieve.wrong_address,
            hellos=sieve.hellos,
            hellos_unanswered=sieve.unanswered,
            cookies_sent=sieve.cookies_sent,
            cookies_refused=sieve.cookies_refused,
            handshakes_postponed=self._acceptor.budget.postponed,
            rejects_sent=sieve.versions_refused + self._acceptor.rejects_sent,
            forged=self._forged,
            replayed=self._replayed,
        )

    # -- datagrams and time --------------------------------------------------------------

    def receive(self, batch: Sequence[tuple[Any, Address] | Transmit], now: int) -> None:
        """Take datagrams as they came: ``(bytes-like, address)``, or runs (`receive_runs`)."""
        self._now = now
        strays: list[tuple[bytes, Address]] = []
        inbox = self._inbox
        for connection, packets in self._codec.route(batch, self._routes, strays).values():
            connection.receive(packets, inbox, now)
            self._forged += inbox.forged
            self._replayed += inbox.replayed
            if connection.attempt is not None and connection.state is not State.HALF_OPEN:
                self._half_open.pop(connection.attempt, None)
                connection.attempt = None
            if not self._settle(connection):
                self._ready[connection.link] = connection
        if strays:
            answers: list[tuple[bytes, Address]] = []
            hellos, replies = self._sieve.sift(strays, self._routes, self._attempts, now, answers)
            for data, address in replies:
                self._reply(data, address, now)
            for data, address in hellos:
                if self._acceptor.budget.afford(address, now):
                    self._hello(data, address, now)
            self._replies += answers

    def handle_timeout(self, now: int) -> None:
        """Let the clock do what was due at `next_timeout`. Calling it early is harmless."""
        self._now = now
        timers = self._timers
        while timers and timers[0][0] <= now:
            at, link = heapq.heappop(timers)
            connection = self._links.get(link)
            if connection is None or connection.scheduled != at:
                continue
            connection.scheduled = None
            deadline = connection.deadline
            if deadline is not None and deadline <= now:
                connection.timeout(now)
                self._ready[link] = connection  # `poll_transmit` sets its next time
                self._settle(connection)
            else:
                self._schedule(connection)

    def poll_transmit(self, now: int) -> list[tuple[bytes, Address]]:
        """Return the datagrams to send now, in order."""
        return apart(self.poll_runs(now))

    def poll_runs(self, now: int) -> list[Transmit]:
        """As `poll_transmit`, equal datagrams in a row as one: `UdpSocket.send` takes them so."""
        self._now = now
        out: list[Transmit] = []
        ready, self._ready = self._ready, {}
        for link, connection in ready.items():
            connection.transmit(now, out)
            if connection.state is State.CLOSED:
                self._settle(connection)
                continue
            if connection.outbox.more:
                self._ready[link] = connection
            self._schedule(connection)
        # Strangers last: those who are connected do not wait for them.
        out += self._replies
        self._replies.clear()
        return out

    def next_timeout(self) -> int | None:
        """Return when to call `handle_timeout` and `poll_transmit` next, or None."""
        if self._ready or self._replies:
            return self._now
        timers = self._timers
        while timers:
            at, link = timers[0]
            connection = self._links.get(link)
            if connection is not None and connection.scheduled == at:
                # What it is by now `_schedule` has noted. Under traffic it moves on with each
                # packet: to be called once too early costs less than to follow it.
                if connection.due_at <= at or at - self._now > EARLY_NS:
                    return at
                connection.scheduled = None
                heapq.heappop(timers)
                self._schedule(connection)
            else:
                heapq.heappop(timers)
        return None

    def events(self) -> list[Event]:
        """Return and forget what happened since the last call."""
        events = self._events[:]
        self._events.clear()
        last: LinkId | None = None
        for event in events:
            if type(event) in _READ and event.link != last:
                last = event.link
                connection = self._links.get(last)
                if connection is not None and connection.read():
                    self._ready[last] = connection
        return events

    # -- inside --------------------------------------------------------------------------

    def _new_id(self) -> int:
        while True:
            local_id = int.from_bytes(self._rng(4), "little")
            if local_id not in self._routes:
                return local_id

    def _add(
        self,
        address: Address,
        key_name: str,
        local_id: int,
        now: int,
        initiator: Initiator | None = None,
        reply: bytes = b"",
    ) -> Connection:
        connection = Connection(
            link=LinkId(self._next_link),
            address=address,
            key_name=key_name,
            local_id=local_id,
            settings=self._settings,
            codec=self._codec,
            events=self._events,
            rng=self._rng,
            now=now,
            initiator=initiator,
            reply=reply,
        )
        self._next_link += 1
        self._links[connection.link] = connection
        self._routes[local_id] = (address, connection)
        return connection

    def _touch(self, connection: Connection) -> None:
        """Something happened to it: it may have to send, and its timers may have moved."""
        if not self._settle(connection):
            self._ready[connection.link] = connection
            self._schedule(connection)

    def _schedule(self, connection: Connection) -> None:
        deadline = connection.deadline
        if deadline is None:
            return
        connection.due_at = deadline
        if connection.scheduled is None or deadline < connection.scheduled:
            connection.scheduled = deadline
            heapq.heappush(self._timers, (deadline, connection.link))

    def _settle(self, connection: Connection) -> bool:
        """Forget the connection if its life is over; say whether it is."""
        if connection.state is not State.CLOSED:
            return False
        if self._links.pop(connection.link, None) is not None:
            del self._routes[connection.local_id]
            if connection.initiator is not None:
                self._attempts.pop(connection.initiator.echo, None)
            if connection.attempt is not None:
                self._half_open.pop(connection.attempt, None)
        self._ready.pop(connection.link, None)
        return True

    def _hello(self, data: bytes, address: Address, now: int) -> None:
        """A HELLO whose cookie is good."""
        hello = parse_hello(data)
        if hello is None:
            self._malformed += 1
            return
        known = self._half_open.get((address, hello.echo))
        answer = known.reply if known is not None else self._accept(hello, address, now)
        self._replies.append((answer, address))

    def _accept(self, hello: Hello, address: Address, now: int) -> bytes:
        settings, acceptor = self._settings, self._acceptor
        if (
            len(self._links) >= settings.connections_max
            or len(self._half_open) >= settings.half_open_max
        ):
            return acceptor.full(hello)
        local_id = self._new_id()
        accepted = acceptor.accept(hello, Parameters.of(self._settings, local_id))
        if isinstance(accepted, bytes):
            return accepted
        connection = self._add(address, accepted.key_name, local_id, now, reply=accepted.reply)
        secrets = accepted.send_secret, accepted.receive_secret
        connection.open(*secrets, accepted.client.cipher, accepted.client, now)
        connection.attempt = (address, hello.echo)
        self._half_open[address, hello.echo] = connection
        self._schedule(connection)
        return accepted.reply

    def _reply(self, data: bytes, address: Address, now: int) -> None:
        connection = self._attempts.get(echo_of(data))
        if connection is None or connection.initiator is None:
            return  # an earlier one of this batch has ended the attempt
        if connection.address != address:
            self._wrong_address += 1
            return
        initiator = connection.initiator
        try:
            accepted = initiator.receive(data, now)
        except HandshakeError as error:
            connection.refused(str(error))
            self._touch(connection)
            return
        if accepted is None:
            self._malformed += 1
        elif accepted:
            assert initiator.accepted is not None
            send_secret, receive_secret, server = initiator.accepted
            del self._attempts[initiator.echo]
            connection.open(send_secret, receive_secret, self._settings.cipher, server, now)
        self._touch(connection)
