"""The key cases of `test_network.py` again, over real sockets of each kind and by the real clock.

What a network does to datagrams is done here between the endpoint and its socket.
"""

import os
import time

import pytest

from sidereal.errors import LimitError
from sidereal.transport import BULK, Connected, LinkClosed, TransportSettings, sockets
from sidereal.transport import handshake as hs
from sidereal.transport.netsim import Conditions, NetSim
from sidereal.transport.sockets import UdpSocket
from sidereal.transport.transmits import apart
from transport.pair import KEY, MS, SECOND, Side
from transport.test_sockets import Node, turn_until

KINDS = {
    "batched": ("127.0.0.1", {"drain": False}),
    "drained": ("127.0.0.1", {"drain": True}),
    "plain": ("127.0.0.1", {}),
    "IPv6": ("::1", {}),
}


class RoughSocket:
    """A socket whose sends go through a simulated network first."""

    def __init__(self, inner):
        self.inner = inner
        self.net = NetSim(7, Conditions())
        self.wait, self.address = inner.wait, inner.address

    def send(self, transmits):
        now = time.monotonic_ns()
        for data, target in apart(transmits):
            self.net.send(self.address, target, data, now)
        self.inner.send([(data, target) for _, target, data in self.net.deliver(now)])

    def receive_runs(self, most):
        self.send([])
        return self.inner.receive_runs(most)

    def close(self):
        self.inner.close()


class Talker(Node):
    """A node that keeps its events as `pair.Side` does."""

    def __init__(self, psk_of, sock, settings):
        super().__init__(psk_of, socket=RoughSocket(sock), settings=settings)
        self.side = Side(self.socket.address, self.endpoint)
        self.taken = 0

    def turn(self):
        if not self.side.reading:
            events, self.endpoint.events = self.endpoint.events, list
            super().turn()
            self.endpoint.events = events
            return
        super().turn()
        self.side.take(self.events[self.taken :])
        self.taken = len(self.events)


class Two:
    """A client and a server over sockets of one kind."""

    def __init__(self, kind, monkeypatch, settings=None):
        monkeypatch.setattr(sockets, "PLAIN", kind == "plain")
        host, options = KINDS[kind]
        self.server = Talker({"k": KEY}.get, UdpSocket((host, 0), **options), settings)
        self.client = Talker(None, UdpSocket((host, 0), **options), settings)
        self.nodes = [self.client, self.server]
        self.host = host

    def rough(self, conditions):
        for node in self.nodes:
            node.socket.net.conditions = conditions

    def connect(self):
        now = time.monotonic_ns()
        self.client.link = self.client.endpoint.connect(self.server.socket.address, "k", KEY, now)
        self.until(lambda: self.client.of(Connected) and self.server.of(Connected))
        return self

    def until(self, done):
        turn_until(self.nodes, done, seconds=30)

    def turn_for(self, span_ns):
        end = time.monotonic_ns() + span_ns
        self.until(lambda: time.monotonic_ns() >= end)

    def close(self):
        for node in self.nodes:
            node.socket.close()


@pytest.fixture(params=list(KINDS))
def kind(request):
    return request.param


@pytest.fixture
def two(kind, monkeypatch):
    it = Two(kind, monkeypatch)
    yield it
    it.close()


def exchange(two):
    """Messages of both channels and datagrams, both ways; all as it should be."""
    sent = [os.urandom(size) for size in (0, 1, 1172, 20_000, 100_000)]
    for one in two.nodes:
        for data in sent:
            assert one.endpoint.send(one.link, data)
        assert one.endpoint.send(one.link, sent[-1] * 3, BULK)
        one.endpoint.send_datagrams(one.link, [data[:900] for data in sent * 20])
    two.until(
        lambda: all(
            len(node.side.arrived) == 6 and len(node.side.acked + node.side.lost) == 100
            for node in two.nodes
        )
    )
    for node in two.nodes:
        assert [data for channel, data in node.side.arrived if channel == 0] == sent
        assert (BULK, sent[-1] * 3) in node.side.arrived
        assert sorted(node.side.acked + node.side.lost) == list(range(100))
        assert set(node.side.datagrams) <= {data[:900] for data in sent}


@pytest.mark.parametrize(
    "conditions",
    [
        Conditions(),
        Conditions(loss=0.02, burst=4, delay_ns=5 * MS),
        Conditions(corrupt=0.05),
        Conditions(reorder=0.3, delay_ns=3 * MS),
        Conditions(duplicate=0.5, duplicate_late_ns=50 * MS),
    ],
    ids=["as it is", "2 percent burst loss", "corruption", "30 percent reordering", "duplicates"],
)
def test_transfer_over_sockets(two, conditions):
    two.connect().rough(conditions)
    exchange(two)


