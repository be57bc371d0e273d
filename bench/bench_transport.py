"""The transport against the bare encrypted path, in one run: gates are ratios, never times.

"The pump" is header, AEAD by ``cryptography``, and nothing else: no connection, no
acks, no replay window. Whatever the protocol costs shows as a ratio to it. Both ends
run in turns in this one thread, so that a busy machine slows both alike.

    pytest bench/bench_transport.py
"""

import os
import random
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sidereal.transport import (
    BULK,
    BulkReceived,
    Connected,
    DatagramsReceived,
    Endpoint,
    MessageReceived,
)
from sidereal.transport import handshake as hs
from sidereal.transport.netsim import Conditions, NetSim
from sidereal.transport.settings import MS, SECOND
from sidereal.transport.sockets import UdpSocket

CLIENT, SERVER = ("10.0.0.1", 1), ("10.0.0.2", 2)
KEY = bytes(range(32))
PAYLOAD = 1150
ROUND = 256


def best(function, rounds=15):
    """The shortest of several runs, in seconds of processor time: what the code costs alone."""
    times = []
    for _ in range(rounds):
        start = time.thread_time()
        function()
        times.append(time.thread_time() - start)
    return min(times)


class Ends:
    """Two connected endpoints that hand each other their datagrams at once, without a socket."""

    def __init__(self):
        self.now = SECOND
        self.client = Endpoint(now=self.now, rng=os.urandom, psk_of=None)
        self.server = Endpoint(now=self.now, rng=os.urandom, psk_of={"k": KEY}.get)
        self.link = self.client.connect(SERVER, "k", KEY, self.now)
        for _ in range(4):
            self.exchange()
        assert [type(event) for event in self.server.events()] == [Connected]

    def exchange(self):
        """One way and back."""
        self.now += MS
        there = [(data, CLIENT) for data, _ in self.client.poll_transmit(self.now)]
        self.server.receive(there, self.now)
        back = [(data, SERVER) for data, _ in self.server.poll_transmit(self.now)]
        self.client.receive(back, self.now)
        self.client.handle_timeout(self.now)
        return len(there)


def pump_round(payloads, aead):
    """Seal and open, and nothing else: what any encrypted datagram must cost here."""
    arrived = 0
    for number, payload in enumerate(payloads):
        nonce = number.to_bytes(12, "little")
        header = b"\x15" + number.to_bytes(8, "little")
        packet = header + aead.encrypt(nonce, payload, header)
        arrived += len(aead.decrypt(nonce, packet[9:], packet[:9]))
    return arrived


def test_datagrams_cost_at_most_twice_the_pump(benchmark):
    payloads = [os.urandom(PAYLOAD)] * ROUND
    aead = AESGCM(KEY[:16])
    ends = Ends()

    def protocol():
        ends.client.send_datagrams(ends.link, payloads)
        ends.exchange()
        ends.client.events()
        return ends.server.events()

    for _ in range(3):  # the window opens once the round trip has shown itself a local one
        events = protocol()
    assert [e.payloads for e in events if isinstance(e, DatagramsReceived)] == [payloads]
    assert pump_round(payloads, aead) == ROUND * PAYLOAD
    pump_s = best(lambda: pump_round(payloads, aead))
    protocol_s = best(protocol)
    benchmark.extra_info["us_per_datagram_both_ends"] = protocol_s / ROUND * 1e6
    benchmark.extra_info["ratio_to_pump"] = pump_s / protocol_s
    benchmark(protocol)
    assert pump_s / protocol_s > 0.5


def test_bulk_costs_at_most_four_times_the_pump(benchmark):
    message = os.urandom(1_000_000)
    pieces = [message[at : at + PAYLOAD] for at in range(0, len(message), PAYLOAD)]
    aead = AESGCM(KEY[:16])
    ends = Ends()

    def protocol():
        ends.client.send(ends.link, message, BULK)
        parts = []
        while not parts or parts[-1].start + len(parts[-1].data) < len(message):
            ends.exchange()
            parts += [e for e in ends.server.events() if isinstance(e, BulkReceived)]
        return [part.data for part in parts]

    assert b"".join(protocol()) == message
    pump_s = best(lambda: pump_round(pieces, aead))
    protocol_s = best(protocol)
    benchmark.extra_info["mb_per_s_both_ends_in_one_thread"] = 1 / protocol_s
    benchmark.extra_info["ratio_to_pump"] = pump_s / protocol_s
    benchmark(protocol)
    assert pump_s / protocol_s > 0.25


def test_small_messages_by_the_thousand(benchmark):
    message = os.urandom(64)
    ends = Ends()

    def protocol():
        for _ in range(1000):
            ends.client.send(ends.link, message)
        ends.exchange()
        return [e.data for e in ends.server.events() if isinstance(e, MessageReceived)]

    assert protocol() == [message] * 1000
    benchmark.extra_info["us_per_message_both_ends"] = best(protocol) * 1e3
    benchmark(protocol)


