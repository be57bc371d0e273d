"""Two processes that talk over loopback, each on its own core: Sidereal, its peers, and the pump.

`race` starts the receiving end in a process of its own and runs the sending end here. A rate is
what an end did for each second of *its processor's* time, and the slower end counts: so a
busy neighbour lowers nobody's figure. Each end blocks when it has nothing to do.
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from sidereal.transport import (
    BULK,
    BulkReceived,
    Connected,
    DatagramNotice,
    DatagramsReceived,
    Endpoint,
    MessageReceived,
    TransportSettings,
)
from sidereal.transport.codec import COMPILED
from sidereal.transport.handshake import NOISE_BYTES, build_hello, hello_bound
from sidereal.transport.keys import KeyChain
from sidereal.transport.layout import UNSEQUENCED
from sidereal.transport.settings import MS
from sidereal.transport.sockets import SPIN_NS, UdpSocket

HOST = "127.0.0.1"
KEY = bytes(range(32))
PATIENCE_S = 60.0
Check = Callable[[Any], None]


@dataclass(frozen=True)
class Raced:
    """What both ends did, in units of the work, and the processor time that each took."""

    sent: int
    received: int
    sender_s: float
    receiver_s: float

    @property
    def rate(self) -> float:
        """Units a second of the busier processor."""
        return min(self.sent / self.sender_s, self.received / self.receiver_s)


def race(receiver: Callable[..., int], sender: Callable[..., int], *arguments: Any) -> Raced:
    """Let ``receiver(pipe, *arguments)`` and ``sender(port, pipe, *arguments)`` do their work.

    The receiver says its port first; both return how many units they dealt with.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_receive, args=(receiver, theirs, arguments))
    process.start()
    try:
        port = _heard(ours)
        before = os.sched_getaffinity(0)
        _pin(0)
        try:
            started = time.process_time()
            sent = sender(port, ours, *arguments)
            sender_s = time.process_time() - started
        finally:
            os.sched_setaffinity(0, before)
        ours.send("over")
        received, receiver_s = _heard(ours)
    finally:
        process.join(10)
        process.kill()
    return Raced(sent, received, sender_s, receiver_s)


def _heard(pipe: Connection) -> Any:
    if not pipe.poll(PATIENCE_S):
        raise TimeoutError("the other end says nothing")
    return pipe.recv()


def _receive(receiver: Callable[..., int], pipe: Connection, arguments: tuple[Any, ...]) -> None:
    _pin(1)
    clock: list[float] = []

    def begin(port: int) -> None:
        pipe.send(port)
        clock.append(time.process_time())

    received = receiver(begin, pipe, *arguments)
    pipe.send((received, time.process_time() - clock[0]))


def _pin(which: int) -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[which % len(cores)]})


# -- the pump: what any encrypted datagram must cost here ---------------------------------


class _Nothing:
    """In place of the record of what is out: the pump remembers nothing."""

    def record_datagram_run(self, *_: Any) -> None:
        """Forget it."""


def pump_receiver(begin: Callable[[int], None], pipe: Connection, packets: int, size: int) -> int:
    """Decrypt whatever comes until the sender is done."""
    arrived = 0
    with UdpSocket((HOST, 0)) as sock:
        decrypt = KeyChain(KEY, "aes-128-gcm").decryptor(0)
        begin(sock.address[1])
        while True:
            batch = sock.receive(1024)
            if not batch:
                if pipe.poll():
                    return arrived
                sock.wait(20 * MS)
            for data, _ in batch:
                nonce = b"\0\0\0\0" + data[5:9] + b"\0\0\0\0"
                assert len(decrypt(nonce, data[9:], data[:9])) == size + 3
                arrived += 1


