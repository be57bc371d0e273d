"""Packets and frames, to be read: ``_open.pyx`` and ``_seal.pyx`` without a thought for speed.

It holds the numbers opened in a set and parses with `struct`; that it agrees with
the compiled codec, byte for byte and refusal for refusal, is what the tests check.
"""

from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from cryptography.exceptions import InvalidTag

from sidereal.transport import layout
from sidereal.transport.events import Address
from sidereal.transport.keys import KeyChain
from sidereal.transport.transmits import apart

SEALED_MAX: Final = 256
"""Packets that one call seals, at most."""
DATA_BYTE = (layout.VERSION << 4) | layout.DATA


def expand_number(expected: int, low: int) -> int:
    """Return the 64-bit number nearest to ``expected`` whose low 32 bits are ``low``."""
    whole, half = 1 << 32, 1 << 31
    candidate = (expected & ~(whole - 1)) | low
    if candidate + half <= expected and candidate < (1 << 64) - whole:
        return candidate + whole
    if candidate > expected + half and candidate >= whole:
        return candidate - whole
    return candidate


def nonce_of(number: int) -> bytes:
    """Return the AEAD nonce of a packet number."""
    return bytes(4) + number.to_bytes(8, "little")


def route(
    batch: Sequence[Any],
    routes: dict[int, tuple[Address, Any]],
    strays: list[tuple[bytes, Address]],
) -> dict[int, tuple[Any, list[bytes]]]:
    """Sort a batch of datagrams by connection; what belongs to none goes to ``strays``.

    The compiled one leaves runs of one connection's packets as they are; here they are cut.
    """
    groups: dict[int, tuple[Any, list[bytes]]] = {}
    for raw, address in apart(batch):
        data = bytes(raw)
        if len(data) <= layout.OVERHEAD_BYTES or data[0] != DATA_BYTE:
            strays.append((data, address))
            continue
        _, connection_id, _ = layout.HEADER.unpack_from(data)
        known = routes.get(connection_id)
        if known is None or known[0] != address:
            strays.append((data, address))
            continue
        groups.setdefault(connection_id, (known[1], []))[1].append(data)
    return groups


class Inbox:
    """What one batch of packets held, sorted by kind."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Empty it for the next batch."""
        self.datagrams: list[bytes] = []
        self.sequenced: list[tuple[int, bytes]] = []
        self.overtaken = 0
        self.segments: list[tuple[int, int, bytes]] = []
        self.acks: list[tuple[int, int, bytes]] = []
        self.credits: list[tuple[int, int]] = []
        self.close: tuple[int, bytes] | None = None
        self.error: str | None = None
        self.opened = self.opened_bytes = self.eliciting = 0
        self.forged = self.replayed = 0
        self.gap = False
        self.cuts = (0, 0)

    def cut_at(self, first: int, second: int) -> None:
        """End segments of bulk at these offsets, until `clear`."""
        self.cuts = (first, second)


