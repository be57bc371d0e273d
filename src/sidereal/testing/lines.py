"""A shard's connection as both of its ends use it, over a link of messages.

`TransportLine` in `sidereal.testing.wires` is the same over the real transport.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from sidereal.ids import LinkId
from sidereal.testing.links import Link

if TYPE_CHECKING:
    from sidereal.testing.server import ServerProcess
    from sidereal.testing.shards import SimulatedShard


class Direction(Protocol):
    """One direction of a line, as faults handle it."""

    cut: bool
    extra_ns: int
    struck: Callable[[str], None] | None


class Line(Protocol):
    """One connection of one shard with the server."""

    number: LinkId

    @property
    def up(self) -> Direction:
        """The direction to the server."""
        ...

    @property
    def down(self) -> Direction:
        """The direction to the shard."""
        ...

    @property
    def over(self) -> dict[str, bool]:
        """Which end (``server``, ``peer``) knows that it has ended."""
        ...

    def peer_says(self, data: bytes) -> None:
        """Send a message to the server."""
        ...

    def peer_sends(self, payloads: list[bytes]) -> int:
        """Send datagrams to the server; return the first one's token."""
        ...

    def server_says(self, data: bytes) -> None:
        """Send a message to the shard."""
        ...

    def server_sends(self, payloads: list[bytes]) -> int:
        """Send datagrams to the shard; return the first one's token."""
        ...

    def cut(self) -> None:
        """Let nothing arrive any more; nobody is told."""
        ...

    def end(self, end: str, reason: str, *, told: bool = True) -> None:
        """End it from one end; the other hears of it."""
        ...

    def snap(self, reason: str) -> None:
        """Break it; both ends are told."""
        ...

    def quiet(self, end: str) -> None:
        """An end (``server``, ``peer``) hears nothing from here on."""
        ...

    def loud(self, end: str) -> None:
        """An end hears the other again."""
        ...

    def hold(self, *directions: str) -> None:
        """Let nothing through ``up``, ``down`` or both."""
        ...

    def release(self, *directions: str) -> None:
        """End a `hold`."""
        ...


class MessageLine(Link):
    """A connection over links with the transport's contract."""

    def __init__(self, server: "ServerProcess", shard: "SimulatedShard", number: LinkId) -> None:
        cluster = server.cluster
        weather = cluster.weather
        super().__init__(cluster.clock, cluster.random, weather, self._told, cluster.idle_ns)
        self.number = number
        self._server = server
        self._shard = shard
        self._sent = {"up": 0, "down": 0}

    def peer_says(self, data: bytes) -> None:
        """Send a message to the server."""
        self.up.message(partial(self._server.heard, self.number, data))

    def peer_sends(self, payloads: list[bytes]) -> int:
        """Send datagrams to the server; return the first one's token."""
        first = self._sent["up"]
        self._sent["up"] += len(payloads)
        for token, payload in enumerate(payloads, first):
            self.up.datagram(
                partial(self._server.datagrams, self.number, [payload]),
                partial(self._noticed_peer, token),
            )
        return first

    def server_says(self, data: bytes) -> None:
        """Send a message to the shard."""
        self.down.message(partial(self._shard.heard, self, data))

    def server_sends(self, payloads: list[bytes]) -> int:
        """Send datagrams to the shard; return the first one's token."""
        first = self._sent["down"]
        self._sent["down"] += len(payloads)
        for token, payload in enumerate(payloads, first):
            self.down.datagram(
                partial(self._shard.datagrams, self, [payload]),
                partial(self._noticed_server, token),
            )
        return first

    def _noticed_peer(self, token: int, arrived: bool) -> None:
        tokens, none = [token], list[int]()
        self._shard.noticed(self, *((tokens, none) if arrived else (none, tokens)))

    def _noticed_server(self, token: int, arrived: bool) -> None:
        tokens, none = [token], list[int]()
        self._server.noticed(self.number, *((tokens, none) if arrived else (none, tokens)))

    def _told(self, end: str, reason: str) -> None:
        self._shard.link_over(end, reason)
        if end == "server":
            self._server.link_ended(self.number, reason)
        else:
            self._shard.link_ended(self, reason)
