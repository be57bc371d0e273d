"""The transport against its peers over loopback, two processes, each on its own core.

Rates count each end's processor time and the slower end (see `transport_ends`); round trips
are times as they pass. Gates are in gates.toml.

    pip install pyenet313 aioquic
    pytest bench/bench_transport_race.py
"""

import gc
import os
import time

import pytest

import transport_ends as own
from ratios import FIGURES, GATES, SCALE, Figure
from sidereal.transport import Connected, Endpoint
from sidereal.transport import handshake as hs
from sidereal.transport.settings import SECOND
from sidereal.transport.sockets import UdpSocket

peers = pytest.importorskip("transport_peers", reason="needs pyenet313 and aioquic")

PUMP_NOTED = 502_000
"""Packets a second that the same path reached where the project's figures were first taken."""


def best(receiver, sender, *arguments, runs=3):
    """The best rate of a few races."""
    return max(own.race(receiver, sender, *arguments).rate for _ in range(runs))


def judge(work, rate, others):
    """Note the rate beside each peer's ``(rate, its units in one of ours)``; fail below gates."""
    missed = []
    for peer, (other, per) in others.items():
        ratio = rate / other * per
        gate = GATES[work][peer] * SCALE
        FIGURES.append(Figure(work, peer, 1e9 / rate, 1e9 / other * per, ratio, gate))
        if ratio < gate:
            missed.append(f"{work}: {ratio:.2f} times {peer}, the gate is {gate:g}")
    assert not missed, "; ".join(missed)


def test_datagrams_against_the_pump():
    pump = best(own.pump_receiver, own.pump_sender, 200_192, 1150)
    rate = best(own.datagram_receiver, own.datagram_sender, 200_192, 1150)
    judge("datagrams", rate, {"pump": (pump, 1)})
    # Nobody shall win against a slow pump; where it is slow, so is the machine.
    judge("pump", pump, {"noted": (PUMP_NOTED, 1)})


def test_bulk_against_enet_quic_and_tls():
    size = 1_000_000
    rate = best(own.message_receiver, own.message_sender, 200, size)
    others = {
        "enet": (best(peers.enet_receiver, peers.enet_sender, 100_000, 1000), size / 1000),
        "aioquic": (best(peers.quic_receiver, peers.quic_sender, 10, size, runs=2), 1),
        "tls": (best(peers.tls_receiver, peers.tls_sender, 1500, 262_144), size / 262_144),
    }
    judge("bulk", rate, others)


def test_small_messages_against_enet_and_quic():
    rate = best(own.message_receiver, own.message_sender, 300_000, 64)
    others = {
        "enet": (best(peers.enet_receiver, peers.enet_sender, 200_000, 64), 1),
        "aioquic": (best(peers.quic_receiver, peers.quic_sender, 50_000, 64, runs=2), 1),
    }
    judge("small_messages", rate, others)


def echoes(receiver, times, count=3000):
    """Sorted seconds of round trips of 64 bytes, after some that are not counted."""
    found = []

    def sender(port, pipe, count, size):
        found.extend(times(port, count, size))
        return count

    own.race(receiver, sender, count, 64)
    return sorted(found[100:])


def test_round_trips_against_a_raw_socket_and_quic():
    ours, raw, quic = [], [], []
    for _ in range(3):  # in turns, so that a busy moment of the machine meets all alike
        raw += echoes(peers.raw_echo_receiver, peers.raw_echo_times)
        ours += echoes(own.echo_receiver, own.echo_times)
    quic += echoes(peers.quic_echo_receiver, peers.quic_echo_times, 1000)
    missed = []
    for part, share in (("p50", 0.50), ("p99", 0.99)):
        mine, *others = (sorted(t)[int(share * len(t))] for t in (ours, raw, quic))
        for peer, other in zip(("raw", "aioquic"), others, strict=True):
            gate = GATES[f"round_trip_{part}"][peer] * SCALE
            ratio = other / mine
            work = f"round_trip_{part}"
            FIGURES.append(Figure(work, peer, mine * 1e9, other * 1e9, ratio, gate))
            if ratio < gate:
                missed.append(f"{work}: {ratio:.2f} times {peer}, the gate is {gate:g}")
    assert not missed, "; ".join(missed)


def test_a_flood_of_spoofed_hellos_is_answered_at_half_the_raw_receive_rate():
    """Each HELLO from another port, over real sockets: what is kept of it is nothing."""
    flood = [
        (
            hs.build_hello(hs.hello_bound(i, i, "k"), bytes(20), bytes(hs.NOISE_BYTES), 1200),
            None,
        )
        for i in range(512)
    ]
    server = Endpoint(now=SECOND, rng=lambda n: bytes(n), psk_of={"k": own.KEY}.get)
    with UdpSocket((own.HOST, 0)) as sock:
        # Several sources, so that the kernel hands over datagrams and not runs of them.
        sources = [UdpSocket() for _ in range(8)]
        addressed = [(data, sock.address) for data, _ in flood]

        def refill():
            for i, (data, address) in enumerate(addressed):
                sources[i % 8].send([(data, address)])

        def take(answer):
            refill()
            got, start = 0, time.thread_time()
            while got < len(flood):
                batch = sock.receive(512)
                got += len(batch)
                if answer:
                    server.receive(batch, SECOND)
                    sock.send(server.poll_transmit(SECOND))
            return (time.thread_time() - start) / len(flood)

        answered_s = min(take(answer=True) for _ in range(20))
        raw_s = min(take(answer=False) for _ in range(20))
        for source in sources:
            source.close()
    assert server.endpoint_stats().connections == 0
    assert server.endpoint_stats().cookies_sent >= 20 * len(flood)
    judge("spoofed_hello", 1 / answered_s, {"raw_receive": (1 / raw_s, 1)})


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_an_idle_peer_costs_little_memory():
    """Connections that have each carried a message both ways and then fall silent."""
    count = 2000
    address = ("10.0.0.1", 1)
    now = SECOND
    rng = os.urandom
    server = Endpoint(now=now, rng=rng, psk_of={"k": own.KEY}.get)

    def connect(i):
        client = Endpoint(now=now, rng=rng, psk_of=None)
        link = client.connect(("s", 1), "k", own.KEY, now)
        for turn in range(5):
            server.receive([(d, (address[0], i)) for d, _ in client.poll_transmit(now)], now)
            for event in server.events():
                if isinstance(event, Connected):
                    server.send(event.link, b"welcome")
            back = [d for d, (_, port) in server.poll_transmit(now) if port == i]
            client.receive([(d, ("s", 1)) for d in back], now)
            if turn == 1:
                client.send(link, b"hello")

    for i in range(100):
        connect(i)
    gc.collect()
    before = resident_bytes()
    for i in range(100, 100 + count):
        connect(i)
    gc.collect()
    grown = (resident_bytes() - before) / count
    assert server.endpoint_stats().connections == 100 + count
    judge("idle_peer", 1e9 / grown, {"32_kib": (1e9 / 32_768, 1)})