class Opener:
    """Opens one direction's packets: check the window, decrypt, then mark."""

    def __init__(self, chain: KeyChain) -> None:
        self._chain = chain
        self._opened: set[int] = set()
        self._new: list[int] = []
        self._named: list[list[int]] = [[], [], []]
        self._newest: dict[int, int] = {}
        self.next_number = 0
        self.largest_ns = 0

    def open_batch(self, packets: list[bytes], now: int, inbox: Inbox) -> None:
        """Open each packet and sort its frames; stop at a frame that is wrong."""
        before, inbox.segments = inbox.segments, []
        for packet in packets:
            self._open(packet, now, inbox)
            if inbox.error is not None:
                break
        inbox.segments = [*before, *joined(inbox.segments, inbox.cuts)]

    def _open(self, packet: bytes, now: int, inbox: Inbox) -> None:
        _, _, low = layout.HEADER.unpack_from(packet)
        number = expand_number(self.next_number, low)
        too_old = self.next_number - number > layout.REPLAY_WINDOW
        if too_old or number in self._opened:
            inbox.replayed += 1
            return
        epoch = number >> self._chain.shift
        decrypt = self._chain.decryptor(epoch)
        if decrypt is None:
            inbox.forged += 1
            return
        header, sealed = packet[: layout.HEADER_BYTES], packet[layout.HEADER_BYTES :]
        try:
            plain = decrypt(nonce_of(number), sealed, header)
        except InvalidTag:
            inbox.forged += 1
            return
        self._chain.advance(epoch)
        inbox.gap = inbox.gap or number > self.next_number
        self._opened.add(number)
        self._new.append(number)
        if number >= self.next_number:
            self.next_number = number + 1
            self.largest_ns = now
            oldest = self.next_number - layout.REPLAY_WINDOW
            if len(self._opened) > 2 * layout.REPLAY_WINDOW:
                self._opened = {known for known in self._opened if known >= oldest}
        inbox.opened += 1
        inbox.opened_bytes += len(packet)
        error, eliciting = parse_frames(plain, inbox, number, self._newest)
        inbox.error = error
        if error is None and eliciting:
            inbox.eliciting += 1

    def ack_frame(self, now: int, room: int) -> bytes:
        """Build the ack of what was opened so far, back to all that is new since four acks ago."""
        if self.next_number == 0 or room < layout.ACK.size:
            return b""
        largest = self.next_number - 1
        floor = min([largest, *self._new, *(n for named in self._named for n in named)])
        self._named = [*self._named[1:], self._new]
        self._new = []
        words = min(
            (largest - floor + 63) // 64, layout.ACK_WORDS_MAX, (room - layout.ACK.size) // 8
        )
        bitmap = 0
        for bit in range(64 * words):
            number = largest - 1 - bit
            if number in self._opened and self.next_number - number <= layout.REPLAY_WINDOW:
                bitmap |= 1 << bit
        delay_us = min(max(0, (now - self.largest_ns) // 1000), 0xFFFFFFFF)
        head = layout.ACK.pack(layout.FRAME_ACK, largest & 0xFFFFFFFF, delay_us, words)
        return head + bitmap.to_bytes(8 * words, "little")


def parse_frames(
    plain: bytes, inbox: Inbox, number: int, newest: dict[int, int]
) -> tuple[str | None, bool]:
    """Sort a packet's frames into ``inbox``; return what was wrong, and whether it wants an ack.

    ``newest`` has the packet number of each sequence's newest datagram.
    """
    at, size, eliciting = 0, len(plain), False
    while at < size:
        kind, left = plain[at], size - at
        if kind == layout.FRAME_PADDING:
            if any(plain[at:]):
                return "padding that is not zero", eliciting
            break
        if kind == layout.FRAME_PING:
            at += 1
        elif kind == layout.FRAME_DATAGRAM:
            if left < layout.DATAGRAM.size:
                return "datagram frame cut short", eliciting
            _, length = layout.DATAGRAM.unpack_from(plain, at)
            if left - layout.DATAGRAM.size < length:
                return "datagram frame longer than its packet", eliciting
            at += layout.DATAGRAM.size
            inbox.datagrams.append(plain[at : at + length])
            at += length
        elif kind == layout.FRAME_SEQUENCED:
            if left < layout.SEQUENCED.size:
                return "sequenced frame cut short", eliciting
            _, sequence, length = layout.SEQUENCED.unpack_from(plain, at)
            if left - layout.SEQUENCED.size < length:
                return "sequenced frame longer than its packet", eliciting
            if sequence >= layout.SEQUENCES:
                return f"datagram of sequence {sequence}; there are {layout.SEQUENCES}", eliciting
            at += layout.SEQUENCED.size
            if number < newest.get(sequence, 0):
                inbox.overtaken += 1
            else:
                newest[sequence] = number
                inbox.sequenced.append((sequence, plain[at : at + length]))
            at += length
        elif kind == layout.FRAME_STREAM:
            if left < layout.STREAM.size:
                return "stream frame cut short", eliciting
            _, channel, offset, length = layout.STREAM.unpack_from(plain, at)
            if left - layout.STREAM.size < length:
                return "stream frame longer than its packet", eliciting
            if channel >= layout.CHANNELS:
                return (
                    f"stream frame for channel {channel}; there are {layout.CHANNELS}",
                    eliciting,
                )
            at += layout.STREAM.size
            inbox.segments.append((channel, offset, plain[at : at + length]))
            at += length
        elif kind == layout.FRAME_ACK:
            if left < layout.ACK.size:
                return "ack frame cut short", eliciting
            _, largest, delay_us, words = layout.ACK.unpack_from(plain, at)
            if words > layout.ACK_WORDS_MAX or left - layout.ACK.size < 8 * words:
                return f"ack bitmap of {words} words does not fit", eliciting
            at += layout.ACK.size
            inbox.acks.append((largest, delay_us, plain[at : at + 8 * words]))
            at += 8 * words
            continue
        elif kind == layout.FRAME_CREDIT:
            if left < layout.CREDIT.size:
                return "credit frame cut short", eliciting
            _, channel, limit = layout.CREDIT.unpack_from(plain, at)
            if channel >= layout.CHANNELS:
                return (
                    f"credit frame for channel {channel}; there are {layout.CHANNELS}",
                    eliciting,
                )
            inbox.credits.append((channel, limit))
            at += layout.CREDIT.size
        elif kind == layout.FRAME_CLOSE:
            if left < layout.CLOSE.size:
                return "close frame cut short", eliciting
            _, code, length = layout.CLOSE.unpack_from(plain, at)
            if left - layout.CLOSE.size < length or length > layout.REASON_BYTES_MAX:
                return f"close reason of {length} bytes does not fit", eliciting
            at += layout.CLOSE.size
            inbox.close = (code, plain[at : at + length])
            at += length
        else:
            return f"unknown frame type {kind}", eliciting
        eliciting = True
    return None, eliciting


def joined(
    segments: list[tuple[int, int, bytes]], cuts: tuple[int, int]
) -> Iterator[tuple[int, int, bytes]]:
    """Put frames ``(channel, offset, bytes)`` together where each goes on from the last.

    On bulk those that meet at one of the ``cuts`` are left apart, and one that lies over it is cut.
    """
    channel, start, end = -1, 0, 0
    pieces: list[bytes] = []
    for where, offset, data in parted(segments, cuts):
        if where == channel and offset == end and not (where == layout.BULK and end in cuts):
            pieces.append(data)
            end += len(data)
            continue
        if pieces:
            yield channel, start, b"".join(pieces)
        channel, start, end = where, offset, offset + len(data)
        pieces = [data]
    if pieces:
        yield channel, start, b"".join(pieces)


def parted(
    segments: list[tuple[int, int, bytes]], cuts: tuple[int, int]
) -> Iterator[tuple[int, int, bytes]]:
    """Cut frames of bulk that lie over one of the ``cuts``."""
    for channel, offset, data in segments:
        end = offset + len(data)
        inner = [cut for cut in cuts if channel == layout.BULK and offset < cut < end]
        edges = [offset, *inner, end]
        for start, stop in pairwise(edges):
            yield channel, start, data[start - offset : stop - offset]


class Sealer:
    """Seals one direction's packets, each under a new number.

    The compiled one puts equal packets into runs; here each is by itself.
    """

    def __init__(self, chain: KeyChain, connection_id: int) -> None:
        self._chain = chain
        self._connection_id = connection_id
        self.next_number = 0
        self.sealed = 0

    def skip(self) -> int:
        """Leave a number out; return it."""
        self.next_number += 1
        return self.next_number - 1

    def seal(self, frames: bytes) -> bytes:
        """One packet of these frames."""
        number = self.next_number
        self.next_number += 1
        self.sealed += 1
        header = layout.HEADER.pack(DATA_BYTE, self._connection_id, number & 0xFFFFFFFF)
        sealed = bytearray(len(frames) + layout.TAG_BYTES)
        encrypt_into = self._chain.encryptor(number >> self._chain.shift)
        encrypt_into(nonce_of(number), frames, header, sealed)
        return header + bytes(sealed)

    def seal_message(self, ack: bytes, channel: int, offset: int, data: bytes) -> bytes:
        """One packet of an ack (or b"") and one stream frame."""
        head = layout.STREAM.pack(layout.FRAME_STREAM, channel, offset, len(data))
        return self.seal(ack + head + data)

    def seal_datagrams(
        self,
        payloads: list[bytes],
        sequences: bytearray,
        start: int,
        token: int,
        packet_bytes: int,
        budget: int,
        packets_max: int,
        now: int,
        flight: Any,
        address: Address,
        out: list[tuple[bytes, Address]],
    ) -> int:
        """Pack ``payloads[start:]`` into packets, seal and record them; return where it stopped."""
        room = packet_bytes - layout.OVERHEAD_BYTES
        at, number = start, self.next_number
        sizes, tokens = array("I"), array("I")
        for _ in range(min(packets_max, SEALED_MAX)):
            if at == len(payloads) or budget <= 0:
                break
            first, frames = at, b""
            while at < len(payloads):
                payload, sequence = payloads[at], sequences[at]
                if sequence == layout.UNSEQUENCED:
                    frame = layout.DATAGRAM.pack(layout.FRAME_DATAGRAM, len(payload)) + payload
                else:
                    frame = layout.SEQUENCED.pack(layout.FRAME_SEQUENCED, sequence, len(payload))
                    frame += payload
                if len(frames) + len(frame) > room:
                    break
                frames += frame
                at += 1
            if at < len(payloads) and room - len(frames) <= layout.PADDING_WORTH:
                frames = frames.ljust(room, b"\0")
            packet = self.seal(frames)
            sizes.append(len(packet))
            tokens.append(at - first)
            out.append((packet, address))
            budget -= len(packet)
        if sizes:
            flight.record_datagram_run(number, now, sizes, token, tokens)
        return at

    def seal_stream(
        self,
        block: bytes,
        start: int,
        end: int,
        channel: int,
        offset: int,
        packet_bytes: int,
        budget: int,
        packets_max: int,
        now: int,
        flight: Any,
        address: Address,
        out: list[tuple[bytes, Address]],
    ) -> int:
        """Seal full packets of one stream frame each; return where it stopped in ``block``."""
        piece = packet_bytes - layout.OVERHEAD_BYTES - layout.STREAM.size
        for _ in range(packets_max):
            if end - start < piece or budget <= 0:
                break
            head = layout.STREAM.pack(layout.FRAME_STREAM, channel, offset, piece)
            packet = self.seal(head + block[start : start + piece])
            flight.record_pieces(self.next_number - 1, 1, now, len(packet), channel, offset, piece)
            out.append((packet, address))
            start += piece
            offset += piece
            budget -= len(packet)
        return start
