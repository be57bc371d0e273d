"""Floor 6: simulations that come along: trace, drift, flock."""

import importlib

from sidereal.errors import SimulationError
from sidereal.simulations.api import Simulation

SIMULATIONS = {
    "trace": "sidereal.simulations.trace:TraceSimulation",
    "drift": "sidereal.simulations.drift:DriftSimulation",
    "flock": "sidereal.simulations.flock:FlockSimulation",
}
"""Simulations with a short name."""


def load(spec: str) -> type[Simulation]:
    """Find a simulation by short name or ``package.module:Class``.

    Raises
    ------
    SimulationError
        No such name, module or class, or the class has no ``step``.
    """
    target = SIMULATIONS.get(spec, spec)
    module_name, _, class_name = target.partition(":")
    if not module_name or not class_name:
        known = ", ".join(SIMULATIONS)
        raise SimulationError(f"simulation '{spec}' is none of {known}, nor package.module:Class")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise SimulationError(f"simulation '{spec}': no module '{error.name}'") from error
        raise SimulationError(
            f"simulation '{spec}': module '{module_name}' needs '{error.name}', not installed"
        ) from error
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise SimulationError(f"simulation '{spec}': importing it failed: {reason}") from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise SimulationError(f"simulation '{spec}': '{module_name}' has no class '{class_name}'")
    if not callable(getattr(found, "step", None)):
        raise SimulationError(f"simulation '{spec}': '{class_name}' has no step(world, dt)")
    return found
