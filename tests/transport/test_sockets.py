"""Real sockets: what the batched and the plain one both do, and how the former falls back."""

import errno
import gc
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from sidereal.errors import ConfigError
from sidereal.transport import (
    Connected,
    DatagramNotice,
    DatagramsReceived,
    Endpoint,
    LinkClosed,
    MessageReceived,
    sockets,
)
from sidereal.transport._batch import BatchSocket
from sidereal.transport._drain import DrainedSocket
from sidereal.transport.sockets import UdpSocket, resolve
from sidereal.transport.sockets_plain import PlainSocket
from transport.pair import KEY

SECOND = 1_000_000_000


def receive_all(sock, count):
    """Receive until ``count`` datagrams came, or nothing comes any more."""
    got = []
    while len(got) < count and sock.wait(SECOND):
        got += sock.receive(1000)
    return got


def loopback(ipv6=False):
    return UdpSocket(("::1" if ipv6 else "127.0.0.1", 0))


@pytest.mark.parametrize("ipv6", [False, True])
def test_datagrams_arrive_whole_and_in_order_whatever_their_sizes(ipv6):
    with loopback(ipv6) as one, loopback(ipv6) as two:
        sizes = [1200] * 130 + [700, 1200, 1200, 1201, 1, 0, 0, 65, 1200, 9000, 3] + [64] * 70
        sent = [os.urandom(size) for size in sizes]
        assert one.send([(data, two.address) for data in sent]) == len(sent)
        got = receive_all(two, len(sent))
        assert [data for data, _ in got] == sent
        assert {address for _, address in got} == {one.address}


@pytest.mark.parametrize("kind", [BatchSocket, PlainSocket])
def test_both_implementations_do_the_same(kind):
    raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    raw.bind(("127.0.0.1", 0))
    raw.setblocking(False)
    with raw, loopback() as other:
        sock = kind(raw)
        sent = [bytes([i]) * 1000 for i in range(100)]
        assert sock.send([(data, other.address) for data in sent]) == 100
        assert [data for data, _ in receive_all(other, 100)] == sent
        other.send([(data, raw.getsockname()) for data in sent])
        assert [data for data, _ in receive_all(sock, 100)] == sent
        assert sock.receive(10) == []
        assert not sock.wait(0)
        with pytest.raises(ConfigError, match="resolve names first"):
            sock.send([(b"x", ("no.such.host.invalid", 1))])


def test_one_receive_stops_near_its_bound():
    with loopback() as one, loopback() as two:
        one.send([(b"x" * i, two.address) for i in range(1, 301)])
        first = two.receive(10)
        assert 10 <= len(first) < 10 + 64
        assert len(first) + len(receive_all(two, 300 - len(first))) == 300


def test_offload_that_fails_in_mid_stream_is_turned_off_and_nothing_is_lost():
    for code in (errno.EIO, errno.EINVAL):
        with loopback() as one, loopback() as two:
            assert one.segmenting
            one._inner.inject = [code]
            sent = [bytes([i]) * 1000 for i in range(100)]
            assert one.send([(data, two.address) for data in sent]) == 100
            assert not one.segmenting
            assert [data for data, _ in receive_all(two, 100)] == sent


def test_passing_troubles_of_the_system_lose_nothing():
    with loopback() as one, loopback() as two:
        one._inner.inject = [errno.EINTR, errno.ECONNREFUSED, errno.EAGAIN]
        assert one.send([(b"a", two.address), (b"b", two.address)]) == 2
        assert [data for data, _ in receive_all(two, 2)] == [b"a", b"b"]
        assert one.dropped == 0


def test_a_full_system_drops_the_rest_of_a_batch_and_counts_it():
    with loopback() as one, loopback() as two:
        one._inner.inject = [errno.ENOBUFS]
        assert one.send([(b"a", two.address)] * 5) == 0
        assert one.dropped == 5
        one._inner.inject = [errno.EAGAIN] * 100
        assert one.send([(b"a", two.address)] * 5) == 0
        assert one.dropped == 10
        one._inner.inject = []
        assert one.send([(b"a", two.address)]) == 1


def test_a_datagram_refused_for_itself_does_not_stop_the_others():
    with loopback() as one, loopback() as two:
        assert (
            one.send([(b"a", two.address), (bytes(70_000), two.address), (b"b", two.address)]) == 2
        )
        assert one.dropped == 1
        assert [data for data, _ in receive_all(two, 2)] == [b"a", b"b"]


def test_a_closed_port_does_not_stop_later_sends():
    gone = loopback()
    address = gone.address
    gone.close()
    with loopback() as one, loopback() as two:
        for _ in range(3):
            one.send([(b"x", address)])
        assert one.send([(b"y", two.address)]) == 1
        assert receive_all(two, 1)[0][0] == b"y"
        assert one.receive(10) == []


