"""The server's side of a handshake, once a cookie has returned: the key, then the ACCEPT."""

from collections.abc import Callable
from dataclasses import dataclass

from sidereal.errors import HandshakeError
from sidereal.limits import KEYS_PER_NAME_MAX
from sidereal.transport.budget import HandshakeBudget
from sidereal.transport.handshake import (
    REJECT_FULL,
    REJECT_KEY,
    Hello,
    Parameters,
    build_accept,
    build_reject,
)
from sidereal.transport.noise import NoiseNNpsk0

PskOf = Callable[[str], bytes | tuple[bytes, ...] | None]
"""Key name to the 32-byte key, or to the keys that are good at this time; None for none."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A peer whose cookie and key were good; ``reply`` is the ACCEPT for it."""

    key_name: str
    client: Parameters
    send_secret: bytes
    receive_secret: bytes
    reply: bytes


class Acceptor:
    """Judges HELLOs whose cookie is good, within a budget. It remembers nothing but counts."""

    def __init__(self, psk_of: PskOf, rng: Callable[[int], bytes], budget: HandshakeBudget) -> None:
        self._psk_of = psk_of
        self._rng = rng
        self.budget = budget
        self.rejects_sent = 0

    def full(self, hello: Hello) -> bytes:
        """Return the answer for a good HELLO for which there is no room."""
        return self._reject(hello.echo, REJECT_FULL)

    def accept(self, hello: Hello, server: Parameters) -> Accepted | bytes:
        """Check the key; return what the connection starts from, or the REJECT to send.

        ``server`` says what this end offers; the client's cipher is used. Where a name has
        several keys (one is being replaced), each is tried.
        """
        psks = self._psk_of(hello.key_name)
        if isinstance(psks, bytes):
            psks = (psks,)
        for psk in (psks or ())[:KEYS_PER_NAME_MAX]:
            noise = NoiseNNpsk0(
                initiator=False, psk=psk, prologue=hello.bound, ephemeral=self._rng(32)
            )
            try:
                client = Parameters.unpack(noise.read(hello.noise))
                reply = noise.write(server.pack())
            except HandshakeError:
                continue
            receive_secret, send_secret = noise.split()
            return Accepted(
                hello.key_name, client, send_secret, receive_secret, build_accept(hello.echo, reply)
            )
        return self._reject(hello.echo, REJECT_KEY)

    def _reject(self, echo: int, code: int) -> bytes:
        self.rejects_sent += 1
        return build_reject(echo, code)
