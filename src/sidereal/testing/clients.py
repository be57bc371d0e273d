"""Game clients of the simulated cluster: a core, a link that can break, and what it was told.

`Picture` follows a client's events as a game would, and refuses what no game
should have to bear: an update or a leave of what never entered, a tick that goes
back.
"""

from functools import partial
from typing import TYPE_CHECKING

from sidereal.client import events as ev
from sidereal.client.core import ClientCore
from sidereal.errors import ProtocolError
from sidereal.ids import LinkId
from sidereal.testing.links import Pipe
from sidereal.testing.observer import Violation
from sidereal.wire import codec

if TYPE_CHECKING:
    from sidereal.testing.cluster import Cluster

POLL_NS = 5_000_000

RECONNECT_NS = 250_000_000
"""How long a client waits before it makes a link anew."""


class Picture:
    """What a game would draw: position and tick of each entity in view."""

    def __init__(self) -> None:
        self.position: dict[int, tuple[float, float]] = {}
        self.tick: dict[int, int] = {}
        self.destroyed: set[int] = set()

    def take(self, event: ev.Event) -> None:
        """Follow one event; raise `AssertionError` where it makes no sense."""
        match event:
            case ev.EntitiesEntered():
                rows = event.entities
                for entity, at, tick in zip(
                    rows.ids.tolist(), rows.position.tolist(), rows.tick.tolist(), strict=True
                ):
                    assert entity not in self.position, f"{entity} entered twice"
                    self._put(entity, at, tick)
            case ev.EntitiesUpdated():
                for entity, at in zip(event.ids.tolist(), event.position.tolist(), strict=True):
                    assert entity in self.position, f"{entity} moved before it entered"
                    assert event.tick > self.tick[entity], f"{entity} went back in time"
                    self._put(entity, at, event.tick)
            case ev.EntitiesChanged():
                for entity in event.states.ids.tolist():
                    assert entity in self.position, f"{entity} changed while it was not in view"
            case ev.EntitiesLeft():
                for entity in event.ids.tolist():
                    del self.position[entity], self.tick[entity]
                self.destroyed |= set(event.ids[event.destroyed].tolist())
            case _:
                return

    def _put(self, entity: int, at: list[float], tick: int) -> None:
        self.position[entity] = (at[0], at[1])
        self.tick[entity] = tick


class SimulatedClient:
    """One client process of the cluster.

    Parameters
    ----------
    cluster
        Where it lives.
    poll_ns
        How often it looks around.
    comes_back
        Whether it makes a link anew when one ended.
    """

    def __init__(
        self, cluster: "Cluster", *, poll_ns: int = POLL_NS, comes_back: bool = False
    ) -> None:
        self.cluster = cluster
        self.comes_back = comes_back
        self._poll_ns = poll_ns
        self.steers: set[int] = set()
        """What it was told that it steers."""
        self.core = ClientCore()
        self.picture = Picture()
        self.log: list[ev.Event] = []
        self.ended = ""
        self.tokens = 0
        self.bytes_received = 0
        self.connect()
        self._run()

    def connect(self) -> None:
        """Make a link, new or anew."""
        cluster = self.cluster
        self.server = cluster.server
        self.link: LinkId = cluster.new_link(self, "clients")
        self.up = Pipe(cluster.clock, cluster.random, cluster.weather)
        self.down = Pipe(cluster.clock, cluster.random, cluster.weather)
        self.core.open(cluster.clock.now)

    def break_link(self, *, noticed: bool = True) -> None:
        """Break the link; the server is told at once, or (not `noticed`) not at all."""
        self.up.cut = self.down.cut = True
        self.core.ended("the test broke it")
        if noticed:
            self.server.link_ended(self.link, "it broke")
        self._later()

    def closed(self, reason: str) -> None:
        """The server ended the link."""
        if not self.up.cut:
            self.up.cut = self.down.cut = True
            self.ended = reason
            self.core.ended(reason)
            self._later()

    def server_gone(self, link: LinkId) -> None:
        """The server of a link has died."""
        if link == self.link:
            self.closed("the replication server is gone")

    def _later(self) -> None:
        """Make another link in a while, if it is such a client."""
        if self.comes_back:
            clock = self.cluster.clock
            clock.at(clock.now + RECONNECT_NS, self._rejoin)

    def _rejoin(self) -> None:
        if not self.up.cut:
            return
        if self.cluster.server.alive and not self.cluster.server.paused:
            self.connect()
        else:
            self._later()

    def receive_bytes(self, data: bytes) -> None:
        """Take a message of the server's."""
        self.bytes_received += len(data)
        try:
            self.core.receive(codec.decode(data), self.cluster.clock.now)
        except ProtocolError as error:
            self.cluster.accused("a client", "the server", str(error))
            raise

    def receive_datagram(self, payload: bytes) -> None:
        """Take a datagram of the server's."""
        self.bytes_received += len(payload)
        self.core.receive_datagrams([payload], self.cluster.clock.now)

    def of(self, kind: type) -> list[ev.Event]:
        """Return the events of one kind that it was told so far."""
        return [event for event in self.log if isinstance(event, kind)]

    def _run(self) -> None:
        clock = self.cluster.clock
        clock.at(clock.now + self._poll_ns, self._run)
        self.core.tick(clock.now)
        for message in self.core.poll():
            data = codec.encode(message)
            self.up.message(partial(self.server.heard, self.link, data))
        told = self.core.events()
        self.log += told
        for event in told:
            self._follow(event)

    def _follow(self, event: ev.Event) -> None:
        match event:
            case ev.PossessionAnswered():
                (self.steers.add if event.held else self.steers.discard)(event.entity)
            case ev.Welcomed() if not event.resumed:
                self.steers.clear()
            case _:
                try:
                    self.picture.take(event)
                except AssertionError as error:
                    raise Violation("views make sense", str(error)) from error