def test_a_port_in_use_and_a_foreign_address_are_said_plainly():
    with (
        loopback() as one,
        pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1:\d+: Address"),
    ):
        UdpSocket(one.address)
    with pytest.raises(ConfigError, match="cannot listen"):
        UdpSocket(("192.0.2.1", 0))
    with pytest.raises(ConfigError, match="cannot resolve"):
        resolve("no such host", 1)


def test_names_resolve_to_numbers():
    assert resolve("localhost", 5)[1] == 5
    assert resolve("127.0.0.1", 7) == ("127.0.0.1", 7)


def test_a_short_batch_send_goes_on_where_it_stopped():
    """The system takes some of what one call offers, and fewer than that."""
    with loopback() as one, loopback() as two:
        one._inner.inject = [-1, -3, errno.EAGAIN, -1]
        sent = [bytes([i]) * (10 + i % 3 * 500) for i in range(200)]
        assert one.send([(data, two.address) for data in sent]) == 200
        assert one._inner.inject == []
        assert [data for data, _ in receive_all(two, 200)] == sent
        assert one.dropped == 0


def test_a_wait_spins_only_while_datagrams_come_soon():
    with loopback() as one, loopback() as two:
        two._inner.spin_ns = SECOND
        assert two._inner.spinning_ns == 0, "the first wait sleeps"
        for _ in range(30):
            one.send([(b"x", two.address)])
            assert two.wait(SECOND)
            assert two.receive(1)
        assert 0 < two._inner.spinning_ns <= SECOND
        two._inner.spin_ns = 1_000
        assert not two.wait(5_000_000)
        assert two._inner.spinning_ns == 0, "a wait that was long ends it"
        two._inner.spin_ns = 0
        one.send([(b"x", two.address)])
        assert two.wait(SECOND)
        assert two._inner.spinning_ns == 0, "who shares its core asks for none"


def test_a_wait_does_not_spin_on_a_core_that_others_want():
    """Whoever gives such a core away has it back a turn of the scheduler's later: milliseconds."""
    with loopback() as one, loopback() as two:
        inner = two._inner
        inner.spin_ns = SECOND
        for _ in range(3):
            one.send([(b"x", two.address)])
            assert two.wait(SECOND)
            assert two.receive(1)
        assert inner.spinning_ns > 0
        inner.crowded_ns = -1  # however short they had it
        before = time.monotonic_ns()
        assert not two.wait(1_000_000)
        assert inner.crowded_until_ns > before + 50_000_000
        until = inner.crowded_until_ns
        assert inner.spinning_ns > 0
        assert not two.wait(1_000_000)
        assert inner.crowded_until_ns == until, "it slept"


def test_a_drained_socket_keeps_what_came_while_nobody_read():
    """More than the system's buffer holds, in datagrams of every size, runs among them."""
    with UdpSocket(("127.0.0.1", 0), drain=True) as two, loopback() as one:
        assert two.draining
        two._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        sent = [os.urandom(size) for size in [1200] * 40 + [0, 1, 9000, 700, 700, 64]] * 20
        got = []
        for at in range(0, len(sent), 4):  # no more at a time than the system holds
            some = sent[at : at + 4]
            assert one.send([(data, two.address) for data in some]) == len(some)
            end = time.monotonic() + 10
            while two._inner.written < sum(map(len, sent[: at + 4])):
                assert time.monotonic() < end
        while two.wait(0):
            got += two.receive(7)
        assert [data for data, _ in got] == sent
        assert {address for _, address in got} == {one.address}
        assert two._inner.overrun == 0
        assert not two.wait(1000)


def test_a_drain_that_is_full_counts_what_it_drops_and_goes_on():
    raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    raw.bind(("127.0.0.1", 0))
    raw.setblocking(False)
    drained = DrainedSocket(raw, 100_000)
    with raw, loopback() as one:
        target = raw.getsockname()
        for turn in range(3):
            fits = []
            for i in range(200):
                before = drained.written, drained.overrun
                one.send([(bytes([i]) * (1000 + i), target)])
                end = time.monotonic() + 10
                while before == (drained.written, drained.overrun):
                    assert time.monotonic() < end
            assert drained.overrun > 100 * (turn + 1)
            while drained.wait(20_000_000):
                fits += drained.receive(1000)
            assert 50 < len(fits) < 100
            assert [data[0] for data, _ in fits[:50]] == list(range(50)), "the oldest are kept"
            one.send([(b"and then", target)])
            assert drained.wait(SECOND)
            assert [data for data, _ in drained.receive(10)] == [b"and then"]
        drained.stop()


