"""The four packets before a connection: HELLO, COOKIE, ACCEPT, REJECT, and their bytes.

::

    client                                     server
    HELLO (no cookie, padded)        ->
                                     <-        COOKIE    (nothing is remembered)
    HELLO (cookie, padded)           ->        checks the cookie, then the key
                                     <-        ACCEPT, or REJECT
    first data packet                ->        only now is the connection open

Each reply is smaller than the HELLO it answers. ``echo`` is random and names one
attempt; replies carry it, so that nobody who did not see the HELLO can forge one.

The first nine bytes of HELLO, and REJECT, stay the same in every version: so a
server can tell a client of any version which one it speaks.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final

from sidereal.errors import HandshakeError
from sidereal.transport.cookie import COOKIE_BYTES
from sidereal.transport.layout import ACCEPT, COOKIE, HELLO, REJECT, VERSION
from sidereal.transport.noise import MESSAGE_OVERHEAD_BYTES
from sidereal.transport.settings import (
    CIPHERS,
    DATAGRAM_BYTES_MAX,
    DATAGRAM_BYTES_MIN,
    Cipher,
    TransportSettings,
)

KEY_NAME_BYTES_MAX: Final = 64
HELLO_BYTES_MIN: Final = 256
"""A shorter HELLO gets no answer: every reply stays smaller than what caused it."""

REJECT_KEY: Final = 1
REJECT_FULL: Final = 2
REJECT_VERSION: Final = 3

_HEAD = Struct("<BQI")
_REJECT = Struct("<BQBB")
_PARAMETERS = Struct("<BxHIII")
_PARAMETERS_BYTES: Final = _PARAMETERS.size
NOISE_BYTES: Final = MESSAGE_OVERHEAD_BYTES + _PARAMETERS_BYTES
ACCEPT_BYTES: Final = 9 + NOISE_BYTES
COOKIE_AT: Final = _HEAD.size
NAME_AT: Final = COOKIE_AT + COOKIE_BYTES


@dataclass(frozen=True, slots=True)
class Parameters:
    """What each end tells the other inside the handshake, encrypted and authenticated.

    ``connection_id`` is what the other end is to write into its packets.
    """

    cipher: Cipher
    datagram_bytes: int
    receive_window_bytes: int
    ack_delay_us: int
    connection_id: int

    @classmethod
    def of(cls, settings: TransportSettings, connection_id: int) -> "Parameters":
        """What an endpoint with these settings says."""
        return cls(
            cipher=settings.cipher,
            datagram_bytes=settings.datagram_bytes,
            receive_window_bytes=settings.receive_window_bytes,
            ack_delay_us=settings.ack_delay_ns // 1000,
            connection_id=connection_id,
        )

    def pack(self) -> bytes:
        """Return the payload of a handshake message."""
        return _PARAMETERS.pack(
            CIPHERS.index(self.cipher),
            self.datagram_bytes,
            self.receive_window_bytes,
            self.ack_delay_us,
            self.connection_id,
        )

    @classmethod
    def unpack(cls, data: bytes) -> "Parameters":
        """Parse a payload; raises `HandshakeError` for values that cannot be."""
        if len(data) != _PARAMETERS_BYTES:
            raise HandshakeError(
                f"handshake payload has {len(data)} bytes, not {_PARAMETERS_BYTES}"
            )
        cipher, datagram_bytes, window, ack_delay_us, connection_id = _PARAMETERS.unpack(data)
        if cipher >= len(CIPHERS):
            raise HandshakeError(f"unknown cipher {cipher}; update this end")
        if not DATAGRAM_BYTES_MIN <= datagram_bytes <= DATAGRAM_BYTES_MAX:
            raise HandshakeError(
                f"peer's datagrams have {datagram_bytes} bytes; "
                f"{DATAGRAM_BYTES_MIN} to {DATAGRAM_BYTES_MAX} are possible"
            )
        return cls(CIPHERS[cipher], datagram_bytes, window, ack_delay_us, connection_id)


@dataclass(frozen=True, slots=True)
class Hello:
    """A parsed HELLO. ``bound`` is what its cookie and the handshake are bound to."""

    echo: int
    bound: bytes
    cookie: bytes
    key_name: str
    noise: bytes


def first_byte(kind: int, version: int = VERSION) -> int:
    """Return the byte that starts a packet of this kind."""
    return (version << 4) | kind


def hello_bound(echo: int, client_id: int, key_name: str, version: int = VERSION) -> bytes:
    """Return the fields of a HELLO that both ends must agree on."""
    name = key_name.encode()
    if not 0 < len(name) <= KEY_NAME_BYTES_MAX:
        raise HandshakeError(
            f"key name {key_name!r} has {len(name)} bytes; choose 1 to {KEY_NAME_BYTES_MAX}"
        )
    return _HEAD.pack(first_byte(HELLO, version), echo, client_id) + bytes([len(name)]) + name


def build_hello(bound: bytes, cookie: bytes, noise: bytes, size: int) -> bytes:
    """Return a HELLO padded to ``size`` bytes."""
    return (bound[:COOKIE_AT] + cookie + bound[COOKIE_AT:] + noise).ljust(size, b"\0")


def parse_hello(data: bytes) -> Hello | None:
    """Return the HELLO in ``data``, or None if it is not one of this version."""
    if len(data) < HELLO_BYTES_MIN:
        return None
    _, echo, _ = _HEAD.unpack_from(data)
    length = data[NAME_AT]
    noise_at = NAME_AT + 1 + length
    if not 0 < length <= KEY_NAME_BYTES_MAX or len(data) < noise_at + NOISE_BYTES:
        return None
    try:
        key_name = data[NAME_AT + 1 : noise_at].decode()
    except UnicodeDecodeError:
        return None
    return Hello(
        echo=echo,
        bound=data[:COOKIE_AT] + data[NAME_AT:noise_at],
        cookie=data[COOKIE_AT:NAME_AT],
        key_name=key_name,
        noise=data[noise_at : noise_at + NOISE_BYTES],
    )


def echo_of(data: bytes) -> int:
    """Return the echo of any handshake packet of at least nine bytes."""
    return int.from_bytes(data[1:9], "little")


def build_cookie(echo: int, cookie: bytes) -> bytes:
    """Return a COOKIE packet."""
    return bytes([first_byte(COOKIE)]) + echo.to_bytes(8, "little") + cookie


def build_accept(echo: int, noise: bytes) -> bytes:
    """Return an ACCEPT packet."""
    return bytes([first_byte(ACCEPT)]) + echo.to_bytes(8, "little") + noise


def build_reject(echo: int, code: int, version: int = VERSION) -> bytes:
    """Return a REJECT packet: it says which version the server speaks."""
    return _REJECT.pack(first_byte(REJECT, version), echo, code, version)


def parse_reject(data: bytes) -> tuple[int, int] | None:
    """Return ``(code, the server's version)`` of a REJECT, or None."""
    if len(data) != _REJECT.size:
        return None
    _, _, code, version = _REJECT.unpack(data)
    return code, version
