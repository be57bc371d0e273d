"""`Line`: one link to the server at a time, and an attempt at another while it is silent.

A server that was killed says no goodbye, and the transport gives a silent link up only after
longer than a lease. So a link on which nothing was heard for a while gets a second one beside it.
Whichever is heard first stays: a server that was merely slow keeps its links, one that was started
again is found as soon as it listens.
"""

from collections.abc import Callable, Iterator

from sidereal.ids import LinkId
from sidereal.runtime.channel import Address, Channel
from sidereal.runtime.clock import now_ns
from sidereal.transport import Connected, Event, LinkClosed
from sidereal.world.rules import NS_PER_S

SILENT_NS = 5 * NS_PER_S // 4
"""Longer than the transport's ping interval: a link that lives is never silent for so long."""

RECONNECT_NS = NS_PER_S // 2
"""Between two attempts."""


class Line:
    """Makes links, one after the other.

    Parameters
    ----------
    channel
        For this line alone.
    server, key_name, key
        Whom to connect to, and as whom: a key, or what returns it as it is by then.
    """

    def __init__(
        self,
        channel: Channel,
        server: Address,
        key_name: str,
        key: bytes | Callable[[], bytes],
    ) -> None:
        self._channel = channel
        self._server = server
        self._key_name = key_name
        self._key = key
        self.link: LinkId | None = None
        """Where to send; None while there is none."""
        self.open = False
        """Whether the link is connected."""
        self.reached = False
        """Whether any link ever was: a server that was there, and died, is started again."""
        self._beside: LinkId | None = None
        self._retry_at = 0

    def pump(self, now: int) -> Iterator[Event]:
        """Connect where that is due, exchange what is to be exchanged; yield what happened.

        The events are of one link at a time: `Connected` begins it, `LinkClosed` ends it, and
        nothing more is told of one that `end` gave up.
        """
        if self.link is None and now >= self._retry_at:
            self.link = self._connect()
        for event in self._channel.pump():
            if event.link == self.link:
                self._mine(event, now)
                yield event
            elif event.link == self._beside:
                if isinstance(event, Connected):
                    yield from self._take_over(now)
                    yield event
                elif isinstance(event, LinkClosed):
                    self._beside = None
                    self._retry_at = now + RECONNECT_NS
        self._listen(now)

    def send(self, data: bytes) -> None:
        """Queue a message; without a link it goes nowhere."""
        if self.link is not None:
            self._channel.endpoint.send(self.link, data)

    def end(self, reason: str, now: int) -> None:
        """Give the link up; the next attempt is due a little later."""
        if self.link is not None:
            self._channel.endpoint.close(self.link, reason, now)
        self.link, self.open = None, False
        self._retry_at = now + RECONNECT_NS

    def close(self, reason: str) -> None:
        """Leave, and close the channel."""
        for link in (self.link, self._beside):
            if link is not None:
                self._channel.endpoint.close(link, reason, now_ns())
        self._channel.close()

    def _mine(self, event: Event, now: int) -> None:
        if isinstance(event, Connected):
            self.open = self.reached = True
        elif isinstance(event, LinkClosed):
            self.link, self.open = None, False
            self._retry_at = now + RECONNECT_NS
            if self._beside is not None:
                self.link, self._beside = self._beside, None

    def _listen(self, now: int) -> None:
        """Begin an attempt beside a silent link, or end it: the link was heard."""
        if self.link is None or not self.open:
            return
        endpoint = self._channel.endpoint
        heard = endpoint.heard_ns(self.link)
        silent = heard is not None and now - heard > SILENT_NS
        if silent and self._beside is None and now >= self._retry_at:
            self._beside = self._connect()
        elif not silent and self._beside is not None:
            endpoint.close(self._beside, "the first link is heard again", now)
            self._beside = None

    def _take_over(self, now: int) -> list[Event]:
        """The second link is there first."""
        old, self.link, self._beside, self.open = self.link, self._beside, None, True
        if old is None:
            return []
        reason = "the server did not answer; another link was made"
        self._channel.endpoint.close(old, reason, now)
        return [LinkClosed(old, reason, by_peer=False)]

    def _connect(self) -> LinkId:
        key = self._key() if callable(self._key) else self._key
        return self._channel.connect(self._server, self._key_name, key)
