"""Datagrams that wait to be sent: newest matter most, so the oldest are dropped."""

from collections import deque
from collections.abc import Sequence
from typing import Any

from sidereal.errors import LimitError
from sidereal.transport.layout import SEQUENCES, UNSEQUENCED


class DatagramQueue:
    """A bounded queue of payloads, each known by its token.

    Parameters
    ----------
    bytes_max
        Beyond it the oldest are dropped.
    age_ns
        What waited longer is dropped.
    """

    __slots__ = (
        "_age_ns",
        "_ages",
        "_bytes_max",
        "bytes",
        "first",
        "head",
        "next_token",
        "payloads",
        "sequences",
    )

    def __init__(self, bytes_max: int, age_ns: int) -> None:
        self._bytes_max = bytes_max
        self._age_ns = age_ns
        self._ages: deque[tuple[int, int]] = deque()
        self.payloads: list[bytes] = []
        self.sequences = bytearray()
        """To which sequence each of ``payloads`` belongs, or UNSEQUENCED."""
        self.head = 0
        """Index in ``payloads`` of the oldest that waits."""
        self.first = 0
        """The token of ``payloads[0]``."""
        self.next_token = 0
        self.bytes = 0

    def __bool__(self) -> bool:
        return self.head < len(self.payloads)

    @property
    def head_token(self) -> int:
        """The token of the oldest that waits."""
        return self.first + self.head

    def push(
        self, payloads: Sequence[Any], payload_max: int, now: int, sequence: int | None = None
    ) -> tuple[int, range]:
        """Queue payloads; return the first one's token, and the tokens dropped to make room.

        Raises
        ------
        LimitError
            A payload is longer than ``payload_max``, or there is no such sequence: nothing
            was queued.
        """
        if sequence is not None and not 0 <= sequence < SEQUENCES:
            raise LimitError(f"there is no sequence {sequence}; choose 0 to {SEQUENCES - 1}")
        items = [data if type(data) is bytes else bytes(data) for data in payloads]
        sizes = [len(data) for data in items]
        if items and max(sizes) > payload_max:
            raise LimitError(
                f"datagram of {max(sizes)} bytes is longer than {payload_max}; "
                "send less at a time, or use a reliable message"
            )
        token = self.next_token
        self.payloads += items
        self.sequences += bytes([UNSEQUENCED if sequence is None else sequence]) * len(items)
        self.next_token += len(items)
        self.bytes += sum(sizes)
        self._ages.append((now + self._age_ns, self.next_token))
        oldest = self.head_token
        while self.bytes > self._bytes_max:
            self.bytes -= len(self.payloads[self.head])
            self.head += 1
        dropped = range(oldest, self.head_token)
        self._trim()
        return token, dropped

    def taken(self, head: int) -> None:
        """Everything before index ``head`` of ``payloads`` was sent."""
        self.bytes -= sum(map(len, self.payloads[self.head : head]))
        self.head = head
        self._trim()

    @property
    def stale_at(self) -> int | None:
        """When the oldest will have waited too long, or None."""
        while self._ages and self._ages[0][1] <= self.head_token:
            self._ages.popleft()
        return self._ages[0][0] if self._ages and self else None

    def expire(self, now: int) -> range:
        """Drop what has waited too long; return its tokens."""
        oldest = self.head_token
        while True:
            stale_at = self.stale_at
            if stale_at is None or stale_at > now:
                break
            self.taken(self._ages[0][1] - self.first)
        return range(oldest, self.head_token)

    def clear(self) -> range:
        """Drop everything; return the tokens."""
        dropped = range(self.head_token, self.next_token)
        self.taken(len(self.payloads))
        return dropped

    def _trim(self) -> None:
        if self.head == len(self.payloads):
            self.first = self.next_token
            self.payloads = []
            self.sequences = bytearray()
            self.head = 0
        elif self.head >= 4096:
            del self.payloads[: self.head], self.sequences[: self.head]
            self.first += self.head
            self.head = 0
