"""Mail that this shard's game has sent and that the server is not known to have.

Letters are numbered for as long as the incarnation lives. A resumed session says which have
come; the others are sent again.
"""

from sidereal.shard import events as ev
from sidereal.wire.base import Message
from sidereal.wire.letters import Unsettled


class Letters(Unsettled):
    """What was written and not settled, in order."""

    def resume(self, number: int, send: list[Message], out: list[ev.Event]) -> None:
        """A new session: send again what the server has not, if it knows (`number` from 0 on)."""
        if number < 0:
            self.give_up("whether it came is not known: the server is a new one", out)
            return
        self.taken(number)
        send += self

    def give_up(self, reason: str, out: list[ev.Event]) -> None:
        """Nobody will send again what was written: the game is told, letter by letter."""
        out += [ev.MailRefused(each.entity, reason, each.payload) for each in self.take_all()]
