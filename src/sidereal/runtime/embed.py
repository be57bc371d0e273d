"""`Shard`: a simulation process's place in the world, driven from the game's own loop.

No event loop, no callback: `poll` gives typed events, `due` the tick that is to
be simulated, `begin` its rows as columns, `end` takes them back. A link that
breaks is made anew, and the simulation goes on under its lease meanwhile. Only where
the server has given this shard up, because it was away for longer, is what was here
simulated elsewhere; an event says so, and the shard registers anew.
"""

import os
import time
from collections.abc import Callable
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from sidereal.errors import HandshakeError, ProtocolError, SimulationError
from sidereal.ids import Incarnation
from sidereal.kernel import ABSENT
from sidereal.limits import DATAGRAM_BYTES_DEFAULT
from sidereal.runtime.channel import Address, Channel
from sidereal.runtime.clock import now_ns
from sidereal.runtime.due import next_tick
from sidereal.runtime.line import Line
from sidereal.runtime.network import Network
from sidereal.runtime.stages import Stages
from sidereal.runtime.wishes import Wishes
from sidereal.shard import events as ev
from sidereal.shard.core import ShardCore
from sidereal.shard.phase import SHADOW
from sidereal.transport import (
    BulkReceived,
    Connected,
    DatagramNotice,
    DatagramsReceived,
    LinkClosed,
    MessageReceived,
    TransportSettings,
)
from sidereal.wire import codec
from sidereal.world.batch import Ghosts, Spawn, World
from sidereal.world.columns import F32, F64, U8, U32, U64
from sidereal.world.rules import NS_PER_S, WorldRules

GATHER_NS, GATHER_MAX_NS = NS_PER_S // 250, NS_PER_S // 100
"""Between ticks arrivals, which take effect at the next, are gathered for a tenth of a tick within
these bounds: a pass for each datagram would cost a shard more than its simulation."""


