"""Which of this shard's entities clients' sessions steer, as far as the game was told."""

from sidereal.shard import events as ev


class Steering:
    """Entities with the session that possesses each."""

    def __init__(self) -> None:
        self._session_of: dict[int, int] = {}

    def changed(self, entity: int, session: int, held: bool, out: list[ev.Event]) -> None:
        """A session took or lost an entity."""
        if held:
            self._session_of[entity] = session
        else:
            self._session_of.pop(entity, None)
        out.append(ev.PossessionChanged(entity, session, held))

    def resume(self, told: dict[int, int], out: list[ev.Event]) -> None:
        """A session resumed: `told` is all that is possessed here; tell what differs."""
        for entity, session in list(self._session_of.items()):
            if told.get(entity) != session:
                self.changed(entity, session, False, out)
        for entity, session in told.items():
            if entity not in self._session_of:
                self.changed(entity, session, True, out)
