"""A whole cluster in one process: a replication server, shards, a virtual clock, a seeded network.

For tests of the protocol, and for users who test their own shard code. The same
seed gives the same run, event for event; all along, the invariants of
`sidereal.testing.checks` are held against all of it.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import numpy as np

from sidereal.errors import LimitError
from sidereal.ids import LinkId
from sidereal.limits import ID_BLOCK
from sidereal.replication.books import CloseLink, Output, Send, SendDatagrams
from sidereal.replication.manager import SectorManager
from sidereal.replication.settings import Settings
from sidereal.shard import events as ev
from sidereal.store import MemoryDisk
from sidereal.testing import replays
from sidereal.testing.checks import Witness
from sidereal.testing.clients import POLL_NS, SimulatedClient
from sidereal.testing.clocks import Clockwork, LocalClock
from sidereal.testing.links import IDLE_NS, Weather
from sidereal.testing.observer import Observer
from sidereal.testing.server import OPERATOR, ServerProcess
from sidereal.testing.shards import SimulatedShard
from sidereal.testing.wires import Wires
from sidereal.wire import codec
from sidereal.wire import operator_messages as om
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import Message
from sidereal.world.batch import World
from sidereal.world.columns import F64, U8, U64
from sidereal.world.entities import EntityRows
from sidereal.world.rules import NS_PER_S

__all__ = ["OPERATOR", "Cluster", "SimulatedShard", "straight"]

Step = Callable[[World, float], None]


def straight(world: World, dt: float) -> None:
    """Move every row by its velocity, gaps included: where it is follows from where it was."""
    elapsed = (world.tick - world.since.astype(np.int64)) * dt
    world.position += world.velocity * elapsed[:, None]


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
    weather
        Of every link.
    ghosts
        Whether shards want ghosts.
    state_dtype
        Layout of every entity's state: what the game finds as ``world.state``.
    idle_ns
        Silence after which a link ends.
    comes_back
        Whether a shard whose link ended makes a new one.
    commit_ns
        How long a commit of the server's takes.
    clock_of
        Gives each process its clock, by name; true time for all where there is none.
    transport
        ``calm`` or ``rough``: links are real transport endpoints over simulated datagrams, in
        the rough also duplicated, corrupted and far out of order. Empty: links of messages.
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
        state_dtype: np.dtype[Any] | None = None,
        idle_ns: int = IDLE_NS,
        comes_back: bool = False,
        commit_ns: int = 0,
        clock_of: Callable[[str, Clockwork], LocalClock] | None = None,
        transport: str = "",
    ) -> None:
        self.random = Random(seed)
        self.clock = Clockwork()
        self.weather = weather or Weather()
        self.step = step
        self.ghosts = ghosts
        self.state_dtype = state_dtype
        self.idle_ns = idle_ns
        self.comes_back = comes_back
        self.settings = settings or Settings()
        self._clock_of = clock_of
        self._links = 100
        self._granted = (0, 0)
        self.accusations: list[str] = []
        """Who ended a link because its peer broke the protocol, and why."""
        self.hear: Callable[[SimulatedShard, list[ev.Event]], None] | None = None
        """Called with what each shard's game is told, when it is told."""
        self.shards: list[SimulatedShard] = []
        self.clients: list[SimulatedClient] = []
        self.touched = False
        """Whether anything happened to a shard since the last check."""
        self.witness = Witness(self)
        self.observers: list[Observer] = [self.witness]
        self.digest = 0
        """Of every message that has reached a server, and when."""
        self.disk = MemoryDisk()
        self._port = 0
        self.wires = (
            Wires(self.clock, seed, self.weather, idle_ns, rough=transport == "rough")
            if transport
            else None
        )
        self._machine = self.local_clock("server")
        self._machines = 1
        self.wall_error_ns = 0
        """How wrong the wall's clock is, where the next server process starts."""
        self._past: Counter[str] = Counter()
        self.server = self._server(commit_ns)
        for number in range(shards):
            self.add_shard(f"shard-{number}")
        self.server.turn()

    def _server(self, commit_ns: int) -> ServerProcess:
        clock, name = self._machine, f"machine {self._machines}"
        return ServerProcess(self, self.settings, clock, name, self.disk, commit_ns, self._port)

    def restart(self, *, elsewhere: bool = False) -> None:
        """Start another server process, maybe on another machine, with a clock of its own.

        It leads from now on, whether or not the old one lives.
        """
        if self.server.alive:
            self._port += 1
        if elsewhere:
            self._machine = self.local_clock("server")
            self._machines += 1
        self._past.update(self.manager.books.counters)
        before = self.server
        self.server = self._server(before.commit_ns)
        if before.whole_at(self.server.began_at):
            replays.same(self.manager.books, before.manager.books)
        self._granted = (0, 0)
        self.witness.restarted()
        self.server.turn()

    @property
    def counters(self) -> Counter[str]:
        """What all servers have counted, one after the other."""
        return self._past + self.manager.books.counters

    @property
    def manager(self) -> SectorManager:
        """The server's core."""
        return self.server.manager

    @property
    def answers(self) -> list[Message]:
        """What the server has told operators."""
        return self.server.answers

    def local_clock(self, name: str) -> LocalClock:
        """Return the clock of a process."""
        if self._clock_of is None:
            return LocalClock(self.clock)
        return self._clock_of(name, self.clock)

    # --- what a test does ----------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let virtual time pass; raise `Violation` where an invariant breaks."""
        end = self.clock.now + round(seconds * NS_PER_S)
        self.clock.run_until(end, self.witness.instant)

    def add_shard(self, name: str) -> SimulatedShard:
        """Start a shard process."""
        clock = self.local_clock(name)
        shard = SimulatedShard(self, name, clock, comes_back=self.comes_back)
        self.shards.append(shard)
        return shard

    def add_client(self, *, poll_ns: int = POLL_NS, comes_back: bool = False) -> SimulatedClient:
        """Start a game client, which looks around so often and may make its link anew."""
        client = SimulatedClient(self, poll_ns=poll_ns, comes_back=comes_back)
        self.clients.append(client)
        return client

    def new_link(self) -> LinkId:
        """Return a new link's number."""
        self._links += 1
        return LinkId(self._links)

    def link_broke(self, link: LinkId) -> None:
        """Tell the server of the end of a link."""
        self.server.link_ended(link, "it broke")

    def kill(self, shard: SimulatedShard) -> None:
        """End a shard process at once; its link breaks."""
        shard.alive = False
        shard.touch()
        self.break_link(shard)

    def break_link(self, shard: SimulatedShard, *, noticed: bool = True) -> None:
        """Break a shard's link; the server is told at once, or (not `noticed`) not at all."""
        shard.line.cut()
        if noticed:
            self.link_broke(shard.link)

    def accused(self, by: str, whom: str, reason: str) -> None:
        """Take note that somebody ended a link because of what the other end did."""
        self.accusations.append(f"{by} ends the link with {whom}: {reason}")

    def spawn(
        self,
        position: F64,
        velocity: F64,
        *,
        flags: int = 0,
        sensor: float = 0.0,
        states: U8 | None = None,
    ) -> U64:
        """Create entities as an operator does; returns their ids.

        ``states`` u8 (n, m) are their states; four bytes of each one's id where not given.
        `LimitError` where the ids are still to be granted.
        """
        count = len(position)
        ids = self._take_ids(count)
        if states is None:
            states = ids.astype(np.uint32).view(np.uint8).reshape(count, 4)
        rows = EntityRows(
            ids=ids,
            group=np.zeros(count, np.uint64),
            position=position,
            velocity=velocity,
            sector=np.zeros((count, 2), np.int32),
            version=np.zeros(count, np.uint32),
            handle=np.zeros(count, np.uint32),
            tick=np.full(count, self.manager.books.tick_at(self.server.clock.now), np.uint32),
            flags=np.full(count, flags, np.uint32),
            sensor=np.full(count, sensor, np.float32),
            lengths=np.full(count, states.shape[1], np.uint32),
            states=np.ravel(states),
        )
        self.witness.ledger.wished(ids.tolist())
        self.server.take(OPERATOR, om.SpawnEntities(1, rows))
        return ids

    def _take_ids(self, count: int) -> U64:
        if self._granted[1] < count:
            self.server.take(OPERATOR, om.RequestIds(max(count, ID_BLOCK // 1024)))
        first, left = self._granted
        if left < count:
            raise LimitError(f"{count} ids wanted, {left} left: spawn again when granted")
        self._granted = first + count, left - count
        return np.arange(first, first + count, dtype=np.uint64)

    def granted(self, message: sm.GrantIds) -> None:
        """Take ids that the server grants to an operator."""
        self._granted = message.first, message.count

    def order(self, message: Message) -> None:
        """Have an operator say something, and not wait for the answer."""
        self.server.heard(OPERATOR, codec.encode(message))

    def command(self, message: Message) -> Message:
        """Have an operator say something; returns the answer."""
        self.server.take(OPERATOR, message)
        return self.answers.pop()

    def alive(self) -> list[SimulatedShard]:
        """Return the shards that run."""
        return [shard for shard in self.shards if shard.alive]

    # --- clients -------------------------------------------------------------

    def to_client(self, client: SimulatedClient, output: Output) -> None:
        """Bring what the server says to a client."""
        if output.link != client.link:
            return
        line = client.line
        match output:
            case Send():
                for observer in self.observers:
                    observer.client_told(client, output.message)
                data = codec.encode(output.message)
                if line is not None:
                    line.server_says(data)
                else:
                    client.down.message(partial(client.receive_bytes, data))
            case SendDatagrams() if line is not None:
                first = line.server_sends(output.payloads)
                client.server.manager.sent_datagrams(output.link, first)
            case SendDatagrams():
                first, client.tokens = client.tokens, client.tokens + len(output.payloads)
                client.server.manager.sent_datagrams(output.link, first)
                for token, payload in enumerate(output.payloads, first):
                    client.down.datagram(
                        partial(client.receive_datagram, payload),
                        partial(self._notice, client.server, output.link, token),
                    )
            case CloseLink() if line is not None:
                client.server.lines.pop(output.link, None)
                line.end("server", output.reason, told=False)
            case CloseLink():
                client.closed(output.reason)

    @staticmethod
    def _notice(server: ServerProcess, link: LinkId, token: int, arrived: bool) -> None:
        server.noticed(link, [token] if arrived else [], [] if arrived else [token])
