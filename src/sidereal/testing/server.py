"""The replication server as a process of the simulated cluster: manager, store, links, clock.

Everything that the manager decides is committed to a `MemoryDisk` and leaves
after that: a commit takes `commit_ns`, and the next one starts when it ended.
The process can be killed; the next one takes the next term and finds on the
disk what was committed. Two can live at once, and only one of them leads.
"""

import zlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from sidereal.errors import Deposed, StoreFailed
from sidereal.ids import LinkId
from sidereal.replication.books import CloseLink, Output, Send, SendDatagrams
from sidereal.replication.manager import SectorManager, Step
from sidereal.replication.settings import Settings
from sidereal.store import Crashed, MemoryDisk, MemoryStore
from sidereal.testing.clocks import LocalClock
from sidereal.testing.lines import Line, MessageLine
from sidereal.testing.wires import Side, TransportLine
from sidereal.wire import codec
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import Message
from sidereal.world.rules import NS_PER_S

if TYPE_CHECKING:
    from sidereal.testing.clients import SimulatedClient
    from sidereal.testing.cluster import Cluster
    from sidereal.testing.shards import SimulatedShard

OPERATOR = LinkId(1)

SNAPSHOT_NS = 5 * NS_PER_S

NOTICED_NS = NS_PER_S // 10
"""Within so long the shards of a server that died may know it."""


