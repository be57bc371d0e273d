"""A whole cluster in one process: a replication server, shards, a virtual clock, a seeded network.

For tests of the protocol, and for users who test their own shard code. The same
seed gives the same run, event for event; after every instant the invariants of
`sidereal.testing.checks` are held against all of it.
"""

from collections.abc import Callable
from functools import partial
from random import Random

import numpy as np

from sidereal.errors import ProtocolError
from sidereal.ids import Incarnation, LinkId
from sidereal.replication.books import CloseLink, Output, Send, SendDatagrams
from sidereal.replication.manager import SectorManager
from sidereal.replication.settings import Settings
from sidereal.shard import events as ev
from sidereal.shard.core import ShardCore
from sidereal.testing import checks
from sidereal.testing.clients import SimulatedClient
from sidereal.testing.links import Clockwork, Pipe, Weather
from sidereal.wire import codec
from sidereal.wire import operator_messages as om
from sidereal.wire.base import Message
from sidereal.world.batch import World
from sidereal.world.columns import F64, U64
from sidereal.world.entities import EntityRows
from sidereal.world.rules import NS_PER_S

Step = Callable[[World, float], None]

POLL_NS = 5_000_000
OPERATOR = LinkId(1)


def ignore(arrived: bool) -> None:
    """Take a notice of a datagram that nobody waits for."""
    del arrived


def straight(world: World, dt: float) -> None:
    """Move every row by its velocity, gaps included: where it is follows from where it was."""
    elapsed = (world.tick - world.since.astype(np.int64)) * dt
    world.position += world.velocity * elapsed[:, None]


class SimulatedShard:
    """One shard process of the cluster: a core, its link, and a game that steps."""

    def __init__(self, cluster: "Cluster", name: str, link: LinkId, incarnation: int) -> None:
        self.cluster = cluster
        self.name = name
        self.link = link
        self.core = ShardCore(name, Incarnation(incarnation), wants_ghosts=cluster.ghosts)
        self.alive = True
        self.paused = False
        self.ticked = 0
        self.log: list[ev.Event] = []
        self.ended = ""
        random, clock = cluster.random, cluster.clock
        self.up = Pipe(clock, random, cluster.weather)
        self.down = Pipe(clock, random, cluster.weather)
        self._tokens = 0
        self._inbox: list[Callable[[], None]] = []
        """What arrives while the process stands still; it finds it when it goes on."""

    def run(self) -> None:
        """One turn of the process's loop; the next one follows."""
        if not self.alive:
            return
        clock = self.cluster.clock
        clock.at(clock.now + POLL_NS, self.run)
        if self.paused:
            return
        inbox, self._inbox = self._inbox, []
        for arrived in inbox:
            arrived()
        core, now = self.core, clock.now
        core.tick(now)
        if core.clock is not None and core.has_lease(now):
            tick = core.clock.tick_at(now)
            if tick > self.ticked:
                self.ticked = tick
                self._step(tick)
        self.flush()
        told = core.events()
        self.log += told
        if self.cluster.hear is not None:
            self.cluster.hear(self, told)

    def _step(self, tick: int) -> None:
        core = self.core
        table = core.holdings.table
        slots = core.runnable(tick)
        world = World(
            tick=tick,
            tick_hz=core.rules.tick_hz,
            slots=slots,
            ids=table.ids[slots],
            position=table.position[slots],
            velocity=table.velocity[slots],
            since=table.tick[slots],
            flags=table.flags[slots],
            version=table.version[slots],
            shadow=table.phase[slots] != 0,
        )
        self.cluster.step(world, 1 / core.rules.tick_hz)
        core.move(slots, world.position, world.velocity)
        core.complete(tick, slots, self.cluster.clock.now, destroyed=world.destroyed)

    def flush(self) -> None:
        """Put what the core wants to say on the wire."""
        messages, payloads = self.core.poll()
        cluster = self.cluster
        for message in messages:
            data = codec.encode(message)
            self.up.message(partial(cluster.bytes_at_server, self.link, data))
        self.core.sent_datagrams(self._tokens if payloads else -1)
        for payload in payloads:
            token = self._tokens
            self._tokens += 1
            self.up.datagram(
                partial(cluster.datagram_at_server, self.link, payload),
                partial(self._notice, token),
            )

    def _notice(self, token: int, arrived: bool) -> None:
        if self.paused:
            self._inbox.append(partial(self._notice, token, arrived))
        elif self.alive:
            self.core.notice([token] if arrived else [], [] if arrived else [token])

    def receive_bytes(self, data: bytes) -> None:
        """Take a message of the server's."""
        if self.paused:
            self._inbox.append(partial(self.receive_bytes, data))
        elif self.alive:
            self.core.receive(codec.decode(data), self.cluster.clock.now)
            if self.core.fenced:
                self._begin_anew()
            self.flush()

    def relink(self) -> None:
        """Open a new session over a new link; the old one is dead at this end."""
        cluster = self.cluster
        self.up.cut = self.down.cut = True
        self._inbox.clear()
        self.core.lost()
        cluster.gone(self.link)
        self.link = cluster.next_link()
        self.up = Pipe(cluster.clock, cluster.random, cluster.weather)
        self.down = Pipe(cluster.clock, cluster.random, cluster.weather)
        cluster.manager.connected(self.link, f"shard:{self.name}")
        self.core.open(cluster.clock.now)
        self.flush()

    def _begin_anew(self) -> None:
        """The server has given this life up."""
        told = self.core.events()
        self.log += told
        if self.cluster.hear is not None:
            self.cluster.hear(self, told)
        incarnation = Incarnation(self.cluster.random.getrandbits(48))
        self.core = ShardCore(
            self.name,
            incarnation,
            wants_ghosts=self.cluster.ghosts,
            term_seen=self.core.term_seen,
        )
        self.core.open(self.cluster.clock.now)

    def receive_datagram(self, payload: bytes) -> None:
        """Take a datagram of the server's."""
        if self.paused:
            self._inbox.append(partial(self.receive_datagram, payload))
        elif self.alive:
            self.core.receive_datagrams([payload], self.cluster.clock.now)


