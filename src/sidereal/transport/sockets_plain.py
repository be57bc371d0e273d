"""One datagram a system call: for systems without the batched calls, and to compare with."""

import select
import socket
from collections.abc import Sequence

from sidereal.errors import ConfigError
from sidereal.transport.events import Address
from sidereal.transport.transmits import Transmit, apart

DATAGRAM_MAX = 65_536


class PlainSocket:
    """The same face as ``_batch.BatchSocket``, from the standard library alone."""

    segmenting: bool = False
    coalescing: bool = False
    spin_ns: int = 0
    """Of no effect here: a system call from Python costs as much as a wake-up."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.dropped = 0

    def receive(self, max_datagrams: int) -> list[tuple[bytes, Address]]:
        """Return what has arrived, at most ``max_datagrams``: ``[(bytes, address), …]``."""
        batch: list[tuple[bytes, Address]] = []
        while len(batch) < max_datagrams:
            try:
                data, address = self._sock.recvfrom(DATAGRAM_MAX)
            except (BlockingIOError, InterruptedError):
                break
            except ConnectionError:
                continue  # an earlier datagram's fate, told now
            batch.append((data, address[:2]))
        return batch

    def receive_runs(self, max_datagrams: int) -> list[Transmit]:
        """As `receive`: here nothing comes in runs."""
        return [*self.receive(max_datagrams)]

    def send(self, transmits: Sequence[Transmit]) -> int:
        """Send datagrams and runs of them in order; return how many datagrams the system took."""
        sent = 0
        for data, address in apart(transmits):
            try:
                self._sock.sendto(data, address)
            except (BlockingIOError, InterruptedError, ConnectionError):
                self.dropped += 1
            except socket.gaierror as error:
                raise ConfigError(
                    f"{address[0]}:{address[1]} is not an address; resolve names first"
                ) from error
            except OSError:
                self.dropped += 1  # refused for itself (too long, no route)
            else:
                sent += 1
        return sent

    def wait(self, timeout_ns: int) -> bool:
        """Wait until something can be received, at most ``timeout_ns``; say whether it can."""
        readable, _, _ = select.select([self._sock], [], [], max(0, timeout_ns) / 1e9)
        return bool(readable)
