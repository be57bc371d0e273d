"""A shard process of the demo: the same host as ``sidereal shard``, with the audit's eye on it.

Started by the launcher as ``python -m sidereal.demo.shard_main CONFIG AUDIT_DIRECTORY``.
"""

import gc
import os
import sys
from pathlib import Path
from typing import Any, assert_never

import numpy as np

from sidereal.demo import audit_file as af
from sidereal.demo.costs import Meter, costs_path
from sidereal.demo.finals import final_path
from sidereal.demo.recorder import Recorder
from sidereal.errors import SiderealError
from sidereal.runtime import config as configuration
from sidereal.runtime import logs, memory, shard_process
from sidereal.runtime.clock import now_ns
from sidereal.runtime.embed import Shard
from sidereal.runtime.network import Network
from sidereal.runtime.signals import stop_on_signals
from sidereal.shard import events as ev
from sidereal.shard.phase import DESTROYING, SHADOW, STILL
from sidereal.simulations.api import Simulation
from sidereal.simulations.blob import ENDLESS
from sidereal.transport.netsim import NetSim
from sidereal.world.batch import World

NICENESS = 6
"""Shards share the machine with their server, and what it does not take in soon is late for all of
them; a shard that is late catches up."""

CAUSES = {"activation": af.ACTIVATION, "migration": af.MIGRATION, "rehomed": af.REHOMED}


class AuditedShard:
    """Tells the recorder what the shard does, before anything of it leaves the process."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._meter = Meter()
        self.shard: Shard | None = None
        self._dtype: np.dtype[Any] | None = None

    def watch(self, shard: Shard, simulation: Simulation) -> None:
        """Look on at a shard."""
        self.shard = shard
        self._dtype = simulation.state_dtype

    @property
    def stop_tick(self) -> int | None:
        """The last world tick to simulate, once the launcher has named it."""
        return self.recorder.stop_tick

    def happened(self, events: list[ev.Event]) -> None:
        """Write down who came and who went."""
        now = now_ns()
        recorder = self.recorder
        for event in events:
            match event:
                case ev.SectorAssigned():
                    rows = event.entities
                    recorder.entered(rows.ids, rows.version, CAUSES[event.cause])
                case ev.EntitiesEntered():
                    rows = event.entities
                    fresh = rows.version == 1
                    recorder.entered(rows.ids[fresh], rows.version[fresh], af.SPAWN)
                    recorder.entered(rows.ids[~fresh], rows.version[~fresh], af.HANDOFF)
                case ev.EntitiesKept():
                    recorder.kept(event.ids, event.version, event.tick, now)
                case ev.EntitiesExited() | ev.EntitiesDestroyed():
                    recorder.released(event.ids)
                case ev.SectorFrozen():
                    recorder.left(event.ids, event.version, event.tick, now)
                case ev.SectorResumed():
                    recorder.kept(event.ids, event.version, event.tick, now)
                case ev.SessionEnded():
                    recorder.left(event.ids, event.version, event.tick, now, lost=True)
                case (
                    ev.Registered()
                    | ev.SectorUnassigned()
                    | ev.EntitiesCrossing()
                    | ev.PositionsInvalid()
                    | ev.GhostsChanged()
                    | ev.MailReceived()
                    | ev.MailRefused()
                    | ev.PossessionChanged()
                    | ev.LeaseLost()
                    | ev.LeaseRegained()
                    | ev.LinkLost()
                    | ev.SessionResumed()
                ):
                    pass
                case _:
                    assert_never(event)

    def stepped(
        self, world: World, simulation: Simulation, started_ns: int, ended_ns: int, due_ns: int
    ) -> None:
        """Count the rows that were simulated."""
        if self.shard is not None:
            self._meter.tick(self.shard, len(world))
        life = getattr(simulation, "life", None)
        if life is None:
            birth = np.zeros(len(world), np.uint32)
            end = np.full(len(world), ENDLESS, np.uint32)
        else:
            birth, end = life(world)
        self.recorder.tick(
            world.tick,
            world.ids,
            world.since,
            birth,
            end,
            pending=world.shadow,
            started_ns=started_ns,
            ended_ns=ended_ns,
            next_due_ns=due_ns,
        )

    def wished(self, events: list[ev.Event]) -> None:
        """Write down who asks to leave, before the request does."""
        now = now_ns()
        for event in events:
            if isinstance(event, ev.EntitiesCrossing):
                self.recorder.crossed(event.ids, event.version, now)

    def turn(self) -> None:
        """Say what is held once the last tick is over; answer the last question once asked.

        Held is what this shard may simulate. Without a lease that is nothing, whatever is in
        memory; nor is a copy that stands still: a frozen one is kept until it is released, while
        another shard may simulate the entity already.
        """
        recorder, shard = self.recorder, self.shard
        stop = recorder.stop_tick
        if recorder.file["done"] or shard is None or stop is None:
            return
        if not shard.registered or shard.last_tick < stop or not shard.core.has_lease(now_ns()):
            recorder.file["held"] = 0
            return
        table = shard.core.holdings.table
        slots = np.flatnonzero(table.phase & SHADOW == 0).astype(np.uint32)
        still = table.phase[slots] & STILL != 0
        recorder.file["held"] = int(np.sum(~still & (table.phase[slots] & DESTROYING == 0)))
        if not recorder.finish:
            return
        self._meter.write(costs_path(final_path(recorder.file.path)), shard)
        _, states = table.states(slots)
        state = states.view(self._dtype) if self._dtype is not None else np.empty(0)
        recorder.final(table.ids[slots], table.position[slots], table.tick[slots], state, still)


def main(config_file: Path, audit_directory: Path) -> int:
    """Run the shard until the launcher ends it; return the exit status."""
    config = configuration.load(config_file)
    name = configuration.shard_of(config).name
    logs.start(name)
    witness = AuditedShard(Recorder(audit_directory, name, os.getpid()))
    network = Network(NetSim(os.getpid()), witness.recorder.cuts)
    host = shard_process.build(config, witness, network)
    witness.watch(host.shard, host.simulation)
    stop = stop_on_signals()
    os.nice(NICENESS)
    memory.keep()
    gc.collect()
    gc.freeze()
    try:
        host.run(stop)
    finally:
        host.shard.close()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
    except SiderealError as error:
        print(f"sidereal shard: {error}", file=sys.stderr)
        sys.exit(2)
