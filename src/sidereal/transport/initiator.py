"""The client's side of a handshake: HELLO until ACCEPT, or until it is hopeless."""

from collections.abc import Callable
from typing import Final

from sidereal.errors import HandshakeError
from sidereal.transport.cookie import COOKIE_BYTES, NO_COOKIE
from sidereal.transport.events import Address
from sidereal.transport.handshake import (
    ACCEPT_BYTES,
    REJECT_FULL,
    REJECT_KEY,
    REJECT_VERSION,
    Parameters,
    build_hello,
    hello_bound,
    parse_reject,
)
from sidereal.transport.layout import ACCEPT, COOKIE, REJECT, VERSION
from sidereal.transport.noise import NoiseNNpsk0
from sidereal.transport.settings import SECOND, TransportSettings

REJECTS_BELIEVED: Final = 3
"""A REJECT is not authenticated; this many, each to a HELLO of its own, are believed."""


class Initiator:
    """One attempt to connect.

    Attributes
    ----------
    hello_at
        When the next HELLO is due, absolute nanoseconds.
    accepted
        After `receive` returned True: ``(send secret, receive secret, the server's parameters)``.
    rtt_ns
        From the last HELLO to its ACCEPT, 0 where it is not certain which one was answered.
    """

    def __init__(
        self,
        *,
        address: Address,
        key_name: str,
        psk: bytes,
        parameters: Parameters,
        settings: TransportSettings,
        rng: Callable[[int], bytes],
        now: int,
    ) -> None:
        self.echo = int.from_bytes(rng(8), "little")
        self.key_name = key_name
        self.hello_at = now
        self.accepted: tuple[bytes, bytes, Parameters] | None = None
        self.rtt_ns = 0
        self._address = address
        self._settings = settings
        self._parameters = parameters
        self._psk = psk
        self._ephemeral = rng(32)
        self._bound = hello_bound(self.echo, parameters.connection_id, key_name)
        self._noise = self._start()
        self._message = self._noise.write(parameters.pack())
        self._cookie = NO_COOKIE
        self._interval_ns = settings.hello_interval_ns
        self._sent_ns = -1
        self._sent_cookie = NO_COOKIE
        self._repeats = 0
        self._rejects = 0
        self._answered_ns = -1
        self._reject: tuple[int, int] | None = None

    def _start(self) -> NoiseNNpsk0:
        return NoiseNNpsk0(
            initiator=True, psk=self._psk, prologue=self._bound, ephemeral=self._ephemeral
        )

    def hello(self, now: int) -> bytes:
        """Return a HELLO, and set when the next one is due."""
        self._repeats = self._repeats + 1 if self._sent_cookie == self._cookie else 0
        self._sent_ns = now
        self._sent_cookie = self._cookie
        self.hello_at = now + self._interval_ns
        self._interval_ns = min(self._interval_ns * 2, SECOND)
        return build_hello(self._bound, self._cookie, self._message, self._settings.datagram_bytes)

    def receive(self, data: bytes, now: int) -> bool | None:
        """Take a reply with our echo: True when accepted, None if it cannot be one of ours.

        Raises
        ------
        HandshakeError
            The server says no, and has said so often enough.
        """
        kind = data[0] & 15
        if kind == REJECT:
            return self._rejected(data)
        if data[0] >> 4 != VERSION:
            return None
        body = data[9:]
        if kind == COOKIE and len(body) == COOKIE_BYTES:
            first = self._cookie == NO_COOKIE
            self._cookie = body
            if first:  # a later one waits for its turn: no ping-pong at line rate
                self.hello_at = now
                self._interval_ns = self._settings.hello_interval_ns
            return False
        if kind == ACCEPT and len(data) == ACCEPT_BYTES:
            return self._accept(body, now)
        return None

    def _accept(self, message: bytes, now: int) -> bool | None:
        try:
            parameters = Parameters.unpack(self._noise.read(message))
        except HandshakeError:
            # Forged or corrupted: begin again from the same keys, the true one may follow.
            self._noise = self._start()
            self._noise.write(self._parameters.pack())
            return None
        send, receive = self._noise.split()
        self.accepted = (send, receive, parameters)
        if self._repeats == 0:
            self.rtt_ns = now - self._sent_ns
        return True

    def _rejected(self, data: bytes) -> bool | None:
        reject = parse_reject(data)
        if reject is None:
            return None
        if self._answered_ns == self._sent_ns:
            return False  # each HELLO is refused once
        self._answered_ns = self._sent_ns
        self._reject = reject
        self._rejects += 1
        if self._rejects >= REJECTS_BELIEVED and reject[0] != REJECT_FULL:
            raise HandshakeError(self.reason())
        return False

    def reason(self) -> str:
        """Say why there is no connection, as far as it can be known here."""
        where = f"{self._address[0]}:{self._address[1]}"
        if self._reject is None:
            if self._cookie == NO_COOKIE:
                return f"no answer from {where}: is a server running there?"
            return (
                f"{where} answered but did not accept key {self.key_name!r} in time; "
                "the key may differ there, or the network loses too much"
            )
        code, version = self._reject
        if code == REJECT_VERSION:
            return f"{where} speaks protocol version {version}, this end version {VERSION}"
        if code == REJECT_KEY:
            return f"{where} knows no key {self.key_name!r}, or a different one by that name"
        if code == REJECT_FULL:
            return f"{where} has as many connections as it may have"
        return f"{where} refused the connection (code {code})"
