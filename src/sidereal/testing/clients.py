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
from sidereal.testing.lines import Line
from sidereal.testing.links import Pipe
from sidereal.testing.observer import Violation
from sidereal.wire import codec

if TYPE_CHECKING:
    from sidereal.testing.cluster import Cluster
    from sidereal.testing.server import ServerProcess
    from sidereal.testing.wires import Side

POLL_NS = 5_000_000

LINGER_NS = 1_000_000_000
"""How long the endpoint of a link that is over stays, to say so."""

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
        self.key_name = "clients"
        self.still = False
        self.side: Side | None = None
        """Its endpoint, where links are real transport endpoints: another for each link."""
        self.line: Line | None = None
        self.linked = False
        """Whether it has a link, or believes so."""
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
        if cluster.wires is not None:
            address = f"client {cluster.new_link()}", 1
            self.side = cluster.wires.bind(self, address, accepts=False)
        self.link: LinkId
        self.link, self.line = cluster.server.admit(self)
        self.up = Pipe(cluster.clock, cluster.random, cluster.weather)
        self.down = Pipe(cluster.clock, cluster.random, cluster.weather)
        self.linked = True
        self.core.open(cluster.clock.now)

    def belongs(self, server: "ServerProcess", number: LinkId) -> None:
        """The link of that number is with that server."""
        self.server = server
        server.clients[number] = self

    def break_link(self, *, noticed: bool = True) -> None:
        """Break the link; the server is told at once, or (not `noticed`) not at all."""
        if self.line is not None:
            if noticed:
                self.line.end("peer", "the test broke it", told=False)
            self._leave(LINGER_NS if noticed else 0)
        elif noticed:
            self.server.link_ended(self.link, "it broke")
        self._unlink("the test broke it")

    def closed(self, reason: str) -> None:
        """The server ended the link."""
        if self.linked:
            self.ended = reason
            if self.line is not None:
                self._leave(LINGER_NS)
            self._unlink(reason)

    def _unlink(self, reason: str) -> None:
        self.linked = False
        self.up.cut = self.down.cut = True
        self.core.ended(reason)
        self._later()

    def _leave(self, after_ns: int) -> None:
        """Have its endpoint no more once it has said farewell: the next link has one of its own."""
        wires, side, clock = self.cluster.wires, self.side, self.cluster.clock
        assert wires is not None
        assert side is not None
        clock.at(clock.now + after_ns, partial(wires.leave, side))

    # --- what its line says -----------------------------------------------------

    def heard(self, line: Line, data: bytes) -> None:
        """Take a message of the server's."""
        if line is self.line and self.linked:
            self.receive_bytes(data)

    def datagrams(self, line: Line, payloads: list[bytes]) -> None:
        """Take datagrams of the server's."""
        if line is self.line and self.linked:
            for payload in payloads:
                self.receive_datagram(payload)

    def noticed(self, line: Line, acked: list[int], lost: list[int]) -> None:
        """Take notice of what became of datagrams: clients send none."""

    def link_over(self, end: str, reason: str) -> None:
        """One end of a link has ended, and will be told."""

    def link_ended(self, line: Line, reason: str) -> None:
        """The link is over, at this end."""
        if line is self.line:
            self.closed(reason)

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
        if self.linked:
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
            if self.line is None:
                self.up.message(partial(self.server.heard, self.link, data))
            elif self.linked:
                self.line.peer_says(data)
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
