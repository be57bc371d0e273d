"""A reliable ordered channel: messages in, a stream of offsets on the wire, messages out.

A message travels as ``length u32 · bytes`` in one endless byte stream, cut into
frames as packets have room: fragmentation needs nothing else. The receiver says
up to which offset it has room (credit); what arrives out of order waits.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from struct import Struct
from typing import Final, Generic, TypeVar

from sidereal.errors import LimitError, ProtocolError
from sidereal.limits import EARLY_PIECES_MAX, MESSAGE_BYTES_MAX
from sidereal.transport.layout import FRAME_STREAM, STREAM
from sidereal.transport.ranges import RangeSet

PREFIX: Final = Struct("<I")
PREFIX_BYTES: Final = PREFIX.size
BLOCK_BYTES: Final = 16 * 1024
"""Smaller messages are gathered into blocks of this size, larger ones stay as they are."""


class SendStream:
    """The sending half of one channel.

    Parameters
    ----------
    channel
        Its number in the frames.
    queue_bytes
        Bound of what may be queued and not yet acknowledged.
    """

    __slots__ = (
        "_acked",
        "_blocks",
        "_lost",
        "_lost_before",
        "_queue_bytes",
        "_starts",
        "again",
        "channel",
        "end",
        "floor",
        "limit",
        "messages",
        "next",
        "retransmitted",
    )

    def __init__(self, channel: int, queue_bytes: int) -> None:
        self.channel = channel
        self._queue_bytes = queue_bytes
        self._starts: list[int] = []
        self._blocks: list[bytes | bytearray] = []
        self._acked = RangeSet()
        self._lost = RangeSet()
        self._lost_before = RangeSet()
        self.again = self._lost.starts
        """Not empty where lost bytes go again."""
        self.floor = 0
        """All below is acknowledged."""
        self.next = 0
        """The first offset never sent."""
        self.end = 0
        self.limit = 0
        """The peer's credit: nothing at or above may be sent."""
        self.messages = 0
        self.retransmitted = 0

    @property
    def queued_bytes(self) -> int:
        """Bytes held until the peer acknowledges them."""
        return self.end - self.floor

    @property
    def pending(self) -> bool:
        """Whether something could be sent now, were there room."""
        return (self.next < self.end and self.next < self.limit) or bool(self.again)

    def push(self, data: bytes) -> None:
        """Queue one message.

        Raises
        ------
        LimitError
            The message is longer than MESSAGE_BYTES_MAX, or the queue is full.
        """
        size = len(data)
        self._admit(size, size + PREFIX_BYTES)
        if size < BLOCK_BYTES // 2:
            self._append(PREFIX.pack(size) + data)
        else:
            self._append(PREFIX.pack(size))
            self._append(data)
        self.messages += 1

    def push_many(self, messages: Sequence[bytes]) -> None:
        """Queue messages, all or none: for many small ones, several times faster than `push`.

        Raises
        ------
        LimitError
            As in `push`.
        """
        if not messages:
            return
        sizes = [*map(len, messages)]
        longest = max(sizes)
        self._admit(longest, sum(sizes) + PREFIX_BYTES * len(sizes))
        if longest >= BLOCK_BYTES:  # large ones are sent from where they are
            for message in messages:
                self.push(message)
            return
        pieces: list[bytes] = [b""] * (2 * len(sizes))
        pieces[::2] = map(PREFIX.pack, sizes)
        pieces[1::2] = messages
        self._append(b"".join(pieces))
        self.messages += len(sizes)

    def _admit(self, longest: int, added: int) -> None:
        if longest > MESSAGE_BYTES_MAX:
            raise LimitError(
                f"message of {longest} bytes is longer than {MESSAGE_BYTES_MAX}; send it in parts"
            )
        if self.end - self.floor + added > self._queue_bytes:
            raise LimitError(
                f"{self.queued_bytes} bytes wait for this peer and {added} more exceed "
                f"{self._queue_bytes}; wait until it has read some"
            )

    def _append(self, data: bytes) -> None:
        tail = self._blocks[-1] if self._blocks else None
        if isinstance(tail, bytearray) and len(tail) + len(data) <= BLOCK_BYTES:
            tail += data
        elif data:
            self._starts.append(self.end)
            # The first of them is sent at once, most likely: later ones are gathered.
            whole = tail is None or len(data) >= BLOCK_BYTES
            self._blocks.append(bytes(data) if whole else bytearray(data))
        self.end += len(data)

    def take(self, room: int) -> tuple[bytes, tuple[int, int, int]] | None:
        """Return one frame of at most ``room`` bytes and its cargo, or None.

        What was lost goes first. The cargo ``(channel, offset, length)`` is for
        `acked` or `lost`.
        """
        length = room - STREAM.size
        if length <= 0:
            return None
        if self.again:
            offset, end = self._lost.first()
            length = min(length, end - offset)
            self._lost.remove(offset, offset + length)
            self.retransmitted += length
        else:
            offset = self.next
            ready = (self.end if self.end < self.limit else self.limit) - offset
            if ready <= 0:
                return None
            if ready < length:
                length = ready
            self.next = offset + length
        head = STREAM.pack(FRAME_STREAM, self.channel, offset, length)
        return head + self.read(offset, length), (self.channel, offset, length)

    def run(self) -> tuple[bytes, int, int] | None:
        """Return never-sent bytes that lie in one large block: ``(block, start, end)``, or None.

        What was sent of them is told with `ran`. None while lost bytes must go first.
        """
        if self._lost or self.next >= self.end:
            return None
        index = bisect_right(self._starts, self.next) - 1
        block, first = self._blocks[index], self._starts[index]
        if not isinstance(block, bytes):
            return None
        return block, self.next - first, min(len(block), self.limit - first)

    def ran(self, length: int) -> None:
        """Count the first bytes of the last `run` as sent."""
        self.next += length

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes that are queued and not all acknowledged."""
        index = bisect_right(self._starts, offset) - 1 if len(self._starts) > 1 else 0
        at = offset - self._starts[index]
        piece = self._blocks[index][at : at + length]
        if len(piece) == length:
            return bytes(piece)
        pieces = [piece]
        length -= len(piece)
        while length:
            index += 1
            piece = self._blocks[index][:length]
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)

    def acked(self, offset: int, length: int) -> None:
        """The peer has these bytes."""
        end = offset + length
        if self.again:
            self._lost.remove(offset, end)
        if offset > self.floor:
            self._acked.add(offset, end)
            return
        if end > self.floor:
            self.floor = end
        while self._acked.starts and self._acked.starts[0] <= self.floor:
            start, stop = self._acked.first()
            self._acked.remove(start, stop)
            self.floor = max(self.floor, stop)
        if self._lost_before.starts:
            self._lost_before.remove(0, self.floor)
        self._release()

    def _release(self) -> None:
        if self.floor == self.end:
            self._starts.clear()
            self._blocks.clear()
            return
        done = bisect_right(self._starts, self.floor) - 1
        # The tail may still grow, and deleting from the front costs: do it seldom.
        if done >= 32 or (done >= 1 and len(self._blocks[0]) >= BLOCK_BYTES):
            del self._starts[:done]
            del self._blocks[:done]

    def lost(self, offset: int, length: int) -> list[tuple[int, int, bool]]:
        """These bytes go again, but for what the peer has by now.

        Returns the parts ``(start, end, again)`` that do: ``again`` where some of it, or all, was
        lost before.
        """
        parts = []
        for start, end in self._acked.missing(max(offset, self.floor), offset + length):
            again = self._lost_before.missing(start, end) != [(start, end)]
            parts.append((start, end, again))
            self._lost.add(start, end)
            self._lost_before.add(start, end)
        return parts

    def resend(self, start: int, end: int) -> None:
        """Bytes go again that may not be lost, but for what the peer has by now."""
        for first, last in self._acked.missing(max(start, self.floor), end):
            self._lost.add(first, last)


PART_BYTES: Final = 4096
"""Smaller parts of a message wait together: each by itself would be an object for a few bytes."""
Delivered = TypeVar("Delivered")


class ReceiveStream(ABC, Generic[Delivered]):
    """The receiving half of a channel; a subclass says what it delivers.

    Held at most: ``window`` bytes that wait out of order or for the user to read them.
    """

    __slots__ = (
        "_offsets",
        "_pieces",
        "channel",
        "messages",
        "next",
        "told",
        "unread",
        "waiting_bytes",
        "window",
    )

    def __init__(self, channel: int, window: int) -> None:
        self.channel = channel
        self.window = window
        self.next = 0
        """All below has arrived."""
        self.told = window
        """The credit that the peer knows of."""
        self.messages = 0
        self.waiting_bytes = 0
        self.unread = 0
        """Bytes of messages that were delivered and that the user has not taken: no credit yet."""
        self._offsets: list[int] = []
        self._pieces: list[bytes] = []

    @property
    def credit(self) -> int:
        """The offset up to which there is room now."""
        return self.next - self.unread + self.window

    @property
    def credit_due(self) -> bool:
        """Whether the peer should hear of more room."""
        return self.credit - self.told >= self.window // 4

    def receive(self, offset: int, data: bytes) -> list[Delivered]:
        """Take a frame's bytes; return what can be delivered by it.

        Raises
        ------
        ProtocolError
            The peer sent beyond its credit, a message too long, or too many pieces.
        """
        end = offset + len(data)
        if end > self.told:
            raise ProtocolError(
                f"channel {self.channel}: bytes up to {end} were sent, "
                f"credit was given up to {self.told}"
            )
        if end <= self.next:
            return []
        if offset > self.next:
            self._keep(offset, data)
            return []
        fresh = data[self.next - offset :] if offset < self.next else data
        self.next = end
        if not self._offsets:
            return self._deliver(fresh)
        messages = self._deliver(fresh)
        while self._offsets and self._offsets[0] <= self.next:
            start = self._offsets.pop(0)
            piece = self._pieces.pop(0)
            self.waiting_bytes -= len(piece)
            if start + len(piece) > self.next:
                fresh = piece[self.next - start :]
                self.next = start + len(piece)
                messages += self._deliver(fresh)
        return messages

    def _keep(self, offset: int, data: bytes) -> None:
        """Hold bytes that came early, without what is held already."""
        index = bisect_right(self._offsets, offset)
        if index:
            covered = self._offsets[index - 1] + len(self._pieces[index - 1]) - offset
            if covered > 0:
                data = data[covered:]
                offset += covered
        while data and index < len(self._offsets):
            over = offset + len(data) - self._offsets[index]
            if over <= 0:
                break
            if over < len(self._pieces[index]):
                data = data[:-over]
                break
            # The held piece lies within this one: the new one replaces it.
            self.waiting_bytes -= len(self._pieces[index])
            del self._offsets[index], self._pieces[index]
        if not data:
            return
        if len(self._offsets) >= EARLY_PIECES_MAX:
            raise ProtocolError(
                f"channel {self.channel}: more than {EARLY_PIECES_MAX} pieces out of order"
            )
        index = bisect_left(self._offsets, offset)
        self._offsets.insert(index, offset)
        self._pieces.insert(index, data)
        self.waiting_bytes += len(data)

    @abstractmethod
    def _deliver(self, data: bytes) -> list[Delivered]:
        """Take the next bytes of the stream, in order."""

    def _length(self, data: bytes | bytearray, at: int) -> int:
        length: int = PREFIX.unpack_from(data, at)[0]
        if length > MESSAGE_BYTES_MAX:
            raise ProtocolError(
                f"channel {self.channel}: a message claims {length} bytes, "
                f"at most {MESSAGE_BYTES_MAX} are allowed"
            )
        return length


class ReceiveMessages(ReceiveStream[bytes]):
    """Delivers whole messages; besides the window it holds the one being put together."""

    __slots__ = ("_have", "_need", "_parts")

    def __init__(self, channel: int, window: int) -> None:
        super().__init__(channel, window)
        self._parts: list[bytes | bytearray] = []
        """What has come of a message that is not whole yet, its length in front."""
        self._have = self._need = 0

    def _deliver(self, data: bytes) -> list[bytes]:
        """Cut messages out of the stream; what is not whole waits, uncopied."""
        messages: list[bytes] = []
        parts = self._parts
        if parts:
            self._gather(data)
            if not self._need and self._have >= PREFIX_BYTES:
                parts[:] = [b"".join(parts)]
                self._need = PREFIX_BYTES + self._length(parts[0], 0)
            if not self._need or self._have < self._need:
                return messages
            data = self._complete(messages)
        at, have = 0, len(data)
        while have - at >= PREFIX_BYTES:
            stop = at + PREFIX_BYTES + self._length(data, at)
            if stop > have:
                self._need = stop - at
                break
            messages.append(data[at + PREFIX_BYTES : stop])
            at = stop
        self.unread += at
        if at < have:
            parts.append(data[at:] if at else data)
            self._have = have - at
        self.messages += len(messages)
        return messages

    def _gather(self, data: bytes) -> None:
        """Keep the next part of a message; small ones together: a peer that sends a message byte by
        byte would else have an object held for each."""
        self._have += len(data)
        last = self._parts[-1]
        if len(data) >= PART_BYTES:
            self._parts.append(data)
        elif isinstance(last, bytearray) and len(last) < PART_BYTES:
            last += data
        else:
            self._parts.append(bytearray(data))

    def _complete(self, messages: list[bytes]) -> bytes:
        """Put one message together, with one copy, and return what came after it."""
        parts = self._parts
        last, over = parts[-1], self._have - self._need
        pieces: list[bytes | bytearray | memoryview] = [*parts]
        if over:
            pieces[-1] = memoryview(last)[: len(last) - over]
        pieces[0] = memoryview(pieces[0])[PREFIX_BYTES:]
        messages.append(b"".join(pieces))
        parts.clear()
        self.unread += self._need
        self._need = self._have = 0
        return bytes(last[len(last) - over :])
