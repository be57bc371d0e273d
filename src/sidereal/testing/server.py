"""The replication server as a process of the simulated cluster: a manager, its links, its clock.

Everything that the manager decides leaves through `_release`, once it is
committed: a commit takes `commit_ns`, and the next one starts when it ended.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from sidereal.errors import ProtocolError
from sidereal.ids import LinkId
from sidereal.replication.books import CloseLink, Output, Send, SendDatagrams
from sidereal.replication.manager import SectorManager
from sidereal.replication.settings import Settings
from sidereal.testing.clocks import LocalClock
from sidereal.testing.lines import Line, MessageLine
from sidereal.wire import codec
from sidereal.wire.base import Message

if TYPE_CHECKING:
    from sidereal.testing.clients import SimulatedClient
    from sidereal.testing.cluster import Cluster
    from sidereal.testing.shards import SimulatedShard

OPERATOR = LinkId(1)


class ServerProcess:
    """One replication server process.

    Parameters
    ----------
    cluster
        Where it lives.
    settings
        Leases, intervals and the rules of the world.
    clock
        Its own clock.
    commit_ns
        How long a commit takes.
    """

    restarts = False
    """Whether a crashed server can be restarted: not without a journal."""

    def __init__(
        self, cluster: "Cluster", settings: Settings, clock: LocalClock, commit_ns: int = 0
    ) -> None:
        self.cluster = cluster
        self.clock = clock
        self.commit_ns = commit_ns
        self.alive = True
        self.manager = SectorManager(settings, now=clock.now, rng=cluster.random.randbytes)
        self.manager.connected(OPERATOR, "admin")
        self.lines: dict[LinkId, Line] = {}
        self.shards: dict[LinkId, SimulatedShard] = {}
        self.clients: dict[LinkId, SimulatedClient] = {}
        self.answers: list[Message] = []
        self.committing: list[Output] | None = None
        """What the commit that is under way will let out; None while there is none."""
        self._to_commit: list[Output] = []
        self._tick_ns = settings.rules.tick_ns
        self._paused = False
        self._inbox: list[Callable[[], None]] = []

    # --- links ---------------------------------------------------------------

    def connect(self, shard: "SimulatedShard") -> Line:
        """Make a link with a shard."""
        line: Line = MessageLine(self, shard, self.cluster.new_link())
        self.lines[line.number] = line
        self.shards[line.number] = shard
        self.manager.connected(line.number, f"shard:{shard.name}")
        return line

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

    def turn(self) -> None:
        """One tick; the next one follows."""
        if not self.alive:
            return
        clock = self.cluster.clock
        clock.at(clock.now + self._tick_ns, self.turn)
        if not self._paused:
            self.manager.tick(self.clock.now)
            self.cluster.witness.server_ticked()
            self.drain()

    def _later(self, arrived: Callable[[], None]) -> bool:
        if self._paused:
            self._inbox.append(arrived)
            return True
        return not self.alive

    # --- what arrives --------------------------------------------------------

    def heard(self, link: LinkId, data: bytes) -> None:
        """Take a message from a link, whether or not it is still one."""
        if not self._later(partial(self.heard, link, data)):
            self.take(link, codec.decode(data))

    def take(self, link: LinkId, message: Message) -> None:
        """Have the manager take a message, and let out what follows."""
        self.manager.receive(link, message, self.clock.now)
        shard = self.shards.get(link) if link in self.lines else None
        for observer in self.cluster.observers:
            observer.server_heard(shard, link, message)
        self.drain()

    def datagrams(self, link: LinkId, payloads: list[bytes]) -> None:
        """Take datagrams."""
        if not self._later(partial(self.datagrams, link, payloads)):
            self.cluster.witness.before_update()
            self.manager.receive_datagrams(link, payloads, self.clock.now)
            self.cluster.witness.updated(link)

    def noticed(self, link: LinkId, acked: list[int], lost: list[int]) -> None:
        """Take notice of what became of datagrams."""
        if not self._later(partial(self.noticed, link, acked, lost)):
            self.manager.notice(link, acked, lost)

    # --- what leaves ---------------------------------------------------------

    def drain(self) -> None:
        """Commit what was decided; then let it out."""
        outputs = self.manager.poll()
        if not self.commit_ns:
            self._release(outputs)
            return
        self._to_commit += outputs
        if self.committing is None and self._to_commit:
            self._commit()

    def _commit(self) -> None:
        self.committing, self._to_commit = self._to_commit, []
        clock = self.cluster.clock
        clock.at(clock.now + self.commit_ns, self._committed)

    def _committed(self) -> None:
        if not self.alive:
            return
        if self._later(self._committed):
            return
        outputs, self.committing = self.committing or [], None
        self._release(outputs)
        if self._to_commit:
            self._commit()

    @property
    def settled(self) -> bool:
        """Whether all that was decided has been let out."""
        return self.committing is None and not self._to_commit

    def _release(self, outputs: list[Output]) -> None:
        observers = self.cluster.observers
        for output in outputs:
            link = output.link
            client = self.clients.get(link)
            if client is not None:
                self.cluster.to_client(client, output)
                continue
            match output:
                case Send() if link == OPERATOR:
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
                case _ if link not in self.shards:
                    raise ProtocolError(f"nobody is behind link {link}")

    def _close(self, link: LinkId, reason: str) -> None:
        shard = self.shards[link]
        if not reason.startswith("lease over"):
            self.cluster.accused("the server", shard.name, reason)
        line = self.lines.pop(link)
        line.end("server", reason, told=False)
        if not shard.comes_back and shard.line is line:
            shard.ended = reason
            line.cut()  # as a test's shard is told: at once
