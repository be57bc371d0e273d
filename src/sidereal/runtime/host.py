"""`Host`: runs a simulation, a class with ``step(world, dt)``, as a shard.

It is what a game's own loop would be, written once: wait, poll, and when a tick
is due, hand the simulation its rows and take them back. A witness may look on;
it is told everything before anything of it leaves the process.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from sidereal.errors import SiderealError, SimulationError
from sidereal.runtime.clock import now_ns
from sidereal.runtime.embed import Shard
from sidereal.runtime.pace import Pace
from sidereal.shard import events as ev
from sidereal.simulations.api import Fills, Simulation
from sidereal.world.batch import World
from sidereal.world.rules import NS_PER_S

log = logging.getLogger("sidereal.shard")

SETTLE_NS = NS_PER_S // 200
"""After the last tick of a run: how often arrivals are looked for."""

COMPLAIN_NS = NS_PER_S
"""A simulation that goes wrong does so every tick: it is told so often, at most."""


class Witness(Protocol):
    """Looks on at a host, for an audit."""

    @property
    def stop_tick(self) -> int | None:
        """The last world tick to simulate, or None while the run goes on."""
        ...

    def happened(self, events: list[ev.Event]) -> None:
        """Events that the simulation is about to live with."""
        ...

    def stepped(
        self, world: World, simulation: Simulation, started_ns: int, ended_ns: int, due_ns: int
    ) -> None:
        """A step is over, and nothing of it has left yet; the next is due at `due_ns`."""
        ...

    def wished(self, events: list[ev.Event]) -> None:
        """What the step led to, and nothing of it has left yet."""
        ...

    def turn(self) -> None:
        """A turn of the loop is over."""
        ...


class Host:
    """One simulation on one shard.

    Parameters
    ----------
    shard
        Not yet polled.
    simulation
        What moves the entities.
    witness
        An audit's eye, or None.
    """

    def __init__(
        self, shard: Shard, simulation: Simulation, witness: Witness | None = None
    ) -> None:
        self.shard = shard
        self.simulation = simulation
        self.witness = witness
        self.pace = Pace()
        self._complain_at = 0

    def run(self, until: Callable[[], bool]) -> None:
        """Simulate until `until` says so.

        Raises
        ------
        SimulationError
            The simulation raised inside ``step`` or ``fill``, or spawned outside the world.
        HandshakeError
            The replication server was never reached.
        """
        while not until():
            self.turn()

    def turn(self) -> None:
        """Wait for the next tick or event, and do what there is to do."""
        shard, witness = self.shard, self.witness
        stop = None if witness is None else witness.stop_tick
        stopped = stop is not None and shard.last_tick >= stop
        shard.wait(now_ns() + SETTLE_NS if stopped else None, ticking=not stopped)
        events = shard.poll()
        for event in events:
            self._note(event)
            if isinstance(event, ev.SectorAssigned) and event.first_time:
                self._fill(event)
        if witness is not None:
            witness.happened(events)
            shard.stages.lap("watch")
        if stopped and stop is not None:
            if shard.registered:
                self._tick(stop, only_if_any=True)
        elif (tick := shard.due()) is not None:
            self._tick(tick if stop is None else min(tick, stop))
        if witness is not None:
            witness.turn()

    def _tick(self, tick: int, only_if_any: bool = False) -> None:
        shard = self.shard
        started = now_ns()
        world = shard.begin(tick)
        if only_if_any and not len(world):
            return
        with self._blaming("step", f"in tick {tick}"):
            self.simulation.step(world, 1 / world.tick_hz)
        shard.stages.lap("simulate")
        ended = now_ns()
        due = shard.begins_ns(tick + 1)
        witness = self.witness
        if witness is not None:
            witness.stepped(world, self.simulation, started, ended, due)
            shard.stages.lap("watch")
        shard.end(
            world,
            step_ms=(ended - started) / 1e6,
            witness=None if witness is None else witness.wished,
        )
        self.pace.tick(shard.begins_ns(tick), started)
        if now_ns() > due and not only_if_any:
            self.pace.overrun()

    def _fill(self, event: ev.SectorAssigned) -> None:
        if not isinstance(self.simulation, Fills):
            return
        with self._blaming("fill", f"for sector {event.sector}"):
            spawn = self.simulation.fill(event.sector, self.shard.rules)
            if spawn is not None:
                self.shard.wish(spawn)

    @contextmanager
    def _blaming(self, method: str, when: str) -> Iterator[None]:
        """Tell what the simulation did wrong in one line."""
        try:
            yield
        except SiderealError:
            raise
        except Exception as error:
            kind = type(self.simulation).__name__
            raise SimulationError(
                f"{kind}.{method} raised {type(error).__name__}: {error}"
                f" ({_last_line(error)}) {when}"
            ) from error

    def _note(self, event: ev.Event) -> None:
        match event:
            case ev.Registered():
                log.info("registered as shard %d", event.shard_id)
            case ev.LeaseLost():
                log.warning("lease over: nothing is simulated until the server answers")
            case ev.LeaseRegained():
                log.info("lease regained")
            case ev.LinkLost():
                log.warning("link lost: %s; connecting again", event.reason)
            case ev.SessionResumed():
                log.info("session resumed")
            case ev.SessionEnded():
                log.warning("session ended: %s; registering anew", event.reason)
            case ev.PositionsInvalid() if now_ns() >= self._complain_at:
                self._complain_at = now_ns() + COMPLAIN_NS
                log.warning(
                    "%d positions are NaN, infinite or outside the world; entity %d and the"
                    " others stay at their last valid ones",
                    len(event.ids),
                    int(event.ids[0]),
                )
            case ev.SectorAssigned():
                log.debug("sector %s assigned: %s", event.sector, event.cause)
            case _:
                pass


def _last_line(error: BaseException) -> str:
    """Return where an error was raised, as ``file:line``."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown place"
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
