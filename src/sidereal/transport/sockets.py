"""UDP sockets: the only part of the transport that touches the system.

Linux takes the batched way (``_batch.pyx``), other systems the plain one. Which
one is decided by the system, never by a build that failed.
"""

import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from sidereal.errors import ConfigError
from sidereal.transport.events import Address
from sidereal.transport.sockets_plain import PlainSocket
from sidereal.transport.transmits import Transmit

if sys.platform == "linux":
    from sidereal.transport._batch import BatchSocket
    from sidereal.transport._drain import DrainedSocket

PLAIN: Final = sys.platform != "linux"
"""Whether this system has only the calls for one datagram at a time."""

BUFFER_BYTES: Final = 8 * 1024 * 1024
"""What each direction's buffer is asked to hold: 100 ms at 80 MB/s."""
RING_BYTES: Final = 4 * BUFFER_BYTES
"""What a draining thread holds for Python: 100 ms of more than any socket carries here."""
SPIN_NS: Final = 200_000
"""A round trip between two processes that sleep: who answers at once is waited for awake."""
_SO_SNDBUFFORCE: Final = 32
_SO_RCVBUFFORCE: Final = 33


def resolve(host: str, port: int) -> Address:
    """Return ``(numeric host, port)``; for use once, before connecting.

    Raises
    ------
    ConfigError
        No such host.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"cannot resolve {host!r}: {error}") from error
    # IPv4 first: a name such as localhost has both, servers listen on IPv4 unless told.
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    numeric = found[0][4]
    return (str(numeric[0]), int(numeric[1]))


class UdpSocket:
    """A non-blocking UDP socket that moves many datagrams at a time.

    Parameters
    ----------
    bind
        ``(host, port)``; port 0 takes a free one. None binds to any free port.
    ipv6
        The family where ``bind`` is None.
    spin_ns
        How long `wait` asks the system again and again before it sleeps, at most; 0 for a process
        that shares its core. It saves the wake-up, which is longer than all else in a round
        trip between processes that have a core each. It is done only while datagrams come within
        such a time: the first wait that takes longer ends it. Between two questions others may
        have the core. Linux only, and where there are two cores; elsewhere it sleeps at once.
    drain
        Whether a thread without the GIL takes what arrives into memory at once. None: where the
        system grants a receive buffer smaller than `BUFFER_BYTES`, as it does without privilege.
        It takes a thread and 34 MB of address space, of which only what is used costs memory: say
        False where a process has hundreds of sockets. Linux only.

    Raises
    ------
    ConfigError
        The address cannot be bound: in use, not of this machine.
    """

    def __init__(
        self,
        bind: Address | None = None,
        *,
        ipv6: bool = False,
        spin_ns: int = SPIN_NS,
        drain: bool | None = None,
    ) -> None:
        target = ("::" if ipv6 else "0.0.0.0", 0) if bind is None else resolve(bind[0], bind[1])
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            _enlarge(self._socket, _SO_RCVBUFFORCE, socket.SO_RCVBUF)
            _enlarge(self._socket, _SO_SNDBUFFORCE, socket.SO_SNDBUF)
            self._socket.bind(target)
        except OSError as error:
            self._socket.close()
            raise ConfigError(f"cannot listen on {target[0]}:{target[1]}: {error.strerror}") from (
                error
            )
        if drain is None:
            got = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            # Linux says twice what was asked for and granted: it counts its own books.
            drain = not PLAIN and got // 2 < BUFFER_BYTES
        self._inner: Any = _implementation(self._socket, drain)
        self._inner.spin_ns = spin_ns if (os.cpu_count() or 1) > 1 else 0
        self.receive = self._inner.receive
        """``receive(max_datagrams) -> [(bytes, address), …]``: what has arrived, never waits."""
        self.receive_runs = self._inner.receive_runs
        """As ``receive``, what came in one piece staying so: ``(bytes, address, step)``."""
        self.wait = self._inner.wait
        """``wait(timeout_ns) -> bool``: whether something can be received within that time."""

    def send(self, transmits: Sequence[Transmit]) -> int:
        """Send ``[(bytes, address), …]`` in order; return how many datagrams the system took.

        Runs of equal datagrams to one address leave as one; ``(bytes, address, step)`` is such a
        run, of ``step`` bytes each, the last of which may have fewer. What the system would not
        take is dropped and counted, as a network drops it.

        Raises
        ------
        ConfigError
            An address is a name, or of the other family: see `resolve`.
        """
        sent: int = self._inner.send(transmits)
        return sent

    @property
    def address(self) -> Address:
        """Where it is bound: ``(host, port)``."""
        name = self._socket.getsockname()
        return (str(name[0]), int(name[1]))

    @property
    def dropped(self) -> int:
        """Datagrams that the system would not send."""
        count: int = self._inner.dropped
        return count

    @property
    def segmenting(self) -> bool:
        """Whether runs leave in one piece (UDP_SEGMENT)."""
        return bool(self._inner.segmenting)

    @property
    def draining(self) -> bool:
        """Whether a thread takes what arrives."""
        return not PLAIN and isinstance(self._inner, DrainedSocket)

    def fileno(self) -> int:
        """Return a file descriptor that is readable while something waits, for one's own poll."""
        drained = self.draining and self._socket.fileno() >= 0
        return int(self._inner.fileno()) if drained else self._socket.fileno()

    def close(self) -> None:
        """Close it; idempotent."""
        if self.draining:
            self._inner.stop()
        self._socket.close()

    def __del__(self) -> None:
        # The draining thread holds what it fills: without this it would run for ever.
        if getattr(self, "_inner", None) is not None:
            self.close()

    def __enter__(self) -> "UdpSocket":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _implementation(sock: socket.socket, drain: bool) -> Any:
    if PLAIN:
        return PlainSocket(sock)
    return DrainedSocket(sock, RING_BYTES) if drain else BatchSocket(sock)


def _enlarge(sock: socket.socket, force: int, polite: int) -> None:
    """Ask for large buffers: with privilege beyond the system's limit, without up to it."""
    if sys.platform == "linux":
        with suppress(PermissionError):  # not privileged: the polite way below will do
            sock.setsockopt(socket.SOL_SOCKET, force, BUFFER_BYTES)
            return
    size = BUFFER_BYTES
    while size >= 65_536:
        try:
            sock.setsockopt(socket.SOL_SOCKET, polite, size)
            return
        except OSError:
            size //= 2
