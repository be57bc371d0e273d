"""``sidereal replication``: the manager, its socket and its clock in one process.

What arrives is judged at once, so that a handoff takes as long as two datagrams
on the wire; what is periodic happens at ticks. A pass never waits for anything
but the socket.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import assert_never

from sidereal.errors import ConfigError, LimitError, ProtocolError
from sidereal.ids import LinkId
from sidereal.replication.books import CloseLink, Send, SendDatagrams
from sidereal.replication.manager import SectorManager
from sidereal.replication.settings import Settings
from sidereal.runtime import keys, memory
from sidereal.runtime.address import Address
from sidereal.runtime.channel import Channel
from sidereal.runtime.clock import clock_name, now_ns
from sidereal.runtime.committer import CommitTime
from sidereal.runtime.config import Config
from sidereal.runtime.gate import Gate
from sidereal.runtime.pace import Pace
from sidereal.runtime.signals import stop_on_signals
from sidereal.runtime.stages import Stages
from sidereal.store import SqliteStore, Store
from sidereal.transport import (
    BulkReceived,
    Connected,
    DatagramNotice,
    DatagramsReceived,
    Event,
    LinkClosed,
    MessageReceived,
    TransportSettings,
)
from sidereal.wire import codec
from sidereal.world.rules import NS_PER_S, WorldRules

log = logging.getLogger("sidereal.replication")

FIRST_SNAPSHOT_NS = 3 * NS_PER_S // 2
"""After its start: by then shards have come and told where all is. Servers that die soon, one after
the other, would leave nothing newer than what the first of them had written."""

PASS_NS = NS_PER_S // 500
PASS_MAX_NS = NS_PER_S // 200
"""Datagrams are taken in passes at least a twentieth of a tick apart, within these bounds: a pass
for each would cost more than it brings."""

SLOWEST_OF_S = 5
"""The slowest commit is told for so long, to who looks less often than it is written down."""


def settings_of(config: Config) -> Settings:
    """Return the manager's settings for a configuration."""

    def ns(seconds: float) -> int:
        return round(seconds * NS_PER_S)

    world, replication = config.world, config.replication
    return Settings(
        rules=WorldRules(
            sector_size=world.sector_size,
            tick_hz=world.tick_hz,
            handoff_margin=world.handoff_margin,
            ghost_radius=world.ghost_radius,
        ),
        lease_ns=ns(replication.lease_s),
        drift_allowance_ns=ns(replication.drift_allowance_s),
        heartbeat_ns=ns(replication.heartbeat_s),
        load_report_ns=ns(replication.load_report_s),
        idle_unload_ns=ns(replication.idle_unload_s),
        activation_horizon_s=world.activation_horizon_s,
        rebalance_ns=ns(replication.rebalance_s),
        move_cooldown_ns=ns(replication.rebalance_s),
    )