class Cluster:
    """The server and its shards.

    Parameters
    ----------
    seed
        Of everything that is random.
    shards
        How many register at the start, as ``shard-0`` and on.
    settings
        Of the replication server.
    step
        The game: moves one tick's rows.
    """

    def __init__(
        self,
        seed: int,
        *,
        shards: int = 2,
        settings: Settings | None = None,
        step: Step = straight,
        weather: Weather | None = None,
        ghosts: bool = False,
    ) -> None:
        self.random = Random(seed)
        self.clock = Clockwork()
        self.weather = weather or Weather()
        self.step = step
        self.ghosts = ghosts
        self.settings = settings or Settings()
        self.manager = SectorManager(self.settings, now=self.clock.now, rng=self.random.randbytes)
        self.shards: list[SimulatedShard] = []
        self.clients: list[SimulatedClient] = []
        self._client_links: dict[LinkId, SimulatedClient] = {}
        self.answers: list[Message] = []
        self.hear: Callable[[SimulatedShard, list[ev.Event]], None] | None = None
        """Called with what each shard's game is told, when it is told."""
        self.history = checks.History()
        self._links = 100
        self._broken: set[LinkId] = set()
        self._tick_ns = self.settings.rules.tick_ns
        self.manager.connected(OPERATOR, "admin")
        for number in range(shards):
            self.add_shard(f"shard-{number}")
        self._server_turn()

    # --- what a test does ----------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let virtual time pass; raise `AssertionError` where an invariant breaks."""
        self.clock.run_until(self.clock.now + round(seconds * NS_PER_S), self._check)

    def add_shard(self, name: str) -> SimulatedShard:
        """Start a shard process."""
        shard = SimulatedShard(self, name, self.next_link(), self.random.getrandbits(48))
        self.shards.append(shard)
        self.manager.connected(shard.link, f"shard:{name}")
        shard.core.open(self.clock.now)
        shard.run()
        return shard

    def next_link(self) -> LinkId:
        """Return a link's name that none had."""
        self._links += 1
        return LinkId(self._links)

    def gone(self, link: LinkId) -> None:
        """A link is broken at the shard's end: what the server says over it reaches nobody."""
        self._broken.add(link)

    def add_client(self) -> SimulatedClient:
        """Start a game client."""
        client = SimulatedClient(self)
        self.clients.append(client)
        return client

    def new_link(self, client: SimulatedClient, key_name: str) -> LinkId:
        """Connect a client to the server."""
        link = self.next_link()
        self._client_links[link] = client
        self.manager.connected(link, key_name)
        return link

    def link_broke(self, link: LinkId) -> None:
        """Tell the server of the end of a link."""
        self.manager.disconnected(link, self.clock.now)
        self._drain()

    def kill(self, shard: SimulatedShard) -> None:
        """End a shard process at once; its link breaks."""
        shard.alive = False
        self.break_link(shard)

    def break_link(self, shard: SimulatedShard, *, noticed: bool = True) -> None:
        """Break a shard's link; the server is told at once, or (not `noticed`) not at all."""
        shard.up.cut = shard.down.cut = True
        if noticed:
            self.link_broke(shard.link)

    def spawn(self, position: F64, velocity: F64, *, flags: int = 0, sensor: float = 0.0) -> U64:
        """Create entities as an operator does; returns their ids."""
        count = len(position)
        self.manager.receive(OPERATOR, om.RequestIds(count), self.clock.now)
        self._drain()
        grant = self.answers.pop()
        ids = np.arange(grant.first, grant.first + count, dtype=np.uint64)  # type: ignore[attr-defined]
        rows = EntityRows(
            ids=ids,
            group=np.zeros(count, np.uint64),
            position=position,
            velocity=velocity,
            sector=np.zeros((count, 2), np.int32),
            version=np.zeros(count, np.uint32),
            handle=np.zeros(count, np.uint32),
            tick=np.full(count, self.manager.books.tick_at(self.clock.now), np.uint32),
            flags=np.full(count, flags, np.uint32),
            sensor=np.full(count, sensor, np.float32),
            lengths=np.full(count, 4, np.uint32),
            states=np.frombuffer(ids.astype(np.uint32).tobytes(), np.uint8),
        )
        self.manager.receive(OPERATOR, om.SpawnEntities(1, rows), self.clock.now)
        self._drain()
        return ids

    def command(self, message: Message) -> Message:
        """Have an operator say something; returns the answer."""
        self.manager.receive(OPERATOR, message, self.clock.now)
        self._drain()
        return self.answers.pop()

    def alive(self) -> list[SimulatedShard]:
        """Return the shards that run."""
        return [shard for shard in self.shards if shard.alive]

    # --- the server's side ---------------------------------------------------

    def _server_turn(self) -> None:
        self.manager.tick(self.clock.now)
        self._drain()
        self.clock.at(self.clock.now + self._tick_ns // 2, self._server_turn)

    def bytes_at_server(self, link: LinkId, data: bytes) -> None:
        """A message arrives at the server."""
        self.manager.receive(link, codec.decode(data), self.clock.now)
        self._drain()

    def datagram_at_server(self, link: LinkId, payload: bytes) -> None:
        """A datagram arrives at the server."""
        self.manager.receive_datagrams(link, [payload], self.clock.now)

    def _drain(self) -> None:
        by_link = {shard.link: shard for shard in self.shards}
        for output in self.manager.poll().outputs:
            shard = by_link.get(output.link)
            client = self._client_links.get(output.link)
            if client is not None:
                self._to_client(client, output)
                continue
            if shard is None and output.link in self._broken:
                continue
            match output:
                case Send() if shard is None:
                    self.answers.append(output.message)
                case Send():
                    assert shard is not None
                    data = codec.encode(output.message)
                    shard.down.message(partial(shard.receive_bytes, data))
                case SendDatagrams() if shard is not None:
                    for payload in output.payloads:
                        shard.down.datagram(partial(shard.receive_datagram, payload), ignore)
                case CloseLink() if shard is not None:
                    shard.up.cut = shard.down.cut = True
                    shard.ended = output.reason
                case _:
                    raise ProtocolError(f"nobody is behind link {output.link}")

    def _to_client(self, client: SimulatedClient, output: Output) -> None:
        if output.link != client.link:
            return
        match output:
            case Send():
                client.down.message(partial(client.receive_bytes, codec.encode(output.message)))
            case SendDatagrams():
                first, client.tokens = client.tokens, client.tokens + len(output.payloads)
                self.manager.sent_datagrams(output.link, first)
                for token, payload in enumerate(output.payloads, first):
                    client.down.datagram(
                        partial(client.receive_datagram, payload),
                        partial(self._notice, output.link, token),
                    )
            case CloseLink():
                client.closed(output.reason)

    def _notice(self, link: LinkId, token: int, arrived: bool) -> None:
        self.manager.notice(link, [token] if arrived else [], [] if arrived else [token])

    def _check(self) -> None:
        checks.every_instant(self)
