"""The receiving half of the bulk channel: a message is handed on as it comes.

Nothing of a message is kept here once the user has it, so a peer never costs more
than the window, however long its messages are.
"""

from typing import NamedTuple

from sidereal.ids import LinkId
from sidereal.transport.events import BulkReceived, Event
from sidereal.transport.reliable import PART_BYTES, PREFIX_BYTES, ReceiveStream


class Chunk(NamedTuple):
    """Bytes of a message of ``size`` bytes, from its byte ``start`` on."""

    data: bytes
    start: int
    size: int


class ReceiveBulk(ReceiveStream[Chunk]):
    """As `ReceiveStream`, but delivers chunks."""

    __slots__ = ("_prefix", "_size", "_start")

    def __init__(self, channel: int, window: int) -> None:
        super().__init__(channel, window)
        self._prefix = b""
        self._start = self._size = 0

    @property
    def edges(self) -> tuple[int, int]:
        """Offsets where this message ends (or the last one did), and the next one's bytes begin.

        What is not cut there by whoever puts frames together is cut here, which copies it.
        """
        end = self.next - len(self._prefix) + self._size - self._start
        return end, end + PREFIX_BYTES

    def _deliver(self, data: bytes) -> list[Chunk]:
        """Cut the stream at the messages' ends."""
        chunks: list[Chunk] = []
        at, have = 0, len(data)
        while at < have:
            if self._start == self._size:
                lacking = PREFIX_BYTES - len(self._prefix)
                self._prefix += data[at : at + lacking]
                at += lacking
                if len(self._prefix) < PREFIX_BYTES:
                    break
                self._start, self._size = 0, self._length(self._prefix, 0)
                self._prefix = b""
                if self._size and at >= have:
                    break
            stop = min(have, at + self._size - self._start)
            chunks.append(Chunk(data[at:stop], self._start, self._size))
            self._start += stop - at
            self.messages += self._start == self._size
            at = stop
        self.unread += have
        return chunks


def hand_on(link: LinkId, chunks: list[Chunk], events: list[Event]) -> None:
    """Append what came to ``events``; what goes on from a small last one becomes one with it.

    A peer that sends a message byte by byte would else have an object held for each.
    """
    for data, start, size in chunks:
        last = events[-1] if events else None
        if (
            start
            and isinstance(last, BulkReceived)
            and len(last.data) < PART_BYTES
            and (last.link, last.start + len(last.data)) == (link, start)
        ):
            events[-1] = BulkReceived(link, last.data + data, last.start, size)
        else:
            events.append(BulkReceived(link, data, start, size))