class Shard:
    """One shard of a world, embedded in a game server.

    Parameters
    ----------
    name
        Its configured name, which its key is for.
    server
        Host and port of the replication server.
    key
        The shard's 32-byte pre-shared key, or what returns it at each attempt to connect.
    ghosts
        Whether to be sent read-only copies of what lies across the borders.
    state_dtype
        Layout of every entity's state; None where the game reads the bytes by itself.
    network
        A simulated network before the real one, for tests.
    datagram_bytes
        UDP payload of a full packet; the server's is the bound.

    Raises
    ------
    HandshakeError
        From `poll`, where the server was never reached or refuses this shard's key or version.
    """

    def __init__(
        self,
        name: str,
        server: Address,
        key: bytes | Callable[[], bytes],
        *,
        ghosts: bool = False,
        state_dtype: np.dtype[Any] | None = None,
        network: Network | None = None,
        datagram_bytes: int = DATAGRAM_BYTES_DEFAULT,
    ) -> None:
        self.name = name
        self.ghosts = Ghosts.none()
        self.ticks_skipped = 0
        self._server = server
        self._wants_ghosts = ghosts
        self._dtype = state_dtype
        self.stages = Stages()
        """Processor time by stage of the work."""
        settings = TransportSettings(datagram_bytes=datagram_bytes)
        self._channel = Channel(None, network=network, stages=self.stages, settings=settings)
        self._line = Line(self._channel, server, f"shard:{name}", key)
        self._core: ShardCore | None = None
        self._ever = False
        self._ticked = 0
        self._events: list[ev.Event] = []
        self._wishes = Wishes()

    # --- life ----------------------------------------------------------------

    def poll(self, now: int | None = None) -> list[ev.Event]:
        """Exchange what is to be exchanged and return what happened, in order."""
        now = now_ns() if now is None else now
        acked, lost = list[int](), list[int]()
        for event in self._line.pump(now):
            match event:
                case Connected():
                    self._open(now)
                case MessageReceived():
                    self._message(event.data, now)
                    self.stages.lap("messages")
                case DatagramsReceived():
                    if self._core is not None:
                        self._guard(lambda e=event: self._core_datagrams(e.payloads, now))
                case DatagramNotice():
                    acked += event.acked
                    lost += event.lost
                case LinkClosed():
                    self._closed(event.reason, refused=event.by_peer)
                case BulkReceived():
                    continue  # the server sends none
                case _:
                    assert_never(event)
        if self._core is not None:
            if acked or lost:
                self._core.notice(acked, lost)
                self.stages.lap("notices")
            self._core.tick(now)
            self._ask_wishes(now)
            self._events += self._core.events()
            self._ever = self._ever or self.registered
            self.stages.lap("messages")
        self._flush()
        events, self._events = self._events, []
        for told in events:
            if isinstance(told, ev.GhostsChanged):
                self.ghosts = Ghosts(told.ids, told.position, told.velocity, told.flags)
        return events

    def wait(self, until_ns: int | None = None, *, ticking: bool = True) -> None:
        """Sleep until the next tick is due, something arrives, or `until_ns`.

        Without a lease no tick is due, and without `ticking` none is waited for.
        """
        now = now_ns()
        deadline = now + NS_PER_S // 10
        core = self._core
        if ticking and core is not None and core.clock is not None and core.has_lease(now):
            deadline = min(deadline, core.clock.begins_ns(self._ticked + 1))
        deadline = deadline if until_ns is None else min(deadline, until_ns)
        gather_ns = min(max(self.rules.tick_ns // 10, GATHER_NS), GATHER_MAX_NS)
        if self._channel.wait(deadline) and deadline - now_ns() > 2 * gather_ns:
            time.sleep(gather_ns / NS_PER_S)

    def close(self, reason: str = "the shard was closed") -> None:
        """Leave, with the updates that a late shard kept back. What it has goes to others then."""
        if self._core is not None and self._core.session.is_open:
            self._core.complete(self._ticked, np.empty(0, np.uint32), now_ns())
            self._flush()
        self._line.close(reason)

    # --- time ----------------------------------------------------------------

    @property
    def registered(self) -> bool:
        """Whether the replication server knows this shard now."""
        return self._core is not None and self._core.shard_id is not None

    @property
    def rules(self) -> WorldRules:
        """The rules of the world; those of the server once registered."""
        return self._core.rules if self._core is not None else WorldRules()

    @property
    def last_tick(self) -> int:
        """The last world tick that was simulated here."""
        return self._ticked

    def begins_ns(self, tick: int) -> int:
        """Return when, by this process's clock, a world tick begins."""
        clock = self._connected().clock
        assert clock is not None, "not registered yet"
        return clock.begins_ns(tick)

    def due(self, now: int | None = None) -> int | None:
        """Return the world tick to simulate now; None while none is due or the lease is out."""
        now = now_ns() if now is None else now
        core = self._core
        if core is None or core.clock is None or not core.has_lease(now):
            return None
        return self._following(core, now)

    def _following(self, core: ShardCore, now: int) -> int | None:
        """Return the tick simulated next, at first the present one; None before it begins."""
        clock, ack = core.clock, core.session.ack
        assert clock is not None
        assert ack is not None
        lease_s = ack.lease_ns / NS_PER_S
        return next_tick(self._ticked, clock.tick_at(now), core.rules.tick_hz, lease_s)

    # --- a tick --------------------------------------------------------------

    def begin(self, tick: int) -> World:
        """Return the rows that `tick` simulates, as columns of their own."""
        core = self._connected()
        table = core.holdings.table
        slots = core.runnable(tick)
        ids, position, velocity, since, flags, phase = table.batch(slots)
        world = World(
            tick=tick,
            tick_hz=core.rules.tick_hz,
            slots=slots,
            ids=ids,
            position=position,
            velocity=velocity,
            since=since,
            flags=flags,
            shadow=phase & SHADOW != 0,
            state=None if self._dtype is None else self._states(core, slots, self._dtype),
            ghosts=self.ghosts,
        )
        self.stages.lap("begin")
        return world

    def end(
        self,
        world: World,
        now: int | None = None,
        step_ms: float | None = None,
        witness: Callable[[list[ev.Event]], None] | None = None,
    ) -> bool:
        """Take a tick's rows back and send what follows. False where the lease ended meanwhile.

        `witness` is told what the tick led to before anything of it leaves the process.
        """
        core = self._connected()
        now = now_ns() if now is None else now
        self.stages.lap("simulate")
        core.move(world.slots, world.position, world.velocity)
        if world.state is not None and len(world):
            data = np.ascontiguousarray(world.state).view(np.uint8)
            lengths = np.full(len(world), world.state.dtype.itemsize, np.uint32)
            core.set_states(world.slots, lengths, data)
        self.stages.lap("end")
        self._simulated(world.tick)
        behind = core.clock is not None and core.clock.tick_at(now) > world.tick
        left = core.complete(
            world.tick, world.slots, now, step_ms, destroyed=world.destroyed, behind=behind
        )
        self.stages.lap("pack")
        for spawn in world.wishes:
            self._wishes.add(spawn)
        self._ask_wishes(now)
        events = core.events()
        if witness is not None:
            witness(events)
            self.stages.lap("watch")
        self._events += events
        self._flush()
        return left

    def move(self, ids: U64, position: F64, velocity: F64) -> None:
        """Write positions of entities by id; to be followed by `finish`. Unknown ids: KeyError."""
        core = self._connected()
        slots = core.holdings.table.slots(np.ascontiguousarray(ids, np.uint64))
        if (slots == ABSENT).any():
            raise KeyError(f"entity {int(ids[slots == ABSENT][0])} is not on shard {self.name}")
        core.move(slots, np.asarray(position, np.float64), np.asarray(velocity, np.float64))

    def finish(self, tick: int, now: int | None = None) -> bool:
        """End a tick whose positions were written by `move`; as `end`."""
        core = self._connected()
        self._simulated(tick)
        now = now_ns() if now is None else now
        behind = core.clock is not None and core.clock.tick_at(now) > tick
        left = core.complete(tick, core.runnable(tick), now, behind=behind)
        self._events += core.events()
        self._flush()
        return left

    # --- wishes --------------------------------------------------------------

    def spawn(
        self,
        position: F64,
        velocity: F64,
        *,
        state: NDArray[Any] | None = None,
        flags: U32 | None = None,
        sensor: F32 | None = None,
        group: U64 | None = None,
    ) -> U64:
        """Ask for new entities, simulated from the next tick on; returns their ids, u64 (n,).

        They may be shown at once; they exist once `EntitiesKept` says so. `LimitError` where
        too few ids are granted yet: `wish` waits for them.
        """
        core = self._connected()
        lengths: U32 | None = None
        states: U8 | None = None
        if state is not None:
            lengths = np.full(len(state), state.dtype.itemsize, np.uint32)
            states = np.frombuffer(np.ascontiguousarray(state).tobytes(), np.uint8)
        return core.spawn(
            self._lived(core, now_ns()),
            np.ascontiguousarray(position, np.float64),
            np.ascontiguousarray(velocity, np.float64),
            lengths=lengths,
            states=states,
            flags=flags,
            sensor=sensor,
            group=group,
        )

    def wish(self, spawn: Spawn) -> None:
        """Ask for new entities as soon as there is a lease and ids for them, in whatever session.

        That is what `World.spawn` does when its tick ends. `LimitError` where too many wait.
        """
        self._wishes.add(spawn)

    def destroy(self, ids: U64) -> None:
        """Destroy entities of this shard; `EntitiesDestroyed` follows."""
        self._connected().destroy(ids)

    def send(self, entity: int, payload: bytes) -> None:
        """Send bytes to whichever shard holds `entity`, in order, once."""
        self._connected().send_mail(entity, payload)

    # --- what is here --------------------------------------------------------

    @property
    def core(self) -> ShardCore:
        """The state machine below, for tools that look inside."""
        return self._connected()

    def sectors(self) -> list[tuple[int, int]]:
        """Return the sectors of this shard."""
        return self._core.sector_list() if self._core is not None else []

    def traffic(self) -> tuple[int, int]:
        """Return the packets and the bytes, sent and received, of the link that there is."""
        link = self._line.link
        stats = None if link is None else self._channel.endpoint.stats(link)
        if stats is None:
            return 0, 0
        packets = stats.packets_sent + stats.packets_received
        return packets, stats.bytes_sent + stats.bytes_received

    # --- inside --------------------------------------------------------------

    def _simulated(self, tick: int) -> None:
        if self._ticked:  # those between were skipped
            self.ticks_skipped += max(0, tick - self._ticked - 1)
        self._ticked = tick

    def _connected(self) -> ShardCore:
        if self._core is None:
            raise SimulationError(f"shard {self.name} is not connected: poll until Registered")
        return self._core

    def _ask_wishes(self, now: int) -> None:
        if len(self._wishes) and self._core is not None and self._core.has_lease(now):
            self._wishes.ask(self._grant)

    def _grant(self, wish: Spawn) -> None:
        self.spawn(
            wish.position, wish.velocity, state=wish.state, flags=wish.flags, sensor=wish.sensor
        )

    def _lived(self, core: ShardCore, now: int) -> int:
        """Return the tick of what begins now: the one before that which is simulated next."""
        following = None if core.clock is None else self._following(core, now)
        return self._ticked if following is None else following - 1

    def _open(self, now: int) -> None:
        core = self._core
        if core is None or core.fenced:
            incarnation = Incarnation(int.from_bytes(os.urandom(7), "little"))
            term_seen = 0 if core is None else core.term_seen
            self._core = core = ShardCore(
                self.name, incarnation, wants_ghosts=self._wants_ghosts, term_seen=term_seen
            )
            self.ghosts = Ghosts.none()  # what the last incarnation saw, nobody takes back
        if self._line.link is not None:
            core.payload_bytes = self._channel.endpoint.datagram_payload_max(self._line.link)
        core.open(now)

    def _message(self, data: bytes, now: int) -> None:
        core = self._core
        if core is not None:
            self._guard(lambda: core.receive(codec.decode(data), now))
            if core.fenced and core is self._core:
                self._events += core.events()
                self._open(now)

    def _core_datagrams(self, payloads: list[bytes], now: int) -> None:
        if self._core is not None:
            self._core.receive_datagrams(payloads, now)

    def _guard(self, take: Any) -> None:
        """A server that breaks the protocol loses this link, with the reason; no more than that."""
        try:
            take()
        except ProtocolError as error:
            self._line.end(str(error), now_ns())
            self._closed(str(error))

    def _closed(self, reason: str, *, refused: bool = True) -> None:
        if not self._ever and (refused or not self._line.reached):
            raise HandshakeError(
                f"shard {self.name} cannot join {self._server[0]}:{self._server[1]}: {reason}"
            )
        if self._core is not None:
            self._core.lost()
            self._events += self._core.events()
            self._events.append(ev.LinkLost(reason))

    def _flush(self) -> None:
        core, link = self._core, self._line.link
        if core is not None and link is not None:
            messages, payloads = core.poll()
            for message in messages:
                self._line.send(codec.encode(message))
            if payloads:
                core.sent_datagrams(self._channel.endpoint.send_datagrams(link, payloads))
        self._channel.flush()

    def _states(self, core: ShardCore, slots: U32, dtype: np.dtype[Any]) -> NDArray[Any]:
        lengths, data = core.holdings.table.states(slots)
        if (lengths == dtype.itemsize).all():
            return data.view(dtype)
        strange = ~np.isin(lengths, [0, dtype.itemsize])
        if strange.any():
            raise SimulationError(
                f"entity {int(core.holdings.table.ids[slots[strange]][0])} has a state of"
                f" {int(lengths[strange][0])} bytes; this simulation's is {dtype.itemsize}"
            )
        states = np.zeros(len(slots), dtype)
        states[lengths != 0] = data.view(dtype)
        return states
