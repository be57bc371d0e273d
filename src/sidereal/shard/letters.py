"""Mail that this shard's game has sent and that the server is not known to have.

Letters are numbered for as long as the incarnation lives. A resumed session says which have
come; the others are sent again.
"""

from sidereal.shard import events as ev
from sidereal.wire.base import Message
from sidereal.wire.letters import Unsettled


class Letters(Unsettled):
    """What was written and not settled, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._term = -1
        """Of the server that all of them were written for."""

    def resume(self, number: int, term: int, send: list[Message], out: list[ev.Event]) -> None:
        """A session with the server of that term: send again what it has not, all after `number`.

        Below 0 it knows of none, since it took over, and cannot know of those for another.
        """
        before, self._term = self._term, term
        if number < 0 and before != term:
            self.give_up("whether it came is not known: the server is a new one", out)
            return
        self.taken(number)
        send += self

    def give_up(self, reason: str, out: list[ev.Event]) -> None:
        """Nobody will send again what was written: the game is told, letter by letter."""
        out += [ev.MailRefused(each.entity, reason, each.payload) for each in self.take_all()]