def test_sockets_carry_a_burst_faster_than_one_call_a_datagram(benchmark):
    data = [os.urandom(1200) for _ in range(ROUND)]
    with UdpSocket(("127.0.0.1", 0)) as one, UdpSocket(("127.0.0.1", 0)) as two:
        transmits = [(piece, two.address) for piece in data]

        def batched():
            one.send(transmits)
            got = []
            while len(got) < ROUND and two.wait(SECOND):
                got += two.receive(ROUND)
            return got

        def singly():
            for piece in data:
                one._socket.sendto(piece, two.address)
                two._socket.recvfrom(2000)

        assert [piece for piece, _ in batched()] == data
        ratio = best(singly) / best(batched)
        benchmark.extra_info["times_faster_than_sendto"] = ratio
        benchmark(batched)
        assert ratio > 2


def test_a_spoofed_hello_costs_less_than_half_a_handshake_and_leaves_nothing(benchmark):
    server = Endpoint(now=SECOND, rng=os.urandom, psk_of={"k": KEY}.get)
    flood = [
        (
            hs.build_hello(hs.hello_bound(i, i, "k"), os.urandom(20), bytes(hs.NOISE_BYTES), 1200),
            (f"10.9.{i % 256}.1", i),
        )
        for i in range(ROUND)
    ]

    now = SECOND

    def receive():
        nonlocal now
        now += 10 * MS  # within the budget of answers
        server.receive(flood, now)
        return server.poll_transmit(now)

    assert len(receive()) == ROUND
    assert server.endpoint_stats().connections == 0
    hello_s = best(receive) / ROUND
    assert server.endpoint_stats().hellos_unanswered == 0
    exchange_s = best(exchange_once, 50)
    benchmark.extra_info["us_per_hello"] = hello_s * 1e6
    benchmark(receive)
    assert hello_s < exchange_s / 2


def exchange_once():
    """What X25519 alone asks of one end: a fresh key and one exchange."""
    private = X25519PrivateKey.generate()
    private.public_key().public_bytes_raw()
    private.exchange(X25519PublicKey.from_public_bytes(PEER))


PEER = X25519PrivateKey.generate().public_key().public_bytes_raw()


def test_handshakes_come_at_a_quarter_of_what_x25519_allows(benchmark):
    now = SECOND
    server = Endpoint(now=now, rng=os.urandom, psk_of={"k": KEY}.get)

    def handshake():
        nonlocal now
        now += 5 * MS  # one host is let in so often
        client = Endpoint(now=now, rng=os.urandom, psk_of=None)
        client.connect(SERVER, "k", KEY, now)
        for _ in range(3):
            server.receive([(data, CLIENT) for data, _ in client.poll_transmit(now)], now)
            client.receive([(data, SERVER) for data, _ in server.poll_transmit(now)], now)
        event = next(event for event in server.events() if isinstance(event, Connected))
        server.close(event.link, "measured", now)
        return event

    assert isinstance(handshake(), Connected)
    ratio = 2 * best(exchange_once, 50) / best(handshake, 50)
    benchmark.extra_info["ratio_to_x25519_of_both_ends"] = ratio
    benchmark.pedantic(handshake, rounds=50)
    assert ratio > 0.25


@pytest.mark.parametrize("loss", [0.0, 0.02])
def test_a_simulated_link_of_100_mbit_and_50_ms(benchmark, loss):
    """Virtual time: the share of the link that one bulk transfer of 20 MB gets."""
    share = benchmark.pedantic(simulated_share, args=(loss,), rounds=1)
    benchmark.extra_info["share_of_link"] = share
    assert share > 0.75


def simulated_share(loss):
    size, rate = 20_000_000, 100e6
    net = NetSim(
        3, Conditions(loss=loss, delay_ns=25 * MS, rate_bits_per_s=rate, queue_ns=100 * MS)
    )
    rng = random.Random(1)
    now = SECOND
    ends = {
        CLIENT: Endpoint(now=now, rng=rng.randbytes, psk_of=None),
        SERVER: Endpoint(now=now, rng=rng.randbytes, psk_of={"k": KEY}.get),
    }
    link = ends[CLIENT].connect(SERVER, "k", KEY, now)
    ends[CLIENT].send(link, bytes(size), BULK)
    while now < 300 * SECOND:
        for source, endpoint in ends.items():
            endpoint.handle_timeout(now)
            for data, target in endpoint.poll_transmit(now):
                net.send(source, target, data, now)
        times = [net.next_time(), *(endpoint.next_timeout() for endpoint in ends.values())]
        now = max(now, min(at for at in times if at is not None))
        batches = {}
        for source, target, data in net.deliver(now):
            batches.setdefault(target, []).append((data, source))
        for target, batch in batches.items():
            ends[target].receive(batch, now)
        ends[CLIENT].events()
        parts = [event for event in ends[SERVER].events() if isinstance(event, BulkReceived)]
        if any(part.start + len(part.data) == size for part in parts):
            return size * 8 / rate / ((now - SECOND) / SECOND)
    raise AssertionError("the transfer did not end within five minutes")