class ReplicationServer:
    """The coordinator on one UDP port.

    Parameters
    ----------
    settings
        Leases, intervals and the rules of the world.
    listen
        Host and port; port 0 is any free one.
    psks
        Keys by name (``shard:NAME``, ``clients``, ``admin``): a dictionary or a `Keyring`.
    store
        Opens the store of the journal, from which a successor takes over; None: nothing is kept.
    snapshot_s
        How often the whole record is written beside the journal, but for the first time sooner.
    transport
        What may be set about its links; the defaults where that is None.

    Raises
    ------
    ConfigError
        The port is in use, or the address is not this machine's; or the journal is of a world
        with other rules.
    StoreError
        The journal is damaged or in use.
    """

    def __init__(
        self,
        settings: Settings,
        listen: Address,
        psks: dict[str, bytes] | keys.Keyring,
        store: Callable[[], Store] | None = None,
        snapshot_s: float = 5.0,
        transport: TransportSettings | None = None,
    ) -> None:
        began = now_ns()
        self.stages = Stages()
        try:
            self.channel = Channel(listen, psks.get, stages=self.stages, settings=transport)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {listen}: {error.strerror}: is another server running there?"
            ) from error
        bound = now_ns()
        try:
            self.gate = Gate(None if store is None else store())
            loaded = now_ns()
            self.manager = SectorManager(
                settings,
                term=self.gate.term,
                now=now_ns(),
                rng=os.urandom,
                clock=clock_name(),
                wall_ns=time.time_ns(),
                history=self.gate.history,
            )
        except BaseException:
            self.channel.close()
            raise
        counters = self.manager.books.counters
        counters["start_bind_us"] = (bound - began) // 1000
        counters["start_load_us"] = (loaded - bound) // 1000
        counters["start_replay_us"] = (now_ns() - loaded) // 1000
        self._snapshot_ns = round(snapshot_s * NS_PER_S)
        self._snapshot_at = now_ns() + min(self._snapshot_ns, FIRST_SNAPSHOT_NS)
        self.pace = Pace()
        self._tick_ns = settings.rules.tick_ns
        self._pass_ns = min(max(self._tick_ns // 20, PASS_NS), PASS_MAX_NS)
        self._next_tick = 0
        self._account_at = 0
        self._slowest: deque[CommitTime] = deque(maxlen=SLOWEST_OF_S)
        self._names: dict[LinkId, str] = {}

    @property
    def address(self) -> Address:
        """Where it listens."""
        host, port = self.channel.socket.address[:2]
        return Address(host, port)

    def serve(self, until: Callable[[], bool]) -> None:
        """Serve until `until` says so; it is asked at least once a tick."""
        self._next_tick = now_ns()
        while not until():
            self.step()

    def step(self) -> None:
        """Wait for the next tick or the next datagram, and do what there is to do."""
        started = now_ns()
        if self._wait() and self._next_tick - now_ns() > self._pass_ns:
            self.pace.breathe(self._pass_ns)
        if not self.gate.full:  # else peers wait until the disk has caught up
            for event in self.channel.pump():
                self._take(event)
        now = now_ns()
        if now >= self._next_tick:
            due = self._next_tick
            self.manager.tick(now)
            self._next_tick += self._tick_ns
            if now_ns() >= self._next_tick:
                self.pace.overrun()
                self._next_tick = now_ns() + self._tick_ns
            self.pace.tick(due, started)
            self._account(now)
            self.stages.lap("tick")
        self.gate.put(self.manager.poll())
        self.stages.lap("journal")
        if now >= self._snapshot_at and self.gate.takes_snapshot:
            self.gate.snapshot(self.manager.image())
            self._snapshot_at = now + self._snapshot_ns
            self.stages.lap("snapshot")
        self._send()

    def _wait(self) -> bool:
        """Wait for the next tick, a datagram (True), or a commit."""
        committed = self.gate.fileno()
        if committed is None:
            return self.channel.wait(self._next_tick)
        return self.channel.wait_with(committed, self._next_tick)

    def close(self) -> None:
        """Say goodbye to everybody, close the journal and the socket."""
        try:
            self.gate.close()
        finally:
            now = now_ns()
            for link in list(self._names):
                self.channel.endpoint.close(link, "the replication server stops", now)
            self.channel.close()

    def _account(self, now: int) -> None:
        """Write what this process knows of itself beside the manager's counters, once a second."""
        if now < self._account_at:
            return
        self._account_at = now + NS_PER_S
        counters = self.manager.books.counters
        for stage, used_ns in [*self.stages.used_ns.items(), *self.gate.used_ns.items()]:
            counters[f"cpu_us_{stage}"] = used_ns // 1000
        if (slowest := self.gate.take_slowest()) is not None:
            self._slowest.append(slowest)
            longest = max(self._slowest)
            counters["commit_max_us"] = longest.took_ns // 1000
            counters["commit_max_tick"] = self.manager.books.tick_at(longest.began_ns)
        counters["server_ticks"] = self.pace.ticks
        counters["server_overruns"] = self.pace.overruns
        stats = [self.channel.endpoint.stats(link) for link in self._names]
        counters["bytes_received"] = sum(s.bytes_received for s in stats if s is not None)
        counters["packets"] = sum(
            s.packets_sent + s.packets_received for s in stats if s is not None
        )
        counters["bytes_sent"] = sum(s.bytes_sent for s in stats if s is not None)

    def _take(self, event: Event) -> None:
        now = now_ns()
        if event.link not in self._names and not isinstance(event, Connected):
            return  # this server ended the link: what else came over it counts no more
        match event:
            case Connected():
                self._names[event.link] = event.key_name
                log.info("%s connected from %s", event.key_name, event.address)
                self.manager.connected(event.link, event.key_name)
            case MessageReceived():
                try:
                    message = codec.decode(event.data)
                except ProtocolError as error:
                    self._end(event.link, str(error), now)
                    return
                self.manager.receive(event.link, message, now)
                self.stages.lap(type(message).__name__)
            case BulkReceived():
                self._end(event.link, "bulk messages mean nothing here", now)
            case DatagramsReceived():
                self.manager.receive_datagrams(event.link, event.payloads, now)
                self.stages.lap("apply")
            case DatagramNotice():
                self.manager.notice(event.link, event.acked, event.lost)
                self.stages.lap("notices")
            case LinkClosed():
                name = self._names.pop(event.link, None)
                if name is not None:
                    log.info("%s disconnected: %s", name, event.reason)
                    self.manager.disconnected(event.link, now)
            case _:
                assert_never(event)

    def _end(self, link: LinkId, reason: str, now: int) -> None:
        log.warning("%s: link ended: %s", self._names.pop(link, "unknown"), reason)
        self.channel.endpoint.close(link, reason, now)
        self.manager.disconnected(link, now)

    def _send(self) -> None:
        endpoint = self.channel.endpoint
        for output in self.gate.released():
            match output:
                case Send():
                    try:
                        endpoint.send(output.link, codec.encode(output.message))
                    except LimitError as error:
                        self._end(output.link, f"does not read: {error}", now_ns())
                case SendDatagrams():
                    token = endpoint.send_datagrams(output.link, output.payloads)
                    self.manager.sent_datagrams(output.link, token)
                case CloseLink():
                    self._names.setdefault(output.link, "unknown")
                    log.warning("%s: link ended: %s", self._names.pop(output.link), output.reason)
                    endpoint.close(output.link, output.reason, now_ns())
                case _:
                    assert_never(output)
        self.stages.lap("encode")
        self.channel.flush()


def run(config: Config) -> int:
    """Run a replication server until SIGINT or SIGTERM; return the exit status."""
    psks = keys.Keyring(config.replication.keys)
    replication = config.replication
    store = None if replication.store == "memory" else partial(SqliteStore, replication.data)
    server = ReplicationServer(
        settings_of(config),
        replication.listen,
        psks,
        store,
        replication.snapshot_s,
        TransportSettings(datagram_bytes=replication.datagram_bytes),
    )
    stop = stop_on_signals()
    memory.keep()
    print(f"listening on {server.address}", flush=True)
    log.info("listening on %s with %d keys", server.address, len(psks))
    books = server.manager.books
    if books.term > 1:
        log.info("term %d: %d entities found in the journal", books.term, len(books.table))
    try:
        server.serve(stop)
    finally:
        server.close()
    return 0
