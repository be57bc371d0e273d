"""The transport against its peers over loopback, two processes, each on its own core.

Rates count each end's processor time and the slower end (see `transport_ends`); round trips
are times as they pass. Gates are in gates.toml.

    pip install pyenet313 aioquic
    pytest bench/bench_transport_race.py
"""

import gc
import multiprocessing
import os
import time
from functools import partial

import pytest

import ratios
import transport_ends as own
from sidereal.transport import Connected, Endpoint
from sidereal.transport import handshake as hs
from sidereal.transport.settings import MS, SECOND, TransportSettings
from sidereal.transport.sockets import UdpSocket

peers = pytest.importorskip("transport_peers", reason="needs pyenet313 and aioquic")

PUMP_NOTED = 502_000
"""Packets a second that the same path reached where the project's figures were first taken."""


def best(receiver, sender, *arguments, runs=3):
    """The best rate of a few races."""
    return max(own.race(receiver, sender, *arguments).rate for _ in range(runs))


def judge(work, rate, others):
    """Note the rate beside each peer's ``(rate, its units in one of ours)``; fail below floors."""
    missed = []
    for peer, (other, per) in others.items():
        figure = ratios.add(work, peer, 1 / rate, per / other)
        if figure.floor is not None and figure.ratio < figure.floor:
            missed.append(f"{work}: {figure.ratio:.2f} times {peer}, at least {figure.floor:g}")
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


def test_bulk_in_datagrams_of_8_kilobytes_against_tls():
    """Where the network carries them, as loopback does: the price is by the packet."""
    size = 1_000_000
    large = TransportSettings(datagram_bytes=8192)
    rate = best(
        partial(own.message_receiver, settings=large),
        partial(own.message_sender, settings=large),
        400,
        size,
    )
    tls = best(peers.tls_receiver, peers.tls_sender, 1500, 262_144)
    judge("bulk_8k", rate, {"tls": (tls, size / 262_144)})


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
    """Sockets as they are by default, and ends that sleep at once, as the raw socket's do."""
    ours, asleep, raw, quic = [], [], [], []
    sleep = partial(own.echo_receiver, spin_ns=0), partial(own.echo_times, spin_ns=0)
    for _ in range(3):  # in turns, so that a busy moment of the machine meets all alike
        raw += echoes(peers.raw_echo_receiver, peers.raw_echo_times)
        ours += echoes(own.echo_receiver, own.echo_times)
        asleep += echoes(*sleep)
    quic += echoes(peers.quic_echo_receiver, peers.quic_echo_times, 1000)
    missed = []
    for part, share in (("p50", 0.50), ("p99", 0.99)):
        usual, slept, *others = (sorted(t)[int(share * len(t))] for t in (ours, asleep, raw, quic))
        for mine, how in ((usual, ""), (slept, "_asleep")):
            for peer, other in zip(("raw", "aioquic"), others, strict=True):
                try:
                    judge(f"round_trip_{part}{how}", 1 / mine, {peer: (1 / other, 1)})
                except AssertionError as error:
                    missed.append(str(error))
    assert not missed, "; ".join(missed)


def test_a_flood_of_spoofed_hellos_is_dealt_with_at_half_the_raw_receive_rate():
    """Each from another address, over real sockets. The clock is the server's own processor
    time, as if it did nothing else: what is answered is a second's budget for each such second.
    """
    flood = [
        hs.build_hello(hs.hello_bound(i, i, "k"), bytes(20), bytes(hs.NOISE_BYTES), 1200)
        for i in range(1024)
    ]
    server = Endpoint(now=SECOND, rng=os.urandom, psk_of={"k": own.KEY}.get)
    spent_ns = 0
    with UdpSocket((own.HOST, 0)) as sock:
        # Many sources, so that the kernel hands over datagrams and not runs of them.
        sources = [UdpSocket((f"127.0.{i}.1", 0)) for i in range(64)]

        def take(answer):
            nonlocal spent_ns
            for i, data in enumerate(flood):
                sources[i % 64].send([(data, sock.address)])
            got, start = 0, time.thread_time_ns()
            while got < len(flood):
                batch = sock.receive(512)
                got += len(batch)
                if answer:
                    now = SECOND + spent_ns + time.thread_time_ns() - start
                    server.receive(batch, now)
                    replies = server.poll_transmit(now)
                    if replies:
                        sock.send(replies)
            took_ns = time.thread_time_ns() - start
            spent_ns += took_ns * answer
            return took_ns / 1e9

        pairs = [(take(answer=False), take(answer=True)) for _ in range(100)][20:]
        for source in sources:
            source.close()
    raw_s, dealt_s = (sum(times) / len(times) / len(flood) for times in zip(*pairs, strict=True))
    stats = server.endpoint_stats()
    assert (stats.connections, stats.half_open) == (0, 0)
    assert stats.cookies_sent + stats.hellos_unanswered == stats.hellos == 100 * len(flood)
    assert stats.cookies_sent > 1000
    judge("spoofed_hello", 1 / dealt_s, {"raw_receive": (1 / raw_s, 1)})


def test_real_peers_stay_connected_in_a_flood_and_wait_little():
    """A third process floods the server with what it can; round trips of one real peer."""
    context = multiprocessing.get_context("spawn")
    found = {}

    def sender(port, pipe, count, size):
        ready, going = context.Event(), context.Event()
        flood = context.Process(target=own.flood, args=(port, ready, going))
        flood.start()
        try:
            assert ready.wait(60)  # its start would be no quiet time
            with UdpSocket() as sock:
                end = own.End(sock, server=False)
                link = end.connect(port)
                own.echo_some(end, link, 200)
                for when in ("quiet", "flooded", "quiet again"):
                    if when == "flooded":
                        going.set()
                        time.sleep(0.5)
                    found[when] = sorted(own.echo_some(end, link, count))
                    going.clear()
                assert end.endpoint.stats(link) is not None
        finally:
            flood.kill()
            flood.join()
        return count

    own.race(own.echo_receiver, sender, 2000, 64)
    p99 = {when: times[int(0.99 * len(times))] for when, times in found.items()}
    quiet = (p99["quiet"] + p99["quiet again"]) / 2
    judge("flooded_p99", 1 / p99["flooded"], {"quiet": (1 / quiet, 1)})


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_an_idle_peer_costs_little_memory():
    """Connections that have each carried a message both ways and then fall silent."""
    count = 2000
    now = SECOND
    rng = os.urandom
    server = Endpoint(now=now, rng=rng, psk_of={"k": own.KEY}.get)

    def connect(i):
        nonlocal now
        now += MS  # strangers are let in so many a second, and fewer of one host
        address = (f"10.0.{i % 200}.1", i)
        client = Endpoint(now=now, rng=rng, psk_of=None)
        link = client.connect(("s", 1), "k", own.KEY, now)
        for turn in range(5):
            server.receive([(d, address) for d, _ in client.poll_transmit(now)], now)
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