class ServerProcess:
    """One replication server process.

    Parameters
    ----------
    cluster
        Where it lives.
    settings
        Leases, intervals and the rules of the world.
    clock, machine
        Its own clock, and the name of that.
    disk
        What it finds, and what it commits to.
    commit_ns
        How long a commit takes.
    port
        Where it listens.
    """

    def __init__(
        self,
        cluster: "Cluster",
        settings: Settings,
        clock: LocalClock,
        machine: str,
        disk: MemoryDisk,
        commit_ns: int = 0,
        port: int = 0,
    ) -> None:
        self.cluster = cluster
        self.clock = clock
        self.commit_ns = commit_ns
        self.alive = True
        self.store = MemoryStore(disk)
        self.term = self.store.acquire_term()
        found = self.store.load()
        self.manager = SectorManager(
            settings,
            term=self.term,
            now=clock.now,
            rng=cluster.random.randbytes,
            clock=machine,
            wall_ns=cluster.clock.now + cluster.wall_error_ns,
            history=[*(found.snapshot or ()), *found.records],
        )
        self.manager.connected(OPERATOR, "admin")
        self.side: Side | None = None
        """Its endpoint, where links are real transport endpoints."""
        if cluster.wires is not None:
            self.side = cluster.wires.bind(self, ("server", port), accepts=True)
        self.lines: dict[LinkId, Line] = {}
        self.shards: dict[LinkId, SimulatedShard] = {}
        self.clients: dict[LinkId, SimulatedClient] = {}
        self.answers: list[Message] = []
        self.writing: list[bytes] = []
        """The records of the commit that is being written, or was written last."""
        self.dies_after: int | None = None
        """Of the next outputs so many are still sent; then the process dies."""
        self.began_at = self._position = self._decided = found.end
        """`began_at`: where the journal ended that it found. `_decided`: where it will once all is
        written that has been decided."""
        self._steps: list[Step] = []
        self._committing: list[Step] | None = None
        self._snapshot_at = clock.now + SNAPSHOT_NS
        self._tick_ns = settings.rules.tick_ns
        self._errors = 0
        self._paused = False
        self._inbox: list[Callable[[], None]] = []

    # --- links ---------------------------------------------------------------

    def connect(self, shard: "SimulatedShard") -> Line:
        """Make a link with a shard."""
        number, wires = self.cluster.new_link(), self.cluster.wires
        shard.belongs(self, number)
        if wires is not None:
            self.lines[number] = TransportLine(wires, self, shard, number)
        else:
            self.lines[number] = MessageLine(self, shard, number)
            self.manager.connected(number, shard.key_name)
        if not self.alive:
            self.lines[number].quiet("peer")  # nobody answers: it tries again
        return self.lines[number]

    def admit(self, client: "SimulatedClient") -> tuple[LinkId, Line | None]:
        """Make a link with a client; return its number, and its line over the transport, if so."""
        number, wires = self.cluster.new_link(), self.cluster.wires
        client.belongs(self, number)
        if wires is None:
            self.manager.connected(number, client.key_name)
            return number, None
        line = self.lines[number] = TransportLine(wires, self, client, number)
        return number, line

    def link_ended(self, link: LinkId, reason: str) -> None:
        """Take note of the end of a link."""
        del reason
        if self._later(partial(self.link_ended, link, "")):
            return
        self.lines.pop(link, None)
        self.manager.disconnected(link, self.clock.now)
        self.drain()

    # --- its life ------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether the process stands still."""
        return self._paused

    @paused.setter
    def paused(self, still: bool) -> None:
        was, self._paused = self._paused, still
        if was and not still:
            inbox, self._inbox = self._inbox, []
            for arrived in inbox:
                arrived()
            if self.cluster.wires is not None:
                self.cluster.wires.wake()

    @property
    def still(self) -> bool:
        """Whether it neither reads its socket nor keeps time."""
        return self._paused

    def crash(self, *, noticed: bool = True) -> None:
        """End the process at once. Its shards know it soon, or (not `noticed`) by its silence."""
        if not self.alive:
            return
        self.alive = False
        self.store.close()
        if self.side is not None and self.cluster.wires is not None:
            self.cluster.wires.leave(self.side)
        clock, random = self.cluster.clock, self.cluster.random
        for line in self.lines.values():
            line.up.cut = True
            if noticed:
                soon = clock.now + int(random.random() * NOTICED_NS)
                clock.at(soon, partial(line.snap, "the replication server is gone"))
            else:
                line.quiet("peer")
        for link, client in self.clients.items():
            if client.comes_back and client.link == link and client.line is None:
                soon = clock.now + int(random.random() * NOTICED_NS)
                clock.at(soon, partial(client.server_gone, link))

    def turn(self) -> None:
        """One tick; the next one follows."""
        if not self.alive:
            return
        clock = self.cluster.clock
        clock.at(clock.now + self._tick_ns, self.turn)
        if self._paused:
            return
        self.manager.tick(self.clock.now)
        if self is self.cluster.server:
            self.cluster.witness.server_ticked()
        self.drain()
        if self.alive and self.clock.now >= self._snapshot_at and self.settled:
            self._snapshot_at = self.clock.now + SNAPSHOT_NS
            self._write(self._snapshot)

    def _later(self, arrived: Callable[[], None]) -> bool:
        if self._paused:
            self._inbox.append(arrived)
            return True
        return not self.alive

    # --- what arrives --------------------------------------------------------

    def heard(self, link: LinkId, data: bytes) -> None:
        """Take a message from a link, whether or not it is still one."""
        if not self._later(partial(self.heard, link, data)):
            self.take(link, codec.decode(data), data)

    def take(self, link: LinkId, message: Message, data: bytes | None = None) -> None:
        """Have the manager take a message, and let out what follows; `data` are its bytes."""
        cluster = self.cluster
        where = cluster.clock.now.to_bytes(8, "little") + link.to_bytes(4, "little")
        cluster.digest = zlib.crc32(where + (data or codec.encode(message)), cluster.digest)
        self.manager.receive(link, message, self.clock.now)
        shard = self.shards.get(link) if link in self.lines else None
        for observer in cluster.observers:
            observer.server_heard(shard, link, message)
        errors = self.manager.books.counters["links_ended_for_errors"]
        if errors != self._errors:
            self._errors = errors
            reasons = [o.reason for o in self.manager.books.out if isinstance(o, CloseLink)]
            whom = shard.name if shard is not None else f"link {link}"
            cluster.accused("the server", whom, reasons[-1] if reasons else "")
        self.drain()

    def datagrams(self, link: LinkId, payloads: list[bytes]) -> None:
        """Take datagrams."""
        if not self._later(partial(self.datagrams, link, payloads)):
            witness = self.cluster.witness
            witness.before_update(self)
            self.manager.receive_datagrams(link, payloads, self.clock.now)
            witness.updated(self, link)

    def noticed(self, link: LinkId, acked: list[int], lost: list[int]) -> None:
        """Take notice of what became of datagrams."""
        if not self._later(partial(self.noticed, link, acked, lost)):
            self.manager.notice(link, acked, lost)

    # --- what leaves ---------------------------------------------------------

    @property
    def settled(self) -> bool:
        """Whether all that was decided has been let out."""
        return self._committing is None and not self._steps

    def whole_at(self, position: int) -> bool:
        """Whether a journal that ends there has all that this server has decided, and no more."""
        return self._decided == position and not self.manager.books.journal

    @property
    def committing(self) -> bool:
        """Whether a commit is under way that holds a decision."""
        return any(step.records for step in self._committing or ())

    def drain(self) -> None:
        """Commit what was decided; then let it out."""
        step = self.manager.poll()
        self._decided += len(step.records)
        if not step.records and not step.outputs:
            return
        self._steps.append(step)
        if self._committing is None:
            self._commit()

    def _commit(self) -> None:
        self._committing, self._steps = self._steps, []
        if not self.commit_ns:
            self._committed()
            return
        clock = self.cluster.clock
        clock.at(clock.now + self.commit_ns, self._committed)

    def _committed(self) -> None:
        if self._later(self._committed):
            return
        steps, self._committing = self._committing or [], None
        if not self._write(partial(self._append, steps)):
            return
        for step in steps:
            self._release(step.outputs)
        if self._steps and self.alive and self._committing is None:
            self._commit()

    def _append(self, steps: list[Step]) -> None:
        self.writing = [record for step in steps for record in step.records]
        self._position = self.store.commit(self.term, self.writing)

    def _snapshot(self) -> None:
        self.store.snapshot(self.term, self._position, [self.manager.image()])
        self.store.compact(self.term)

    def _write(self, write: Callable[[], None]) -> bool:
        """Write to the store; where that fails, or another leads, the process ends."""
        try:
            write()
        except (Crashed, Deposed, StoreFailed):
            self.crash()
            return False
        return True

    def _release(self, outputs: list[Output]) -> None:
        observers = self.cluster.observers
        for output in outputs:
            if not self.alive:
                return
            if self.dies_after is not None:
                self.dies_after -= 1
                if self.dies_after < 0:
                    self.crash()
                    return
            link = output.link
            client = self.clients.get(link)
            if client is not None:
                self.cluster.to_client(client, output)
                continue
            match output:
                case Send() if link == OPERATOR:
                    if isinstance(output.message, sm.GrantIds):
                        self.cluster.granted(output.message)
                    self.answers.append(output.message)
                    for observer in observers:
                        observer.operator_told(output.message)
                case Send() if link in self.lines:
                    shard = self.shards[link]
                    for observer in observers:
                        observer.server_said(shard, link, output.message)
                    self.lines[link].server_says(codec.encode(output.message))
                case SendDatagrams() if link in self.lines:
                    token = self.lines[link].server_sends(output.payloads)
                    self.manager.sent_datagrams(link, token)
                case CloseLink() if link in self.lines:
                    self._close(link, output.reason)

    def _close(self, link: LinkId, reason: str) -> None:
        shard = self.shards[link]
        line = self.lines.pop(link)
        line.end("server", reason, told=False)
        if not shard.comes_back and shard.line is line:
            shard.ended = reason
            line.cut()  # as a test's shard is told: at once
