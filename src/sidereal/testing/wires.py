"""Connections of the simulated cluster over the real transport and its datagrams.

The endpoints are the transport's own state machines; between them lies
`sidereal.transport.netsim`, with loss, duplication, reordering and corruption. A
process that stands still neither reads its socket nor keeps time. A process that
comes back binds the address that its last life had.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Protocol

from sidereal.ids import LinkId
from sidereal.testing.clocks import Clockwork
from sidereal.testing.links import Weather
from sidereal.transport import (
    Connected,
    DatagramNotice,
    DatagramsReceived,
    Endpoint,
    Event,
    LinkClosed,
    MessageReceived,
    TransportSettings,
)
from sidereal.transport.events import Address
from sidereal.transport.netsim import Conditions, NetSim
from sidereal.world.rules import NS_PER_S

if TYPE_CHECKING:
    from sidereal.testing.cluster import Cluster
    from sidereal.testing.server import ServerProcess

KEY = bytes(range(32))

Struck = Callable[[str, Address, Address], None]


class Process(Protocol):
    """Whoever has an endpoint: it may stand still."""

    @property
    def still(self) -> bool:
        """Whether it neither reads nor keeps time now."""
        ...


class Peer(Process, Protocol):
    """Who has a link with the server: a shard, or a client."""

    cluster: "Cluster"
    side: "Side | None"
    """Its endpoint."""

    @property
    def key_name(self) -> str:
        """The name of the key by which the server knows it."""
        ...

    def belongs(self, server: "ServerProcess", number: LinkId) -> None:
        """The link of that number is with that server."""
        ...

    def heard(self, line: "TransportLine", data: bytes) -> None:
        """Take a message of the server's."""
        ...

    def datagrams(self, line: "TransportLine", payloads: list[bytes]) -> None:
        """Take datagrams of the server's."""
        ...

    def noticed(self, line: "TransportLine", acked: list[int], lost: list[int]) -> None:
        """Take notice of what became of datagrams."""
        ...

    def link_over(self, end: str, reason: str) -> None:
        """One end (``server``, ``peer``) of a link has ended, and will be told."""
        ...

    def link_ended(self, line: "TransportLine", reason: str) -> None:
        """The link is over, at this end."""
        ...


@dataclass(eq=False)
class Side:
    """One process's endpoint, and the lines whose links it has."""

    process: Process
    address: Address
    endpoint: Endpoint
    lines: dict[LinkId, "TransportLine"] = field(default_factory=dict)
    waiting: list[tuple[bytes, Address]] = field(default_factory=list)
    strays: int = 0


class Roads(NetSim):
    """The network, which says what it does to datagrams."""

    def __init__(self, seed: int, conditions: Conditions, struck: Struck) -> None:
        super().__init__(seed, conditions)
        self._struck = struck
        self._last: dict[tuple[Address, Address], int] = {}
        self._flown = 0

    def send(self, source: Address, target: Address, data: bytes, now: int) -> None:
        """Take one datagram, and say what became of it."""
        lost, self._flown = self.lost, 0
        super().send(source, target, data, now)
        if self.lost > lost:
            self._struck("loss", source, target)
        if self._flown > 1:
            self._struck("duplication", source, target)

    def _fly(
        self, source: Address, target: Address, data: bytes, leaves: int, c: Conditions
    ) -> tuple[int, bytes]:
        arrives, sent = super()._fly(source, target, data, leaves, c)
        self._flown += 1
        if sent != data:
            self._struck("corruption", source, target)
        last = self._last.get((source, target), 0)
        if arrives < last:
            self._struck("reordering", source, target)
        self._last[source, target] = max(arrives, last)
        return arrives, sent


