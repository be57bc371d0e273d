"""What a peer whose cookie is good may cost before it is connected: handshakes, within a budget."""

import pytest

from sidereal.limits import (
    HANDSHAKES_BURST,
    HANDSHAKES_OF_HOST_BURST,
    HANDSHAKES_OF_HOST_PER_S_MAX,
    HANDSHAKES_PER_S_MAX,
)
from sidereal.transport import Connected, Endpoint, noise
from sidereal.transport import handshake as hs
from sidereal.transport.budget import HandshakeBudget
from sidereal.transport.cookie import CookieJar
from sidereal.transport.netsim import parse
from transport.pair import CLIENT, KEY, MS, SECOND, Pair, seeded


class Stranger:
    """Sends HELLOs whose cookies are good, for it receives at each of its addresses."""

    def __init__(self, pair):
        self.jar = CookieJar(seeded(3)(16), pair.now)
        self.echo = 1000

    def hello(self, address, now):
        self.echo += 1
        bound = hs.hello_bound(self.echo, 1, "shard")
        cookie = self.jar.make(address, bound, now)
        return hs.build_hello(bound, cookie, bytes(hs.NOISE_BYTES), 1200)


@pytest.fixture
def judged(monkeypatch):
    """A pair, and how many handshakes its server has judged."""
    pair = Pair(parse("lan"))
    count = []
    known = {"shard": KEY}

    def psk_of(name):
        count.append(name)
        return known.get(name)

    pair.server.endpoint = Endpoint(now=pair.now, rng=seeded(3), psk_of=psk_of)
    return pair, count


def test_a_good_cookie_buys_no_more_handshakes_than_the_budget(judged):
    pair, count = judged
    endpoint, stranger = pair.server.endpoint, Stranger(pair)
    for step in range(100):
        pair.now += 10 * MS
        hosts = [f"9.{i % 250}.{step % 250}.1" for i in range(400)]
        batch = [(stranger.hello((h, 1), pair.now), (h, 1)) for h in hosts]
        endpoint.receive(batch, pair.now)
        endpoint.poll_transmit(pair.now)
    budget = HANDSHAKES_BURST + HANDSHAKES_PER_S_MAX
    assert 0.8 * budget < len(count) <= budget
    assert endpoint.endpoint_stats().handshakes_postponed == 40_000 - len(count)


def test_one_host_with_good_cookies_leaves_most_of_the_budget_to_others(judged):
    pair, count = judged
    endpoint, stranger = pair.server.endpoint, Stranger(pair)
    pair.connect()
    for _ in range(200):
        address = ("9.9.9.9", stranger.echo % 60_000)
        flood = [(stranger.hello(address, pair.now), address) for _ in range(50)]
        endpoint.receive(flood, pair.now)
        pair.run(5 * MS)
    assert pair.client.of(Connected), "another host is served meanwhile"
    assert len(count) <= HANDSHAKES_OF_HOST_BURST + HANDSHAKES_OF_HOST_PER_S_MAX + 5


def test_who_has_no_key_costs_no_exchange_of_keys(judged, monkeypatch):
    pair, count = judged
    made = []
    real = noise.X25519PrivateKey.from_private_bytes

    class Counting:
        @staticmethod
        def from_private_bytes(data):
            made.append(data)
            return real(data)

    monkeypatch.setattr(noise, "X25519PrivateKey", Counting)
    stranger = Stranger(pair)
    pair.server.endpoint.receive([(stranger.hello(CLIENT, pair.now), CLIENT)], pair.now)
    assert count == ["shard"]
    assert made == []
    pair.open()
    assert len(made) == 2, "one for each end"


def test_many_hosts_that_come_back_at_once_are_all_let_in():
    """A full server restarts: its clients come within a second, and again until they are in."""
    pair = Pair(parse("lan"))
    clients = []
    for i in range(300):
        client = Endpoint(now=pair.now, rng=seeded(500 + i), psk_of=None)
        client.connect(("10.0.0.2", 2000), "shard", KEY, pair.now)
        clients.append(client)
    connected = 0
    for _ in range(800):
        pair.now += 5 * MS
        for i, client in enumerate(clients):
            client.handle_timeout(pair.now)
            address = (f"10.1.{i // 100}.{i % 100}", 1)
            sent = [(data, address) for data, _ in client.poll_transmit(pair.now)]
            if not sent:
                continue
            pair.server.endpoint.receive(sent, pair.now)
            back = pair.server.endpoint.poll_transmit(pair.now)
            client.receive([(data, ("10.0.0.2", 2000)) for data, _ in back], pair.now)
            connected += any(isinstance(event, Connected) for event in client.events())
        if connected == len(clients):
            break
    assert connected == len(clients)


def test_a_clock_that_jumps_back_gives_no_handshakes_beyond_the_budget():
    budget = HandshakeBudget(bytes(16), 5 * SECOND)
    passed = 0
    for now in (5, 6, 5, 6, 5):
        passed += sum(
            budget.afford((f"9.{i // 200}.{i % 200}.1", 1), now * SECOND) for i in range(20_000)
        )
    assert passed <= HANDSHAKES_BURST + 2 * HANDSHAKES_PER_S_MAX


def test_an_ipv6_network_counts_as_one_host_and_mapped_ipv4_hosts_do_not():
    def admitted(hosts):
        budget = HandshakeBudget(bytes(16), SECOND)
        return sum(budget.afford((host, 1), SECOND) for host in hosts)

    one_network = [f"2001:db8:1:2::{i:x}" for i in range(1000)]
    scoped = [f"fe80::{i:x}%eth0" for i in range(1000)]
    mapped = [f"::ffff:10.1.{i // 250}.{i % 250}" for i in range(1000)]
    assert admitted(one_network) == admitted(scoped) == HANDSHAKES_OF_HOST_BURST
    assert admitted(mapped) == 1000