def pump_sender(port: int, pipe: Connection, packets: int, size: int) -> int:
    """Seal and send, as fast as it goes."""
    with UdpSocket() as sock:
        sealer = COMPILED.sealer(KeyChain(KEY, "aes-128-gcm"), 7)
        payloads = [os.urandom(size)] * 256
        nothing, target = _Nothing(), (HOST, port)
        none = bytearray([UNSEQUENCED]) * 256
        for _ in range(packets // 256):
            out: list[Any] = []
            sealer.seal_datagrams(
                payloads, none, 0, 0, size + 28, 1 << 40, 256, 0, nothing, target, out
            )
            sock.send(out)
    return packets // 256 * 256


# -- Sidereal -----------------------------------------------------------------------------


class End:
    """A socket and its endpoint, pumped."""

    def __init__(
        self, sock: UdpSocket, server: bool, settings: TransportSettings | None = None
    ) -> None:
        self.sock = sock
        psk_of = {"k": KEY}.get if server else None
        now = time.monotonic_ns()
        self.endpoint = Endpoint(now=now, rng=os.urandom, psk_of=psk_of, settings=settings)

    def turn(self, wait: bool = True, flush: bool = True) -> list[Any]:
        """Wait for something, deal with it, send (or leave that to a `flush` of the caller's)."""
        if wait:
            due = self.endpoint.next_timeout()
            now = time.monotonic_ns()
            left = 20 * MS if due is None else min(20 * MS, due - now)
            if left > 0:
                self.sock.wait(left)
        now = time.monotonic_ns()
        batch = self.sock.receive_runs(256)
        if batch:
            self.endpoint.receive(batch, now)
        self.endpoint.handle_timeout(now)
        events = self.endpoint.events()
        if flush:
            self.flush(now)
        return events

    def flush(self, now: int) -> None:
        """Send what is to be sent."""
        transmits = self.endpoint.poll_runs(now)
        if transmits:
            self.sock.send(transmits)

    def connect(self, port: int) -> Any:
        """Open a link; return its number."""
        link = self.endpoint.connect((HOST, port), "k", KEY, time.monotonic_ns())
        while not any(isinstance(event, Connected) for event in self.turn()):
            pass
        return link


def datagram_receiver(
    begin: Callable[[int], None],
    pipe: Connection,
    packets: int,
    size: int,
    drain: bool | None = None,
) -> int:
    """Count whole payloads until the sender is done."""
    arrived = 0
    with UdpSocket((HOST, 0), drain=drain) as sock:
        end = End(sock, server=True)
        begin(sock.address[1])
        while not pipe.poll():
            for _ in range(16):
                for event in end.turn():
                    if isinstance(event, DatagramsReceived):
                        arrived += len(event.payloads)
                        assert len(event.payloads[0]) == size
    return arrived


def datagram_sender(port: int, pipe: Connection, packets: int, size: int) -> int:
    """Send what the window takes, until all have their notice; count the acknowledged."""
    payloads = [os.urandom(size)] * 256
    with UdpSocket() as sock:
        end = End(sock, server=False)
        link = end.connect(port)
        queued = noticed = acked = 0
        while noticed < packets:
            stats = end.endpoint.stats(link)
            while queued < packets and queued - noticed < 6000:
                end.endpoint.send_datagrams(link, payloads)
                queued += 256
            assert stats is not None
            for event in end.turn(wait=queued - noticed >= 6000 or queued >= packets):
                if isinstance(event, DatagramNotice):
                    acked += len(event.acked)
                    noticed += len(event.acked) + len(event.lost)
    return acked


def message_receiver(
    begin: Callable[[int], None],
    pipe: Connection,
    count: int,
    size: int,
    settings: TransportSettings | None = None,
) -> int:
    """Take messages until all have come."""
    arrived = 0
    with UdpSocket((HOST, 0)) as sock:
        end = End(sock, server=True, settings=settings)
        begin(sock.address[1])
        while arrived < count:
            for event in end.turn():
                if isinstance(event, BulkReceived):
                    assert event.size == size
                    arrived += event.start + len(event.data) == size
                elif isinstance(event, MessageReceived):
                    assert len(event.data) == size
                    arrived += 1
        while not pipe.poll():
            end.turn()
    return arrived


def message_sender(
    port: int, pipe: Connection, count: int, size: int, settings: TransportSettings | None = None
) -> int:
    """Send messages, keeping about 8 MB queued; small ones go as control, in batches."""
    message = os.urandom(size)
    channel = BULK if size > 4096 else 0
    batch = [message] * max(1, 65_536 // size)
    with UdpSocket() as sock:
        end = End(sock, server=False, settings=settings)
        link = end.connect(port)
        queued = 0
        while True:
            stats = end.endpoint.stats(link)
            assert stats is not None
            full = stats.send_queue_bytes > 8_000_000
            if queued < count and not full:
                some = batch[: count - queued]
                end.endpoint.send_many(link, some, channel)
                queued += len(some)
            end.turn(wait=full or queued >= count)
            if queued >= count and not stats.send_queue_bytes:
                return count


def echo_receiver(
    begin: Callable[[int], None],
    pipe: Connection,
    count: int,
    size: int,
    spin_ns: int = SPIN_NS,
    drain: bool | None = None,
) -> int:
    """Send each message back."""
    with UdpSocket((HOST, 0), spin_ns=spin_ns, drain=drain) as sock:
        end = End(sock, server=True)
        begin(sock.address[1])
        arrived = 0
        while not pipe.poll():
            for _ in range(64):  # as the raw one: the pipe is asked seldom
                for event in end.turn(flush=False):
                    if isinstance(event, MessageReceived):
                        end.endpoint.send(event.link, event.data)
                        arrived += 1
                end.flush(time.monotonic_ns())
    return arrived


def echo_times(port: int, count: int, size: int, spin_ns: int = SPIN_NS) -> list[float]:
    """Seconds of each round trip of one message."""
    with UdpSocket(spin_ns=spin_ns) as sock:
        end = End(sock, server=False)
        return echo_some(end, end.connect(port), count, size)


def echo_some(end: End, link: Any, count: int, size: int = 64) -> list[float]:
    """The same over a link that is there."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        end.endpoint.send(link, bytes(size))
        end.flush(time.monotonic_ns())
        events = end.turn(flush=False)
        while not any(isinstance(event, MessageReceived) for event in events):
            end.flush(time.monotonic_ns())
            events = end.turn(flush=False)
        times.append(time.perf_counter() - start)
    return times


def flood(port: int, ready: Any, going: Any) -> None:
    """Spoofed HELLOs from many addresses while ``going``, as fast as one core sends them.

    On the core of the peer that measures, and less urgent: it is the server that is tried.
    """
    _pin(0)
    os.nice(19 - os.nice(0))
    sources = [UdpSocket((f"127.0.{i}.1", 0)) for i in range(16)]
    runs = [
        [  # of rising length, so that they do not leave as one
            (build_hello(hello_bound(100 * i + j, 1, "k"), bytes(20), bytes(NOISE_BYTES), 1100 + j),
             (HOST, port))
            for j in range(8)
        ]
        for i in range(16)
    ]  # fmt: skip
    ready.set()
    while True:
        going.wait()
        for source, run in zip(sources, runs, strict=True):
            source.send(run)
