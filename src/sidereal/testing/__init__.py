"""Floor 5: a whole cluster in one process, on a virtual clock and a seeded network.

For the protocol's own tests, and for games that test their shard code: a
`Cluster` to tell a story with, a `Simulation` that throws every fault at it.
`docs/simulator.md` shows both.
"""

from sidereal.testing.cluster import Cluster
from sidereal.testing.faults import FAULTS, chosen
from sidereal.testing.links import Weather
from sidereal.testing.observer import Observer, Violation
from sidereal.testing.plan import Plan, draw
from sidereal.testing.shards import SimulatedShard
from sidereal.testing.shrink import shrink
from sidereal.testing.simulation import Outcome, Simulation

__all__ = [
    "FAULTS",
    "Cluster",
    "Observer",
    "Outcome",
    "Plan",
    "SimulatedShard",
    "Simulation",
    "Violation",
    "Weather",
    "chosen",
    "draw",
    "shrink",
]