def test_handshake_at_30_percent_burst_loss_over_sockets(monkeypatch):
    patient = TransportSettings(handshake_timeout_ns=25 * SECOND, hello_interval_ns=20 * MS)
    two = Two("batched", monkeypatch, patient)
    two.rough(Conditions(loss=0.3, burst=2.5))
    two.connect()
    two.close()


def test_a_blackout_over_sockets(two):
    two.connect()
    data = os.urandom(300_000)
    two.client.endpoint.send(two.client.link, data)
    two.client.turn()
    two.rough(Conditions(loss=1.0))
    two.turn_for(400 * MS)
    two.rough(Conditions())
    two.until(lambda: two.server.side.messages == [data])


def test_a_receiver_that_stops_reading_and_a_full_send_queue_over_sockets(kind, monkeypatch):
    narrow = TransportSettings(receive_window_bytes=50_000, send_queue_bytes=200_000)
    two = Two(kind, monkeypatch, narrow).connect()
    two.server.side.reading = False
    sent = [bytes([i]) * 10_000 for i in range(19)]
    for data in sent:
        two.client.endpoint.send(two.client.link, data)
    with pytest.raises(LimitError, match="wait until it has read some"):
        two.client.endpoint.send(two.client.link, bytes(10_000))
    two.turn_for(100 * MS)
    held = sum(len(event.data) for event in two.server.endpoint._events)
    assert 20_000 < held <= 50_000
    two.server.side.reading = True
    two.until(lambda: two.server.side.messages == sent)
    two.close()


def test_bulk_against_control_over_sockets(two):
    two.connect()
    two.client.endpoint.send(two.client.link, bytes(20_000_000), BULK)
    two.turn_for(20 * MS)
    two.client.endpoint.send(two.client.link, b"order")
    two.until(lambda: two.server.side.arrived)
    assert two.server.side.arrived[0] == (0, b"order")
    two.until(lambda: len(two.server.side.arrived) == 2)


def test_strangers_of_every_kind_over_sockets(two):
    """Spoofed HELLOs, garbage of 0 to 9 bytes and oversize, a packet from another address."""
    two.connect()
    two.client.endpoint.send_datagrams(two.client.link, [b"captured"])
    ((packet, _),) = two.client.endpoint.poll_transmit(time.monotonic_ns())
    target = two.server.socket.address
    with UdpSocket((two.host, 0)) as stranger:
        for i in range(50):
            bound = hs.hello_bound(i, i, "k")
            hello = hs.build_hello(bound, os.urandom(20), os.urandom(hs.NOISE_BYTES), 1200)
            junk = [bytes(i % 10), b"\xff" * (i % 10), b"\xff" + os.urandom(60_000), packet]
            stranger.send([(data, target) for data in [hello, *junk]])
            two.server.turn()
        # What is sent last is the captured packet, and nothing overtakes.
        two.until(lambda: two.server.endpoint.endpoint_stats().wrong_address >= 50)
    stats = two.server.endpoint.endpoint_stats()
    assert (stats.connections, stats.half_open) == (1, 0)
    assert stats.cookies_refused == 50
    assert stats.wrong_address == 50
    assert stats.malformed >= 50
    assert two.server.side.datagrams == []
    exchange_one(two)


def exchange_one(two):
    two.client.endpoint.send(two.client.link, b"undisturbed")
    two.until(lambda: two.server.side.messages == [b"undisturbed"])


def test_a_process_that_stands_still_over_sockets(two):
    """The server does nothing for half a second; then it has all, and the link stands."""
    two.connect()
    sent = [os.urandom(3000) for _ in range(30)]
    for data in sent:
        two.client.endpoint.send(two.client.link, data)
    end = time.monotonic_ns() + SECOND // 2
    turn_until([two.client], lambda: time.monotonic_ns() > end)
    two.until(lambda: two.server.side.messages == sent)
    assert not two.client.of(LinkClosed)


def test_lost_and_simultaneous_close_over_sockets(monkeypatch):
    two = Two("batched", monkeypatch).connect()
    two.rough(Conditions(loss=1.0))
    now = time.monotonic_ns()
    two.client.endpoint.close(two.client.link, "mine", now)
    two.server.endpoint.close(two.server.link, "yours", now)
    two.turn_for(100 * MS)
    two.rough(Conditions())
    two.until(lambda: not any(n.endpoint.endpoint_stats().connections for n in two.nodes))
    assert [event.reason for event in two.client.of(LinkClosed)] == ["mine"]
    assert [event.reason for event in two.server.of(LinkClosed)] == ["yours"]
    two.close()
