"""Letters that somebody has written and that the server is not known to have.

They are numbered, from 1, for as long as their writer lives; answers to heartbeats say how
many have come. After a break those that had not are said again, in order.
"""

from collections import deque
from collections.abc import Iterator

from sidereal.errors import LimitError
from sidereal.limits import LETTERS_UNSETTLED_BYTES_MAX
from sidereal.wire.shard_messages import SendMail


class Unsettled:
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

    def taken(self, number: int) -> list[SendMail]:
        """Forget, and return, all up to `number`: the server has them, or nobody will know."""
        settled = []
        while self._open and self._open[0].number <= number:
            settled.append(self._open.popleft())
            self._bytes -= len(settled[-1].payload)
        return settled

    def take_all(self) -> list[SendMail]:
        """Forget, and return, all of them."""
        return self.taken(self._written)

    def __iter__(self) -> Iterator[SendMail]:
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)
