"""Makes and ends connections by the thousand, and says what is left of them in memory.

    python bench/soak_transport.py 100000

Two endpoints hand each other their datagrams. Each connection carries a message and
datagrams both ways, and is ended from either side, by silence, or half-way through the
handshake. What is left is compared between an early moment and the last, with none open:
the interpreter's own count of blocks (exact, and free, unlike a tracer), and the process's memory.
"""

import gc
import os
import sys
import time

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
        self.made = self.half = self.opened = self.ended = 0

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
        self.made += TOGETHER
        links = [self.client.connect(SERVER, "k", KEY, self.now) for _ in range(TOGETHER)]
        if number % 10 == 9:
            self.exchange(1)
            half = [(data, CLIENT) for data, _ in self.client.poll_transmit(self.now)]
            self.server.receive(half, self.now)
            self.server.poll_transmit(self.now)  # lost: the server knows them, they do not know it
            self.half += self.server.endpoint_stats().half_open
            for link in links:
                self.client.close(link, "changed my mind", self.now)
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


def held() -> tuple[int, int]:
    """Return ``(blocks of objects, bytes of memory)`` of the process."""
    gc.collect()
    return sys.getallocatedblocks(), resident_bytes()


def soak(count: int) -> tuple[int, tuple[int, int], tuple[int, int]]:
    """Make and end so many; return how many were open, and `held` early and at the end."""
    it, number = Soak(), 0
    assert count >= 10 * TOGETHER, f"at least {10 * TOGETHER}: one round in ten stops half-way"
    early = held()
    while it.made < count:
        it.round(number)
        number += 1
        if number == max(10, count // TOGETHER // 20):
            early = held()
    for endpoint in (it.client, it.server):
        assert endpoint.endpoint_stats().connections == 0
        assert endpoint.next_timeout() is None
    assert it.ended == it.opened
    assert it.half + it.opened == it.made, "each came as far as it was to come"
    return it.opened, early, held()


if __name__ == "__main__":
    began = time.monotonic()
    opened, early, late = soak(int(sys.argv[1]))
    print(
        f"{opened:,} connections opened and ended in {time.monotonic() - began:.0f} s "
        f"({time.process_time():.0f} s of processor time): "
        f"{early[0]:,} blocks of objects early on and {late[0]:,} at the end, "
        f"{early[1] / 1e6:.1f} MB of memory and {late[1] / 1e6:.1f}"
    )
