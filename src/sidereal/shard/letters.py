"""Mail that this shard's game has sent and that the server is not known to have.

Letters are numbered, from 1, for as long as the incarnation lives; heartbeat
answers say how many have come. After a break those that had not are sent again.
"""

from collections import deque

from sidereal.errors import LimitError
from sidereal.limits import LETTERS_UNSETTLED_BYTES_MAX
from sidereal.shard import events as ev
from sidereal.wire.base import Message
from sidereal.wire.shard_messages import SendMail


class Letters:
    """What was written and not settled, in order."""

    def __init__(self) -> None:
        self._written = 0
        self._open: deque[SendMail] = deque()
        self._bytes = 0

    def write(self, entity: int, payload: bytes) -> SendMail:
        """Number a letter and keep it; raise `LimitError` where too many are kept."""
        if self._bytes + len(payload) > LETTERS_UNSETTLED_BYTES_MAX:
            raise LimitError(
                f"{self._bytes} bytes of messages have not reached the server yet; at most"
                f" {LETTERS_UNSETTLED_BYTES_MAX}: send again later"
            )
        self._written += 1
        letter = SendMail(entity, payload, self._written)
        self._open.append(letter)
        self._bytes += len(payload)
        return letter

    def taken(self, number: int) -> None:
        """The server has all up to `number`."""
        while self._open and self._open[0].number <= number:
            self._bytes -= len(self._open.popleft().payload)

    def resume(self, number: int, send: list[Message], out: list[ev.Event]) -> None:
        """A new session: send again what the server has not, if it knows (`number` from 0 on)."""
        if number < 0:
            self.give_up("whether it came is not known: the server is a new one", out)
            return
        self.taken(number)
        send += self._open

    def give_up(self, reason: str, out: list[ev.Event]) -> None:
        """Nobody will send again what was written: the game is told, letter by letter."""
        out += [ev.MailRefused(letter.entity, reason) for letter in self._open]
        self._open.clear()
        self._bytes = 0