class Wires:
    """All endpoints of a cluster, the network between them, and one timer."""

    def __init__(
        self, clock: Clockwork, seed: int, weather: Weather, idle_ns: int, rough: bool
    ) -> None:
        self._clock = clock
        self._random = Random(seed)
        self._sides: dict[Address, Side] = {}
        self._opening: dict[str, TransportLine] = {}
        """Lines by the name of the key that each connects with, which is its alone."""
        self._due: int | None = None
        self.struck: Struck = lambda what, source, target: None
        """Called with what the network does to a datagram."""
        self.conditions = Conditions(
            loss=weather.datagram_loss,
            burst=2.0 if weather.datagram_loss else 1.0,
            delay_ns=weather.delay_ns,
            jitter_ns=min(weather.jitter_ns, weather.delay_ns),
            reorder=0.05 if rough else 0.0,
            duplicate=0.1 if rough else 0.0,
            duplicate_late_ns=3 * weather.delay_ns,
            corrupt=0.02 if rough else 0.0,
        )
        self.roads = Roads(
            seed, self.conditions, lambda what, source, target: self.struck(what, source, target)
        )
        self._settings = TransportSettings(
            idle_timeout_ns=idle_ns,
            ping_interval_ns=max(idle_ns // 8, 100_000_000),
            handshake_timeout_ns=2 * NS_PER_S,
            linger_ns=NS_PER_S // 2,
        )

    def bind(self, process: Process, address: Address, *, accepts: bool) -> Side:
        """Give a process an endpoint at an address; whoever had it before has it no more."""
        endpoint = Endpoint(
            now=self._clock.now,
            rng=self._random.randbytes,
            psk_of=(lambda name: KEY) if accepts else None,
            settings=self._settings,
        )
        side = self._sides[address] = Side(process, address, endpoint)
        return side

    def opens(self, line: "TransportLine") -> str:
        """Return the name of the key with which a line is to connect.

        By it the server's end is known to be of this line. The address would not do: the link
        that a dead process asked for may open when the next one lives there.
        """
        name = f"line {line.number:08}"
        self._opening[name] = line
        return name

    def leave(self, side: Side) -> None:
        """A process is gone: nobody reads what comes for it."""
        if self._sides.get(side.address) is side:
            del self._sides[side.address]

    def wake(self) -> None:
        """Something is to be sent: look after it in this instant."""
        self._at(self._clock.now)

    def _at(self, when: int) -> None:
        if self._due is None or when < self._due:
            self._due = when
            self._clock.at(when, partial(self._pump, when))

    def _pump(self, due: int) -> None:
        if due != self._due:
            return
        self._due = None
        now = self._clock.now
        for source, target, data in self.roads.deliver(now):
            side = self._sides.get(target)
            if side is not None:
                side.waiting.append((data, source))
        for side in list(self._sides.values()):
            if side.process.still or self._sides.get(side.address) is not side:
                continue
            timeout = side.endpoint.next_timeout()
            if timeout is not None and timeout <= now:
                side.endpoint.handle_timeout(now)
            if side.waiting:
                batch, side.waiting = side.waiting, []
                side.endpoint.receive(batch, now)
                self._strays(side, batch[0][1])
            for event in side.endpoint.events():
                self._happened(side, event)
            for data, target in side.endpoint.poll_transmit(now):
                self.roads.send(side.address, target, data, now)
        times = [s.endpoint.next_timeout() for s in self._sides.values() if not s.process.still]
        times.append(self.roads.next_time())
        soonest = min([t for t in times if t is not None], default=None)
        if soonest is not None:
            self._at(max(soonest, now + 1))

    def _strays(self, side: Side, source: Address) -> None:
        stats = side.endpoint.endpoint_stats()
        strays = stats.unknown_connection + stats.wrong_address
        if strays > side.strays:
            side.strays = strays
            self.struck("old-session", source, side.address)

    def _happened(self, side: Side, event: Event) -> None:
        if isinstance(event, Connected) and event.incoming:
            self._opening[event.key_name].accepted(side, event.link)
            return
        line = side.lines.get(event.link)
        if line is not None:
            line.happened(side, event)


class Way:
    """One direction of a line, as faults handle it."""

    def __init__(self, wires: Wires, source: Address, target: Address) -> None:
        self._wires = wires
        self._ends = source, target
        self._held = 0
        self._extra_ns = 0
        self.struck: Callable[[str], None] | None = None

    @property
    def cut(self) -> bool:
        """Whether nothing arrives."""
        return self._held > 0

    @cut.setter
    def cut(self, cut: bool) -> None:
        del cut  # the processes are gone, or their links: nothing more comes of it anyway

    @property
    def extra_ns(self) -> int:
        """How much later than the network's delay everything arrives."""
        return self._extra_ns

    @extra_ns.setter
    def extra_ns(self, extra_ns: int) -> None:
        self._extra_ns = extra_ns
        self._set()

    def hold(self) -> None:
        """Let nothing through."""
        self._held += 1
        self._set()

    def release(self) -> None:
        """End one `hold`."""
        self._held -= 1
        self._set()

    def _set(self) -> None:
        calm = self._wires.conditions
        now = replace(calm, delay_ns=calm.delay_ns + self._extra_ns)
        if self._held:
            now = replace(now, loss=1.0, burst=1.0)
        self._wires.roads.set_path(*self._ends, now)


class TransportLine:
    """A connection over the real transport: `Line` of `sidereal.testing.lines`."""

    def __init__(self, wires: Wires, server: "ServerProcess", peer: Peer, number: LinkId) -> None:
        self.number = number
        self.over = {"server": False, "peer": False}
        self._wires = wires
        self._server, self._peer = server, peer
        assert server.side is not None
        assert peer.side is not None
        self._at_server: LinkId | None = None
        self._server_side, self._peer_side = server.side, peer.side
        self.up = Way(wires, peer.side.address, server.side.address)
        self.down = Way(wires, server.side.address, peer.side.address)
        now = peer.cluster.clock.now
        self._at_peer = peer.side.endpoint.connect(server.side.address, wires.opens(self), KEY, now)
        peer.side.lines[self._at_peer] = self
        wires.wake()

    def accepted(self, side: Side, link: LinkId) -> None:
        """A server has a link of this line: the one that was asked, or who has its address now."""
        if self._at_server is not None or self.over["server"]:
            return
        if side is not self._server_side:
            newest = self._peer.cluster.server
            if newest.side is not side:
                return
            self._server, self._server_side = newest, side
            newest.lines[self.number] = self
            self._peer.belongs(newest, self.number)
        self._at_server = link
        side.lines[link] = self
        self._server.manager.connected(self.number, self._peer.key_name)

    def happened(self, side: Side, event: Event) -> None:
        """An endpoint says something of this line's link."""
        server = side is self._server_side
        match event:
            case MessageReceived():
                if server:
                    self._server.heard(self.number, event.data)
                else:
                    self._peer.heard(self, event.data)
            case DatagramsReceived():
                if server:
                    self._server.datagrams(self.number, event.payloads)
                else:
                    self._peer.datagrams(self, event.payloads)
            case DatagramNotice():
                if server:
                    self._server.noticed(self.number, event.acked, event.lost)
                else:
                    self._peer.noticed(self, event.acked, event.lost)
            case LinkClosed():
                self._ended("server" if server else "peer", event.reason)

    def _ended(self, end: str, reason: str, *, told: bool = True) -> None:
        if self.over[end]:
            return
        self.over[end] = True
        if not told:
            return
        self._peer.link_over(end, reason)
        if end == "server":
            self._server.link_ended(self.number, reason)
        else:
            self._peer.link_ended(self, reason)

    # --- what both ends do ---------------------------------------------------

    def peer_says(self, data: bytes) -> None:
        """Send a message to the server."""
        self._peer_side.endpoint.send(self._at_peer, data)
        self._wires.wake()

    def peer_sends(self, payloads: list[bytes]) -> int:
        """Send datagrams to the server; return the first one's token."""
        self._wires.wake()
        return self._peer_side.endpoint.send_datagrams(self._at_peer, payloads)

    def server_says(self, data: bytes) -> None:
        """Send a message to the peer."""
        if self._at_server is not None:
            self._server_side.endpoint.send(self._at_server, data)
            self._wires.wake()

    def server_sends(self, payloads: list[bytes]) -> int:
        """Send datagrams to the peer; return the first one's token."""
        if self._at_server is None:
            return -1
        self._wires.wake()
        return self._server_side.endpoint.send_datagrams(self._at_server, payloads)

    def end(self, end: str, reason: str, *, told: bool = True) -> None:
        """End it from one end; the other hears of it."""
        now = self._server.cluster.clock.now
        self._ended(end, reason, told=told)
        if end == "peer":
            self._peer_side.endpoint.close(self._at_peer, reason, now)
        elif self._at_server is not None:
            self._server_side.endpoint.close(self._at_server, reason, now)
        self._wires.wake()

    def snap(self, reason: str) -> None:
        """Break it; both ends are told."""
        for end in ("server", "peer"):
            self.end(end, reason)

    def cut(self) -> None:
        """Close it at the peer's end without a word to the peer."""
        self.over["peer"] = True
        self.end("peer", "cut", told=False)

    def quiet(self, end: str) -> None:
        """A process that stands still is silent by itself."""

    def loud(self, end: str) -> None:
        """It goes on: its endpoint looks at what came."""
        self._wires.wake()

    def hold(self, *directions: str) -> None:
        """Let nothing through ``up``, ``down`` or both."""
        for direction in directions:
            (self.up if direction == "up" else self.down).hold()

    def release(self, *directions: str) -> None:
        """End a `hold`."""
        for direction in directions:
            (self.up if direction == "up" else self.down).release()
        self._wires.wake()
