"""`Client`: a game client's place in the world, driven from its own loop.

No event loop, no callback: `poll` gives typed events (`sidereal.client.events`).
A link that breaks is made anew and the session resumed; what is to be seen and
steered is asked for again by itself.
"""

from typing import Self, assert_never

from sidereal.client import events as ev
from sidereal.client.core import ClientCore
from sidereal.errors import HandshakeError, ProtocolError
from sidereal.runtime.channel import Address, Channel
from sidereal.runtime.clock import now_ns
from sidereal.runtime.line import Line
from sidereal.transport import (
    BulkReceived,
    Connected,
    DatagramNotice,
    DatagramsReceived,
    LinkClosed,
    MessageReceived,
)
from sidereal.wire import codec
from sidereal.world.rules import NS_PER_S

KEY_NAME = "clients"


class Client:
    """One connection to a world, whatever happens to its shards.

    Parameters
    ----------
    server
        Host and port of the replication server.
    key
        The clients' 32-byte pre-shared key.

    Raises
    ------
    HandshakeError
        From `poll`, where the server was never reached or refuses this key or version.
    """

    def __init__(self, server: Address, key: bytes) -> None:
        self._server = server
        self._channel = Channel(None)
        self._line = Line(self._channel, server, KEY_NAME, key)
        self._core = ClientCore()
        self._open = False
        self._ever = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- life ----------------------------------------------------------------

    def poll(self, now: int | None = None) -> list[ev.Event]:
        """Exchange what is to be exchanged and return what happened, in order."""
        now = now_ns() if now is None else now
        for event in self._line.pump(now):
            match event:
                case Connected():
                    self._open = True
                    self._core.open(now)
                case MessageReceived():
                    self._message(event.data, now)
                case DatagramsReceived():
                    self._core.receive_datagrams(event.payloads, now)
                case LinkClosed():
                    self._closed(event.reason, refused=event.by_peer)
                case DatagramNotice() | BulkReceived():  # the server sends no bulk
                    continue
                case _:
                    assert_never(event)
        self._core.tick(now)
        self._flush()
        events = self._core.events()
        self._ever = self._ever or self._core.welcomed
        return events

    def wait(self, until_ns: int | None = None) -> None:
        """Sleep until something arrives, or `until_ns`, or for a tenth of a second."""
        deadline = now_ns() + NS_PER_S // 10
        self._channel.wait(deadline if until_ns is None else min(deadline, until_ns))

    def close(self, reason: str = "the client was closed") -> None:
        """Leave. The server keeps the session for a while, for nobody."""
        self._flush()
        self._line.close(reason)

    # --- time ----------------------------------------------------------------

    @property
    def session(self) -> int | None:
        """The session's number, by which shards know this client; None before the first."""
        return self._core.session

    @property
    def welcomed(self) -> bool:
        """Whether the session is open now."""
        return self._core.welcomed

    def tick(self, now: int | None = None) -> int | None:
        """Return the world tick at `now`; None before the first session."""
        clock = self._core.clock
        return None if clock is None else clock.tick_at(now_ns() if now is None else now)

    # --- wishes --------------------------------------------------------------

    def subscribe(
        self,
        radius: float,
        *,
        point: tuple[float, float] | None = None,
        entity: int | None = None,
    ) -> int:
        """Watch what is within `radius` units of a point or of an entity.

        `EntitiesEntered`, `EntitiesUpdated`, `EntitiesChanged`, `EntitiesLeft` follow. Returns the
        subscription's number. May be called before there is a session.

        Raises
        ------
        ValueError
            Not exactly one of point and entity, or a number that is not finite.
        LimitError
            Too many subscriptions.
        """
        number = self._core.subscribe(radius, point=point, entity=entity)
        self._flush()
        return number

    def unsubscribe(self, number: int) -> None:
        """Watch it no longer; raise `KeyError` where there is no such subscription."""
        self._core.unsubscribe(number)
        self._flush()

    def possess(self, entity: int) -> None:
        """Ask to steer an entity; `PossessionAnswered` follows."""
        self._core.possess(entity)
        self._flush()

    def release(self, entity: int) -> None:
        """Steer it no longer; `PossessionAnswered` follows."""
        self._core.release(entity)
        self._flush()

    def send(self, entity: int, payload: bytes) -> None:
        """Send bytes to whichever shard holds `entity`: in order, once, or `MailRefused` says why.

        Raises
        ------
        LimitError
            The payload is too large, or too many messages wait for a session, or have not reached
            the server.
        """
        self._core.send_mail(entity, payload)
        self._flush()

    # --- inside --------------------------------------------------------------

    def _message(self, data: bytes, now: int) -> None:
        """Take a message; a server that breaks the protocol loses this link, with the reason."""
        try:
            self._core.receive(codec.decode(data), now)
        except ProtocolError as error:
            self._line.end(str(error), now_ns())
            self._closed(str(error))

    def _closed(self, reason: str, *, refused: bool = True) -> None:
        let_in = self._ever or self._core.welcomed
        if not let_in and (refused or not self._line.reached):
            raise HandshakeError(
                f"cannot join {self._server[0]}:{self._server[1]} as a client: {reason}"
            )
        if self._open:
            self._core.ended(reason)
        self._open = False

    def _flush(self) -> None:
        if self._line.open:
            for message in self._core.poll():
                self._line.send(codec.encode(message))
        self._channel.flush()


__all__ = ["Client"]
