"""Where each byte lies: packet types, frame types and their fixed sizes.

Both codecs, the compiled one and its readable twin, take their numbers from
here, and PROTOCOL.md says the same in words. All integers are
little-endian.

A data packet is ``type u8 · connection id u32 · packet number u32 · sealed frames
· tag 16``; its first nine bytes are authenticated but not hidden. The packet
number counts in 64 bits; the low half travels, the rest is inferred.
"""

from struct import Struct
from typing import Final

VERSION: Final = 1
"""The protocol spoken here: the high half of every packet's first byte."""

HELLO: Final = 1
COOKIE: Final = 2
ACCEPT: Final = 3
REJECT: Final = 4
DATA: Final = 5
"""Packet types: the low half of the first byte."""

HEADER: Final = Struct("<BII")
HEADER_BYTES: Final = 9
TAG_BYTES: Final = 16
OVERHEAD_BYTES: Final = HEADER_BYTES + TAG_BYTES

FRAME_PADDING: Final = 0
"""All bytes from here to the end of the packet are zero."""
FRAME_PING: Final = 1
FRAME_ACK: Final = 2
FRAME_DATAGRAM: Final = 3
FRAME_STREAM: Final = 4
FRAME_CREDIT: Final = 5
FRAME_CLOSE: Final = 6
FRAME_SEQUENCED: Final = 7

ACK: Final = Struct("<BIIB")
"""type, largest number (low half), delay in microseconds, 64-bit words of bitmap that follow."""
DATAGRAM: Final = Struct("<BH")
"""type, length; the payload follows."""
SEQUENCED: Final = Struct("<BBH")
"""type, sequence, length; the payload follows."""
STREAM: Final = Struct("<BBQH")
"""type, channel, offset of the first byte, length; the bytes follow."""
CREDIT: Final = Struct("<BBQ")
"""type, channel, the offset up to which the peer may send."""
CLOSE: Final = Struct("<BBH")
"""type, 0 asked for / 1 protocol error, length of the reason; UTF-8 follows."""

REPLAY_WINDOW: Final = 8192
"""How far behind the largest a packet may arrive, and so how many an ack can name."""
ACK_WORDS_MAX: Final = REPLAY_WINDOW // 64

CHANNELS: Final = 2
CONTROL: Final = 0
BULK: Final = 1
"""Reliable channels: ordered control, and bulk beside it."""

SEQUENCES: Final = 16
"""Sequences of datagrams: in each, what is older than the newest delivered is dropped."""
UNSEQUENCED: Final = 255
"""Of a datagram that belongs to no sequence."""

REASON_BYTES_MAX: Final = 512
"""A close reason is cut to this length before it is sent."""

PADDING_WORTH: Final = 64
"""A packet this close to full is padded when others follow: equal sizes leave in one call."""