def test_a_drained_socket_that_is_forgotten_leaves_no_thread():
    """The thread holds what it fills, so nobody but it would hold the socket any more."""
    before = set(threading.enumerate())
    one = UdpSocket(("127.0.0.1", 0), drain=True)
    (thread,) = set(threading.enumerate()) - before
    del one
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def test_who_is_granted_little_room_drains_and_who_has_it_does_not(monkeypatch):
    """As a process without privilege: the system's usual bound is 208 KiB."""
    with loopback() as one:
        assert (
            not one.draining
            or one._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            < 2 * sockets.BUFFER_BYTES
        )
    monkeypatch.setattr(sockets, "_enlarge", lambda *_: None)
    with loopback() as one:
        assert one.draining
        assert one.fileno() != one._socket.fileno()
    with UdpSocket(("127.0.0.1", 0), drain=False) as one:
        assert not one.draining


def test_other_systems_need_no_call_that_only_linux_has():
    """A fresh interpreter that believes to be on macOS: two ends talk by the plain sockets."""
    program = """
import sys
sys.platform = "darwin"
import os, time
from sidereal.transport import Connected, Endpoint, sockets
assert sockets.PLAIN
assert not any(name.endswith(("_batch", "_drain")) for name in sys.modules)
key, ends = bytes(32), []
for psk_of in ({"k": key}.get, None):
    sock = sockets.UdpSocket(("127.0.0.1", 0))
    assert not sock.segmenting and not sock.draining
    ends.append((sock, Endpoint(now=time.monotonic_ns(), rng=os.urandom, psk_of=psk_of)))
ends[1][1].connect(ends[0][0].address, "k", key, time.monotonic_ns())
seen, end = 0, time.monotonic() + 20
while seen < 2 and time.monotonic() < end:
    for sock, endpoint in ends:
        now = time.monotonic_ns()
        endpoint.receive(sock.receive(64), now)
        endpoint.handle_timeout(now)
        seen += sum(isinstance(event, Connected) for event in endpoint.events())
        sock.send(endpoint.poll_runs(now))
        sock.wait(1_000_000)
print("connected" if seen == 2 else "not connected")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout.strip(), done.stderr) == ("connected", "")


class Node:
    """An endpoint on a real socket, driven by the real clock."""

    def __init__(self, psk_of=None, socket=None, **options):
        self.socket = socket or loopback()
        self.endpoint = Endpoint(now=time.monotonic_ns(), rng=os.urandom, psk_of=psk_of, **options)
        self.events = []
        self.link = None

    def turn(self):
        batch = self.socket.receive_runs(1024)
        now = time.monotonic_ns()
        if batch:
            self.endpoint.receive(batch, now)
        self.endpoint.handle_timeout(now)
        for event in self.endpoint.events():
            self.events.append(event)
            if isinstance(event, Connected):
                self.link = event.link
        self.socket.send(self.endpoint.poll_runs(now))

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def turn_until(nodes, done, seconds=20):
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, [node.events[-3:] for node in nodes]
        for node in nodes:
            node.turn()


@pytest.fixture
def nodes():
    server, client = Node({"shard": KEY}.get), Node()
    yield client, server
    client.socket.close()
    server.socket.close()


def test_endpoints_talk_over_real_sockets(nodes):
    client, server = nodes
    client.link = client.endpoint.connect(server.socket.address, "shard", KEY, time.monotonic_ns())
    turn_until(nodes, lambda: client.of(Connected) and server.of(Connected))
    sent = [os.urandom(size) for size in (0, 1, 1172, 1173, 100_000, 3_000_000)]
    for data in sent:
        assert client.endpoint.send(client.link, data)
    payloads = [os.urandom(1000) for _ in range(500)]
    first = server.endpoint.send_datagrams(server.link, payloads)
    assert first == 0

    def noticed():
        notices = server.of(DatagramNotice)
        return sum(len(n.acked) + len(n.lost) for n in notices) == 500

    turn_until(nodes, lambda: len(server.of(MessageReceived)) == len(sent) and noticed())
    assert [event.data for event in server.of(MessageReceived)] == sent
    acked = [token for notice in server.of(DatagramNotice) for token in notice.acked]
    got = [data for event in client.of(DatagramsReceived) for data in event.payloads]
    assert {payloads[token] for token in acked} <= set(got) <= set(payloads)
    assert len(acked) >= 450
    client.endpoint.close(client.link, "that was all", time.monotonic_ns())
    turn_until(
        nodes, lambda: server.of(LinkClosed) and not client.endpoint.endpoint_stats().connections
    )
    assert server.of(LinkClosed) == [LinkClosed(server.link, "that was all", True)]


def test_endpoints_survive_an_offload_failure_in_mid_transfer(nodes):
    client, server = nodes
    client.link = client.endpoint.connect(server.socket.address, "shard", KEY, time.monotonic_ns())
    turn_until(nodes, lambda: client.of(Connected) and server.of(Connected))
    data = os.urandom(2_000_000)
    client.endpoint.send(client.link, data)
    client.turn()
    client.socket._inner.inject = [errno.EIO]
    turn_until(nodes, lambda: server.of(MessageReceived))
    assert server.of(MessageReceived)[0].data == data
    assert not client.socket.segmenting
