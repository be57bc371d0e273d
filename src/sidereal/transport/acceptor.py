"""The server's side of a handshake: stateless until a cookie returns with a good key."""

from collections.abc import Callable
from dataclasses import dataclass

from sidereal.errors import HandshakeError
from sidereal.transport.cookie import CookieJar
from sidereal.transport.events import Address
from sidereal.transport.handshake import (
    HELLO_BYTES_MIN,
    REJECT_FULL,
    REJECT_KEY,
    REJECT_VERSION,
    Hello,
    Parameters,
    build_accept,
    build_cookie,
    build_reject,
    echo_of,
    parse_hello,
)
from sidereal.transport.layout import VERSION
from sidereal.transport.noise import NoiseNNpsk0


@dataclass(frozen=True, slots=True)
class Accepted:
    """A peer whose cookie and key were good; ``reply`` is the ACCEPT for it."""

    key_name: str
    client: Parameters
    send_secret: bytes
    receive_secret: bytes
    reply: bytes


class Acceptor:
    """Answers HELLOs. What it counts is all that it remembers."""

    def __init__(
        self,
        psk_of: Callable[[str], bytes | None],
        rng: Callable[[int], bytes],
        now: int,
    ) -> None:
        self._psk_of = psk_of
        self._rng = rng
        self._jar = CookieJar(rng, now)
        self.hellos = 0
        self.malformed = 0
        self.cookies_sent = 0
        self.cookies_refused = 0
        self.rejects_sent = 0

    def screen(self, data: bytes, address: Address, now: int) -> Hello | bytes | None:
        """Return the HELLO if its cookie is good, else what to answer, else None."""
        self.hellos += 1
        if len(data) < HELLO_BYTES_MIN:
            self.malformed += 1
            return None
        if data[0] >> 4 != VERSION:
            return self._reject(echo_of(data), REJECT_VERSION)
        hello = parse_hello(data)
        if hello is None:
            self.malformed += 1
            return None
        if self._jar.check(hello.cookie, address, hello.bound, now):
            return hello
        if any(hello.cookie):
            self.cookies_refused += 1
        self.cookies_sent += 1
        return build_cookie(hello.echo, self._jar.make(address, hello.bound, now))

    def full(self, hello: Hello) -> bytes:
        """Return the answer for a good HELLO for which there is no room."""
        return self._reject(hello.echo, REJECT_FULL)

    def accept(self, hello: Hello, server: Parameters) -> Accepted | bytes:
        """Check the key; return what the connection starts from, or the REJECT to send.

        ``server`` says what this end offers; the client's cipher is used.
        """
        psk = self._psk_of(hello.key_name)
        if psk is None:
            return self._reject(hello.echo, REJECT_KEY)
        noise = NoiseNNpsk0(initiator=False, psk=psk, prologue=hello.bound, ephemeral=self._rng(32))
        try:
            client = Parameters.unpack(noise.read(hello.noise))
            reply = noise.write(server.pack())
        except HandshakeError:
            return self._reject(hello.echo, REJECT_KEY)
        receive_secret, send_secret = noise.split()
        return Accepted(
            hello.key_name, client, send_secret, receive_secret, build_accept(hello.echo, reply)
        )

    def _reject(self, echo: int, code: int) -> bytes:
        self.rejects_sent += 1
        return build_reject(echo, code)
