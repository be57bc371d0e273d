"""``sidereal shard``: a simulation as a shard in a process of its own."""

import gc
import logging

from sidereal.errors import SimulationError
from sidereal.runtime import keys, memory
from sidereal.runtime.config import Config, shard_of
from sidereal.runtime.embed import Shard
from sidereal.runtime.host import Host, Witness
from sidereal.runtime.network import Network
from sidereal.runtime.signals import stop_on_signals
from sidereal.simulations import load
from sidereal.simulations.api import Simulation

log = logging.getLogger("sidereal.shard")


def build(config: Config, witness: Witness | None = None, network: Network | None = None) -> Host:
    """Return the host that a configuration describes; its shard has not joined yet."""
    chosen = shard_of(config)
    simulation = make(chosen.simulation, dict(chosen.options))
    shard = Shard(
        chosen.name,
        chosen.server,
        keys.KeyFile(chosen.key),
        ghosts=getattr(simulation, "ghosts", False),
        state_dtype=getattr(simulation, "state_dtype", None),
        network=network,
        datagram_bytes=chosen.datagram_bytes,
    )
    return Host(shard, simulation, witness)


def make(spec: str, options: dict[str, object]) -> Simulation:
    """Return a new simulation; an error of its own is told in one line."""
    kind = load(spec)
    try:
        return kind(options)
    except SimulationError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise SimulationError(
            f"simulation {spec!r} does not take its options: {type(error).__name__}: {error}"
        ) from error


def run(config: Config) -> int:
    """Run a shard until SIGINT or SIGTERM; return the exit status."""
    host = build(config)
    stop = stop_on_signals()
    memory.keep()
    gc.freeze()
    try:
        host.run(stop)
    finally:
        host.shard.close()
    log.info("stopped after %d ticks", host.pace.ticks)
    return 0
