"""A shard process of the simulated cluster: a core, its link, its own clock, a game that steps.

It can be killed, paused (what arrives waits for it), made slow (a step takes
its time, and its rows go back afterwards), and when its link ends it makes another.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sidereal.errors import LimitError, ProtocolError
from sidereal.ids import Incarnation, LinkId
from sidereal.shard import events as ev
from sidereal.shard.core import ShardCore
from sidereal.testing.clocks import LocalClock
from sidereal.testing.lines import Direction, Line
from sidereal.testing.wires import Side
from sidereal.wire import codec
from sidereal.world.batch import Ghosts, Spawn, World
from sidereal.world.columns import U32, U64
from sidereal.world.rules import NS_PER_S

if TYPE_CHECKING:
    from sidereal.testing.cluster import Cluster
    from sidereal.testing.server import ServerProcess

POLL_NS = NS_PER_S // 50
"""How often a process that knows no ticks yet looks around."""

RECONNECT_NS = NS_PER_S // 4
"""How long a process waits before it makes a link anew."""


class SimulatedShard:
    """One shard process.

    Parameters
    ----------
    cluster
        Where it lives.
    name
        Its configured name.
    clock
        Its own clock.
    comes_back
        Whether it makes a link anew when one ended, as a shard of a game does.
    """

    def __init__(
        self, cluster: "Cluster", name: str, clock: LocalClock, *, comes_back: bool = False
    ) -> None:
        self.cluster = cluster
        self.name = name
        self.clock = clock
        self.comes_back = comes_back
        self.alive = True
        self.linked = False
        """Whether it has a link, or believes so."""
        self.touched = False
        """Whether anything happened to it since the last check."""
        self.simulates: U64 = np.empty(0, np.uint64)
        """What it may simulate, were its lease not over, as of the last check."""
        self.ticked = 0
        self.busy_ns = 0
        """How long each step takes."""
        self.log: list[ev.Event] = []
        self.ghosts = Ghosts.none()
        """What it sees across its borders."""
        self.ended = ""
        self._paused = False
        self._stepping = False
        self._inbox: list[Callable[[], None]] = []
        """What arrives while the process stands still; it finds it when it goes on."""
        self._turn_due = -1
        self._term_seen = 0
        self.side: Side | None = None
        """Its endpoint, where links are real transport endpoints."""
        if cluster.wires is not None:
            self.side = cluster.wires.bind(self, (name, 1), accepts=False)
        self._begin()
        self._join()
        self._turn_at(cluster.clock.now)

    # --- what a test does ----------------------------------------------------

    @property
    def now(self) -> int:
        """What its clock shows."""
        return self.clock.now

    @property
    def up(self) -> Direction:
        """The direction of its link that leads to the server."""
        return self.line.up

    @property
    def down(self) -> Direction:
        """The direction of its link that leads here."""
        return self.line.down

    @property
    def paused(self) -> bool:
        """Whether the process stands still."""
        return self._paused

    @paused.setter
    def paused(self, still: bool) -> None:
        was, self._paused = self._paused, still
        if was and not still:
            self.line.loud("server")
            self._turn_at(self.cluster.clock.now)
        elif still and not was:
            self.line.quiet("server")

    def touch(self) -> None:
        """Something happened to it: what it simulates is to be checked."""
        self.touched = self.cluster.touched = True

    def kill(self, *, lost: bool = False) -> None:
        """End the process at once. The server hears nothing more; `lost`: nor what is on its way.

        Only its silence tells the server.
        """
        self.alive = False
        self.touch()
        self.line.down.cut = True
        if self.side is not None and self.cluster.wires is not None:
            self.cluster.wires.leave(self.side)
        if lost:
            self.line.up.cut = True
        self.line.quiet("server")

    @property
    def still(self) -> bool:
        """Whether it neither reads its socket nor keeps time."""
        return self._paused or self._stepping

    @property
    def leased(self) -> bool:
        """Whether it may simulate now."""
        return self.alive and self.core.session.has_lease(self.clock.now)

    def destroy(self, ids: U64) -> None:
        """Have the game end entities between two steps, whatever is under way with them."""
        for observer in self.cluster.observers:
            observer.wished_ends(self, ids)
        self.core.destroy(ids)
        if not self.still:
            self.flush()

    # --- its link ------------------------------------------------------------

    def _begin(self) -> None:
        """Begin a life: a new incarnation of its name."""
        cluster = self.cluster
        self.core = ShardCore(
            self.name,
            Incarnation(cluster.random.getrandbits(48)),
            wants_ghosts=cluster.ghosts,
            term_seen=self._term_seen,
        )
        self.ticked = 0
        self.ghosts = Ghosts.none()
        self.touch()

    def _join(self) -> None:
        """Open a session over a new link."""
        cluster = self.cluster
        self.line = cluster.server.connect(self)
        self.link: LinkId = self.line.number
        self.linked = True
        self._open()

    def _open(self) -> None:
        for observer in self.cluster.observers:
            observer.connected(self)
        self.core.open(self.clock.now)

    def relink(self) -> None:
        """Open a new session over a new link; the old one is dead at this end."""
        self.line.cut()
        self._inbox.clear()
        self.core.lost()
        self._join()
        self.flush()

    @property
    def key_name(self) -> str:
        """The name of the key by which the server knows it."""
        return f"shard:{self.name}"

    def belongs(self, server: "ServerProcess", number: LinkId) -> None:
        """The link of that number is with that server."""
        server.shards[number] = self

    def link_over(self, end: str, reason: str) -> None:
        """One end (``server``, ``peer``) of a link has ended, and will be told."""
        for observer in self.cluster.observers:
            observer.ended(self, end, reason)

    def link_ended(self, line: Line, reason: str) -> None:
        """The link is over. The simulation goes on under its lease; a new link is made."""
        if self._later(partial(self.link_ended, line, reason)) or line is not self.line:
            return
        self.ended = reason
        if not self.comes_back or not self.linked:
            return
        self.linked = False
        self.core.lost()
        self.cluster.clock.at(self.cluster.clock.now + RECONNECT_NS, self._rejoin)

    def _rejoin(self) -> None:
        if not self.alive or self.linked:
            return
        if self._paused or self._stepping or not self.cluster.server.alive:
            self.cluster.clock.at(self.cluster.clock.now + RECONNECT_NS, self._rejoin)
            return
        if self.core.fenced or self.core.shard_id is None:
            self._begin()
        self._join()
        self.flush()

    def _begin_anew(self) -> None:
        """The server has given this life up."""
        self._tell()
        self._term_seen = self.core.term_seen
        self._begin()
        self._open()

    # --- its loop ------------------------------------------------------------

    def _turn_at(self, when: int) -> None:
        self._turn_due = when
        self.cluster.clock.at(when, partial(self._turn, when))

    def _turn(self, due: int) -> None:
        """One turn of the process's loop; the next one follows."""
        if not self.alive or due != self._turn_due or self._paused or self._stepping:
            return
        inbox, self._inbox = self._inbox, []
        for arrived in inbox:
            arrived()
        core, now = self.core, self.clock.now
        core.tick(now)
        if core.clock is not None and core.has_lease(now):
            tick = core.clock.tick_at(now)
            if tick > self.ticked:
                self.ticked = tick
                if not self._step(tick):
                    return
        self.flush()
        self._tell()
        self._next_turn()

    def _next_turn(self) -> None:
        clock, core = self.cluster.clock, self.core
        if core.clock is None:
            self._turn_at(clock.now + POLL_NS)
            return
        now = self.clock.now
        begins = core.clock.begins_ns(core.clock.tick_at(now) + 1)
        begins = min(max(begins, now + 1), now + core.rules.tick_ns)
        self._turn_at(max(self.clock.true(begins), clock.now + 1))

    def _step(self, tick: int) -> bool:
        """Simulate a tick; return whether it is over already."""
        core = self.core
        table = core.holdings.table
        slots = core.runnable(tick)
        rows = slots.astype(np.intp)  # once, and not for each column
        shadow = table.phase[rows] != 0
        version = table.version[rows]
        world = World(
            tick=tick,
            tick_hz=core.rules.tick_hz,
            slots=slots,
            ids=table.ids[rows],
            position=table.position.take(rows, axis=0),
            velocity=table.velocity.take(rows, axis=0),
            since=table.tick[rows],
            flags=table.flags[rows],
            shadow=shadow,
            state=self._states(slots),
            ghosts=self.ghosts,
        )
        self.cluster.step(world, 1 / core.rules.tick_hz)
        held = ~shadow
        for observer in self.cluster.observers:
            observer.stepped(self, tick, world.ids[held], version[held])
            for ids in world.destroyed:
                observer.wished_ends(self, ids)
        if self.busy_ns:
            self._stepping = True
            clock = self.cluster.clock
            clock.at(clock.now + self.busy_ns, partial(self._stepped, core, world))
            return False
        self._finish(core, world)
        return True

    def _stepped(self, core: ShardCore, world: World) -> None:
        """A step that took its time is over; what arrived meanwhile waited."""
        if not self.alive:
            return
        if self._paused:
            clock = self.cluster.clock
            clock.at(clock.now + POLL_NS, partial(self._stepped, core, world))
            return
        self._stepping = False
        if core is self.core:
            self._finish(core, world)
            self.flush()
            self._tell()
        self._turn_at(self.cluster.clock.now)

    def _finish(self, core: ShardCore, world: World) -> None:
        self.touch()
        core.move(world.slots, world.position, world.velocity)
        if world.state is not None and len(world):
            data = np.frombuffer(np.ascontiguousarray(world.state).tobytes(), np.uint8)
            lengths = np.full(len(world), world.state.dtype.itemsize, np.uint32)
            core.set_states(world.slots, lengths, data)
        left = core.complete(world.tick, world.slots, self.clock.now, destroyed=world.destroyed)
        for wish in world.wishes if left else ():
            with suppress(LimitError):  # its ids are still to be granted: the game wishes again
                self._wish(core, wish)

    def _states(self, slots: U32) -> NDArray[Any] | None:
        """Return the states of rows as the game's dtype has them; zeros where there are none."""
        dtype = self.cluster.state_dtype
        if dtype is None:
            return None
        table = self.core.holdings.table
        states = np.zeros(len(slots), dtype)
        alike = table.states(slots)[0] == dtype.itemsize
        states[alike] = table.states(slots[alike])[1].view(dtype)
        return states

    def _wish(self, core: ShardCore, wish: Spawn) -> None:
        lengths = states = None
        if wish.state is not None:
            lengths = np.full(len(wish.state), wish.state.dtype.itemsize, np.uint32)
            states = np.frombuffer(np.ascontiguousarray(wish.state).tobytes(), np.uint8)
        core.spawn(
            self.ticked,
            wish.position,
            wish.velocity,
            lengths=lengths,
            states=states,
            flags=wish.flags,
            sensor=wish.sensor,
        )

    def _tell(self) -> None:
        told = self.core.events()
        for event in told:
            if isinstance(event, ev.GhostsChanged):
                self.ghosts = Ghosts(event.ids, event.position, event.velocity, event.flags)
        if told:
            self.log += told
            if self.cluster.hear is not None:
                self.cluster.hear(self, told)

    # --- what leaves ---------------------------------------------------------

    def flush(self) -> None:
        """Put what the core wants to say on the wire."""
        messages, payloads = self.core.poll()
        observers, line = self.cluster.observers, self.line
        for message in messages:
            for observer in observers:
                observer.shard_said(self, message)
            line.peer_says(codec.encode(message))
        if payloads:
            for observer in observers:
                observer.shard_updated(self, payloads)
            self.core.sent_datagrams(line.peer_sends(payloads))

    # --- what arrives --------------------------------------------------------

    def _later(self, arrived: Callable[[], None]) -> bool:
        """Whether the process stands still: then it finds this when it goes on."""
        if self._paused or self._stepping:
            self._inbox.append(arrived)
            return True
        return not self.alive

    def heard(self, line: Line, data: bytes) -> None:
        """Take a message of the server's."""
        if self._later(partial(self.heard, line, data)) or not self._over(line):
            return
        core = self.core
        message = codec.decode(data)
        observers = self.cluster.observers
        for observer in observers:
            observer.shard_hears(self, message)
        try:
            core.receive(message, self.clock.now)
        except ProtocolError as error:
            self.cluster.accused(self.name, "the server", str(error))
            self.line.end("peer", str(error))
            return
        self.touch()
        for observer in observers:
            observer.shard_heard(self, message)
        if core.fenced:
            self._begin_anew()
        self.flush()
        self._tell()

    def _over(self, line: Line) -> bool:
        """Whether this is the line that is used now."""
        return self.linked and line is self.line

    def datagrams(self, line: Line, payloads: list[bytes]) -> None:
        """Take datagrams of the server's."""
        if not self._later(partial(self.datagrams, line, payloads)) and self._over(line):
            self.core.receive_datagrams(payloads, self.clock.now)

    def noticed(self, line: Line, acked: list[int], lost: list[int]) -> None:
        """Take notice of what became of datagrams."""
        if not self._later(partial(self.noticed, line, acked, lost)) and self._over(line):
            self.core.notice(acked, lost)
