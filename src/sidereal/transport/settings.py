"""What a user may set about a transport endpoint, with the defaults and their reasons."""

from dataclasses import dataclass
from typing import Final, Literal

from sidereal.errors import ConfigError
from sidereal.limits import (
    CONNECTIONS_MAX,
    DATAGRAM_BYTES_DEFAULT,
    DATAGRAM_COST_BYTES,
    DATAGRAM_QUEUE_BYTES_MAX,
    DATAGRAMS_UNREAD_BYTES_MAX,
    HALF_OPEN_MAX,
    RECEIVE_WINDOW_BYTES_MAX,
    SEND_QUEUE_BYTES_MAX,
)

MS: Final = 1_000_000
SECOND: Final = 1_000_000_000

DATAGRAM_BYTES_MIN: Final = 512
DATAGRAM_BYTES_MAX: Final = 16_384

DATAGRAM_COST_MAX: Final = DATAGRAM_COST_BYTES // 3 + 1
"""What a byte of a packet may count for unread, at most: a packet full of empty datagrams."""

Cipher = Literal["aes-128-gcm", "chacha20-poly1305"]
CIPHERS: Final[tuple[Cipher, ...]] = ("aes-128-gcm", "chacha20-poly1305")


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """Settings of one endpoint; times in nanoseconds, sizes in bytes.

    Raises
    ------
    ConfigError
        A value is outside its range.
    """

    datagram_bytes: int = DATAGRAM_BYTES_DEFAULT
    """UDP payload of a full packet. The smaller of both ends' holds for a connection."""
    cipher: Cipher = "aes-128-gcm"
    """What the client asks for; ChaCha20 is for processors without AES instructions."""
    handshake_timeout_ns: int = 5 * SECOND
    hello_interval_ns: int = 200 * MS
    """Between two HELLOs that nobody answered; doubles up to a second."""
    idle_timeout_ns: int = 10 * SECOND
    """Silence after which a connection is given up."""
    ping_interval_ns: int = 1 * SECOND
    """Silence of our own after which a ping goes out."""
    ack_delay_ns: int = 5 * MS
    """How long an ack may wait for company."""
    ack_every: int = 10
    """Packets after which an ack waits no longer."""
    linger_ns: int = 2 * SECOND
    """How long a closed connection still delivers what was queued, and its farewell."""
    datagram_age_ns: int = 250 * MS
    """A datagram that waited this long is stale: it is dropped and reported lost."""
    datagram_queue_bytes: int = DATAGRAM_QUEUE_BYTES_MAX
    """Datagrams waiting in all; beyond it the oldest are dropped and reported lost."""
    datagrams_unread_bytes: int = DATAGRAMS_UNREAD_BYTES_MAX
    """Datagrams that arrived and that the user has not drained; beyond it a peer is not heard."""
    receive_window_bytes: int = RECEIVE_WINDOW_BYTES_MAX
    """Reliable bytes a peer may send ahead of our reading, each channel."""
    send_queue_bytes: int = SEND_QUEUE_BYTES_MAX
    """Reliable bytes that may wait for one peer, each channel."""
    congestion: Literal["rate", "fixed"] = "rate"
    """``rate`` measures the path; ``fixed``, for trusted links, sends at ``fixed_bytes_per_s``
    with a constant window of ``window_bytes_max``."""
    fixed_bytes_per_s: float = 0.0
    """Bytes a second on a ``fixed`` link, headers included; 0 leaves it to the window."""
    window_bytes_initial: int = 192 * 1024
    window_bytes_local: int = 512 * 1024
    """The window is never smaller where the round trip is that of a local network."""
    window_bytes_min: int = 16 * 1024
    """And never smaller than four datagrams."""
    window_bytes_max: int = 4 * 1024 * 1024
    burst_packets: int = 1024
    """Packets one connection may send in one poll, so that acks get their turn."""
    connections_max: int = CONNECTIONS_MAX
    half_open_max: int = HALF_OPEN_MAX
    """Accepted connections whose peer has not yet shown that it can decrypt."""

    def __post_init__(self) -> None:
        if not DATAGRAM_BYTES_MIN <= self.datagram_bytes <= DATAGRAM_BYTES_MAX:
            raise ConfigError(
                f"datagram_bytes is {self.datagram_bytes}; "
                f"choose {DATAGRAM_BYTES_MIN} to {DATAGRAM_BYTES_MAX}"
            )
        if self.cipher not in CIPHERS:
            raise ConfigError(f"cipher is {self.cipher!r}; choose one of {', '.join(CIPHERS)}")
        if self.congestion not in ("rate", "fixed"):
            raise ConfigError(f"congestion is {self.congestion!r}; choose rate or fixed")
        if not 0 <= self.fixed_bytes_per_s < float("inf"):
            raise ConfigError(
                f"fixed_bytes_per_s is {self.fixed_bytes_per_s}; choose a number from 0 up"
            )
        least = max(self.window_bytes_min, 4 * self.datagram_bytes)
        if not 0 < least <= self.window_bytes_max:
            raise ConfigError(
                f"window_bytes_max is {self.window_bytes_max}; choose at least four datagrams "
                f"and at least window_bytes_min ({self.window_bytes_min})"
            )
        most = DATAGRAM_COST_MAX * self.datagram_bytes
        if self.datagrams_unread_bytes < most:
            raise ConfigError(
                f"datagrams_unread_bytes is {self.datagrams_unread_bytes}; choose at least {most}: "
                "so much one packet may count for, and where it might be too much it is not opened"
            )
        if not 2 * self.datagram_bytes <= self.receive_window_bytes < 2**32:
            raise ConfigError(
                f"receive_window_bytes is {self.receive_window_bytes}; "
                "choose at least two datagrams and less than 4 GiB"
            )
