"""Spawns that a game has asked for and that cannot leave yet: no lease, or no ids granted.

They wait, in order, for as long as it takes, also for another session: what was
taken from the game is asked for in the end.
"""

from collections import deque
from collections.abc import Callable

from sidereal.errors import LimitError, SimulationError
from sidereal.limits import ID_BLOCK, SPAWNS_WAITING_MAX
from sidereal.world.batch import Spawn


class Wishes:
    """A queue of spawns."""

    def __init__(self) -> None:
        self._waiting: deque[Spawn] = deque()
        self._rows = 0

    def __len__(self) -> int:
        """Entities that wait."""
        return self._rows

    def add(self, spawn: Spawn) -> None:
        """Take a spawn; raise `LimitError` where it is too large, or too many wait."""
        if len(spawn) > ID_BLOCK:
            raise LimitError(f"a spawn of {len(spawn)} entities; at most {ID_BLOCK} at once")
        if self._rows + len(spawn) > SPAWNS_WAITING_MAX:
            raise LimitError(
                f"{self._rows} entities wait to be spawned, {len(spawn)} more are one too many:"
                f" at most {SPAWNS_WAITING_MAX} wait for a lease and for ids"
            )
        if len(spawn):
            self._waiting.append(spawn)
            self._rows += len(spawn)

    def ask(self, spawn: Callable[[Spawn], object]) -> None:
        """Hand them to `spawn`, in order, until it raises `LimitError`: no ids are left.

        One whose positions lie outside the world is given up with a `SimulationError`.
        """
        while self._waiting:
            try:
                spawn(self._waiting[0])
            except LimitError:
                return
            except ValueError as error:
                self._drop()
                raise SimulationError(str(error)) from error
            self._drop()

    def _drop(self) -> None:
        self._rows -= len(self._waiting.popleft())
