"""The state blob of the simulations that come along, and its own bookkeeping.

Each entity carries, through every transfer, which life it lives (copy, loop,
birth, end) and how it was treated: in how many ticks it was simulated, skipped
and repeated. A shard only adds to what came with the entity, so a blob that was
lost or rolled back on the way no longer adds up:

    simulated + skipped == last - birth + 1
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from sidereal.simulations.api import World

STATE = np.dtype(
    [
        ("copy", "<u4"),
        ("loop", "<u4"),
        ("birth", "<u4"),
        ("end", "<u4"),
        ("simulated", "<u4"),
        ("skipped", "<u4"),
        ("repeated", "<u4"),
        ("last", "<u4"),
    ]
)
"""32 bytes. ``birth`` and ``end`` are the first and last tick of life, ``end`` 0: no
end; ``last`` is the last tick simulated, ``birth - 1`` before the first."""

ENDLESS = np.uint32(2**32 - 1)
"""The last tick of a life without end."""


def spawn_state(
    copy: npt.NDArray[np.integer],
    loop: npt.NDArray[np.integer],
    birth: npt.NDArray[np.integer],
    end: npt.NDArray[np.integer],
) -> npt.NDArray[Any]:
    """Blobs (n,) of entities that nobody has simulated yet."""
    state = np.zeros(len(copy), STATE)
    state["copy"], state["loop"] = copy, loop
    state["birth"], state["end"] = birth, end
    state["last"] = np.maximum(birth, 1) - 1
    return state


def life(state: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """First and last tick of life, (n,) uint32 each, both inclusive."""
    return state["birth"], np.where(state["end"] == 0, ENDLESS, state["end"])


def account(world: World) -> npt.NDArray[np.bool_]:
    """Count this tick in each row's blob; returns the rows alive in it, (n,) bool."""
    state, tick = world.state, world.tick
    birth, end = life(state)
    alive: npt.NDArray[np.bool_] = (birth <= tick) & (tick <= end)
    # Almost every row lived in the tick before: only the others have something to explain.
    usual = alive & (state["last"] == tick - 1)
    usual &= world.since == tick - 1
    if not usual.all():
        odd = np.flatnonzero(~usual)
        state[odd] = _explained(state[odd], world.since[odd], tick, alive[odd])
    state["simulated"] += usual
    np.copyto(state["last"], tick, where=alive)
    return alive


def _explained(
    state: npt.NDArray[Any], since: npt.NDArray[np.uint32], tick: int, alive: npt.NDArray[np.bool_]
) -> npt.NDArray[Any]:
    """Blobs that count this tick and those that were missed, or lived before."""
    birth, end = life(state)
    before = np.maximum(since, np.maximum(birth, 1) - 1).astype(np.int64)
    skipped = np.minimum(tick - 1, end.astype(np.int64)) - before
    state["skipped"] += np.maximum(skipped, 0).astype(np.uint32)
    again = alive & (tick <= state["last"])
    state["repeated"] += again
    state["simulated"] += alive & ~again
    return state
