"""Mail that has come for this shard's entities and that its game has not been given yet.

What the game is given must take effect here. So a letter waits while its entity
is a shadow or stands still; it is dropped when the entity leaves, because the
server sends it again to whoever has the entity next. How the server knows: each
message that may end this shard's hold on entities states the highest number
that has come (`seen`) and the numbers, among those, that still wait (`held`).
"""

from dataclasses import dataclass, field

import numpy as np

from sidereal.kernel import ABSENT, EntityTable
from sidereal.wire.shard_messages import DeliverMail
from sidereal.world.columns import U64, among


@dataclass(slots=True)
class Mailbox:
    """Letters by entity, in the order of their numbers."""

    seen: int = 0
    """The highest number that has come in this session."""
    _waiting: dict[int, list[DeliverMail]] = field(default_factory=dict)

    def put(self, letter: DeliverMail) -> None:
        """Take a letter that has come."""
        self.seen = letter.number
        self._waiting.setdefault(letter.entity, []).append(letter)

    def settled(self) -> int:
        """Return the number up to which every letter has been given or dropped."""
        if not self._waiting:
            return self.seen
        return min(letters[0].number for letters in self._waiting.values()) - 1

    def held(self, ids: U64) -> tuple[int, ...]:
        """Return the numbers that wait for one of the entities `ids`."""
        numbers = [letter.number for entity in self._among(ids) for letter in self._waiting[entity]]
        return tuple(sorted(numbers))

    def take(self, table: EntityTable) -> list[DeliverMail]:
        """Return, and forget, what can be given now: to entities held and running."""
        if not self._waiting:
            return []
        entities = self._entities()
        slots = table.slots(entities)
        here = slots != ABSENT
        free = here.copy()
        free[here] = table.phase[slots[here]] == 0
        given = [
            letter for entity in entities[free].tolist() for letter in self._waiting.pop(entity)
        ]
        for entity in entities[~here].tolist():
            del self._waiting[entity]
        return sorted(given, key=lambda letter: letter.number)

    def forget_gone(self, table: EntityTable) -> None:
        """Drop the letters of entities that are no longer here, before they come back."""
        if self._waiting:
            entities = self._entities()
            for entity in entities[table.slots(entities) == ABSENT].tolist():
                del self._waiting[entity]

    def _entities(self) -> U64:
        return np.fromiter(self._waiting, np.uint64, len(self._waiting))

    def _among(self, ids: U64) -> list[int]:
        if not self._waiting:
            return []
        entities = self._entities()
        return [int(entity) for entity in entities[among(entities, ids)]]
