"""A life cycle: its states, and one literal table of what leads from one to another.

An event that the table does not hold for a state is an error with a name. The
diagrams of ``docs/lives.md`` are drawn from these tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from sidereal.errors import SiderealError

State = TypeVar("State", bound=Enum)
Event = TypeVar("Event", bound=Enum)


class LifeError(SiderealError):
    """An event reached something in a state that does not know it."""


@dataclass(frozen=True, slots=True)
class Life(Generic[State, Event]):
    """One life cycle, of which every instance begins at `start`."""

    of: str
    """What lives, as in "a sector"."""
    start: State
    transitions: Mapping[tuple[State, Event], State]

    def after(self, state: State, event: Event) -> State:
        """Return the state after `event`; raise `LifeError` where the table has none."""
        try:
            return self.transitions[state, event]
        except KeyError:
            raise LifeError(f"{self.of} that is {state.value} cannot {event.value}") from None
