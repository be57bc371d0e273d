"""The `trace` simulation: a crowd that moves as somebody recorded it.

A position is never looked up. Each tick adds what the recording moved between the
tick of the entity's state and this one, to the position that came with the
entity: whoever loses or delays a state shows up as an error in the end.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from sidereal.errors import SimulationError
from sidereal.simulations import blob
from sidereal.simulations._play import Player
from sidereal.simulations.api import World
from sidereal.simulations.replay import Replay


class TraceSimulation:
    """Replays recorded tracks; the blob of an entity names its copy and life.

    Parameters
    ----------
    options : mapping
        ``trace`` (path; none: the one that comes along), ``entities``, ``crowd``,
        ``sector_size``, ``tick_hz``, ``speed``, ``seed``: as the entities' plan has them.
    """

    state_dtype = blob.STATE
    ghosts = False

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._replay = Replay.from_options(options)
        points = self._replay.steps.table
        self._player = None if points is None else Player(self._replay.copies, points)

    def life(self, world: World) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        """First and last tick of each row's life, 0 for none."""
        return world.state["birth"], world.state["end"]

    def step(self, world: World, dt: float) -> None:
        """Move each row by what its track moved since its state; end those past their track."""
        if self._player is None:
            self.step_at_length(world, dt)
            return
        columns = world.state, world.since, world.position, world.velocity
        dead, stranger = self._player.play(*columns, world.tick, 1 / dt)
        if stranger >= 0:
            self._refuse(world, stranger)
        if len(dead):
            world.destroy(dead)

    def step_at_length(self, world: World, dt: float) -> None:
        """As `step`, for recordings of more steps than a table holds, and in readable steps."""
        state = world.state
        copy = state["copy"].astype(np.intp)
        if len(copy) and copy.max() >= self._replay.entities:
            self._refuse(world, int(copy.argmax()))
        birth = state["birth"].astype(np.int64)
        since = world.since.astype(np.int64)
        moved = self._replay.moved(copy, state["loop"], since - birth, world.tick - birth)
        world.position += moved
        np.multiply(moved, 1 / dt, out=world.velocity)
        late = np.flatnonzero(since < world.tick - 1)
        world.velocity[late] /= (world.tick - since[late])[:, None]
        alive = blob.account(world)
        if not alive.all():
            world.destroy(~alive)

    def _refuse(self, world: World, row: int) -> NoReturn:
        raise SimulationError(
            f"entity {world.ids[row]} replays copy {world.state['copy'][row]}, but the options"
            f" plan {self._replay.entities} entities: give all shards the launcher's options"
        )
