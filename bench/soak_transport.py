"""Makes and ends connections by the thousand, and says what is left of them in memory.

    python bench/soak_transport.py 100000

Two endpoints hand each other their datagrams. Each connection carries a message and
datagrams both ways, and is ended from either side, by silence, or half-way through the
handshake. Memory is compared between an early and the last moment with none open.
"""

import gc
import os
import sys
import time
import tracemalloc

from sidereal.transport import BULK, Connected, Endpoint, LinkClosed
from sidereal.transport.settings import MS, SECOND

CLIENT, SERVER = ("10.0.0.1", 1), ("10.0.0.2", 2)
KEY = bytes(range(32))
TOGETHER = 50


class Soak:
    """Both ends, and a clock that they share."""

    def __init__(self) -> None:
        self.now = SECOND
        self.client = Endpoint(now=self.now, rng=os.urandom, psk_of=None)
        self.server = Endpoint(now=self.now, rng=os.urandom, psk_of={"k": KEY}.get)
        self.opened = self.ended = 0

    def exchange(self, turns: int, *, deaf: bool = False) -> list:
        """Let so many round trips pass; return the links that the server has got."""
        fresh = []
        for _ in range(turns):
            self.now += 6 * MS
            for one, other, source in (
                (self.client, self.server, CLIENT), (self.server, self.client, SERVER),
            ):  # fmt: skip
                one.handle_timeout(self.now)
                sent = [(data, source) for data, _ in one.poll_transmit(self.now)]
                if not deaf:
                    other.receive(sent, self.now)
            for event in self.server.events():
                if isinstance(event, Connected):
                    fresh.append(event.link)
                self.ended += isinstance(event, LinkClosed)
            self.client.events()
        self.opened += len(fresh)
        return fresh

    def round(self, number: int) -> None:
        """Some connections, from their HELLO to their end."""
        links = [self.client.connect(SERVER, "k", KEY, self.now) for _ in range(TOGETHER)]
        if number % 10 == 9:
            self.exchange(2)  # given up when the server knows them and they do not know it
            for link in links:
                self.client.close(link, "changed my mind", self.now)
            self.exchange(3)
        fresh = self.exchange(4)
        for one, mine in ((self.client, links), (self.server, fresh)):
            for link in mine:
                one.send(link, b"hello" * 20)
                one.send(link, bytes(3000), BULK)
                one.send_datagrams(link, [b"x" * 100] * 3, sequence=1)
        self.exchange(4)
        for one, mine in ((self.client, links[::2]), (self.server, fresh[1::2])):
            for link in mine:
                one.close(link, "over", self.now)
        self.exchange(6)
        self.now += 12 * SECOND  # whoever is left finds silence
        self.exchange(3, deaf=True)
        self.now += 12 * SECOND
        self.exchange(3, deaf=True)


def resident_bytes() -> int:
    """Return what the process has in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def soak(count: int) -> tuple[int, int, int]:
    """Return ``(connections opened, bytes of objects grown, bytes of memory grown)``."""
    it, rounds = Soak(), count // TOGETHER
    tracemalloc.start()
    for number in range(rounds):
        if number == max(10, rounds // 20):
            gc.collect()
            early = tracemalloc.get_traced_memory()[0], resident_bytes()
        it.round(number)
    gc.collect()
    late = tracemalloc.get_traced_memory()[0], resident_bytes()
    for endpoint in (it.client, it.server):
        assert endpoint.endpoint_stats().connections == 0
        assert endpoint.next_timeout() is None
    tracemalloc.stop()
    return it.opened, late[0] - early[0], late[1] - early[1]


if __name__ == "__main__":
    began = time.monotonic()
    opened, objects, memory = soak(int(sys.argv[1]))
    print(
        f"{opened:,} connections opened and ended in {time.monotonic() - began:.0f} s: "
        f"{objects:,} bytes of objects and {memory:,} of memory more than early on"
    )
