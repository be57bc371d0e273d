"""Getting connected, and all the ways of not getting connected."""

import itertools

import pytest

from sidereal.errors import ConfigError
from sidereal.transport import Connected, Endpoint, LinkClosed, TransportSettings
from sidereal.transport import handshake as hs
from sidereal.transport.cookie import COOKIE_LIFETIME_S, NO_COOKIE, CookieJar
from sidereal.transport.netsim import Conditions, parse
from transport.pair import CLIENT, KEY, MS, SECOND, SERVER, Pair, seeded

ATTACKER = ("6.6.6.6", 666)


def closed_reason(pair, duration_ns=10 * SECOND):
    assert pair.run(duration_ns, lambda: bool(pair.client.closed))
    return pair.client.closed[0].reason


def hello_from(pair):
    """The first HELLO that the client sends."""
    ((data, _),) = pair.client.endpoint.poll_transmit(pair.now)
    return data


@pytest.mark.parametrize("seed", range(20))
def test_handshake_at_30_percent_burst_loss(seed):
    conditions = Conditions(loss=0.30, burst=2.5, delay_ns=20 * MS)
    pair = Pair(conditions, seed=seed, settings=TransportSettings(handshake_timeout_ns=30 * SECOND))
    pair.open(30 * SECOND)


def test_handshake_over_a_round_trip_of_1500_ms():
    pair = Pair(parse("delay=750ms")).open()
    assert len(pair.server.of(Connected)) == 1


def test_a_silent_server():
    pair = Pair()
    pair.net.partition(CLIENT, SERVER)
    pair.connect()
    assert closed_reason(pair) == "no answer from 10.0.0.2:2000: is a server running there?"
    assert pair.now - 1_000 * SECOND == 5 * SECOND
    assert pair.client.endpoint.next_timeout() is None


@pytest.mark.parametrize(("name", "key"), [("shard", b"?" * 32), ("nobody", KEY)])
def test_a_wrong_key_or_key_name_is_said_soon_and_leaks_nothing(name, key):
    pair = Pair(parse("lan"))
    pair.connect(key, name)
    reason = closed_reason(pair, 2 * SECOND)
    assert f"knows no key '{name}', or a different one by that name" in reason
    assert not pair.server.events
    assert pair.server.endpoint.endpoint_stats().connections == 0
    assert key.hex() not in reason
    assert repr(key) not in reason


def test_a_key_of_the_wrong_length_is_the_callers_fault():
    with pytest.raises(ConfigError, match=r"key 'shard' has 5 bytes; a key has 32"):
        Pair().connect(b"short")
    with pytest.raises(ConfigError, match="choose 1 to 64"):
        Pair().connect(KEY, "n" * 65)


def test_a_server_of_another_version():
    pair = Pair(parse("lan"))
    pair.connect()

    def refuse(batch, now):
        for data, address in batch:
            reject = hs.build_reject(hs.echo_of(data), hs.REJECT_VERSION, version=7)
            pair.net.send(SERVER, address, reject, now)

    pair.server.endpoint.receive = refuse
    assert closed_reason(pair) == ("10.0.0.2:2000 speaks protocol version 7, this end version 1")


def test_a_client_of_another_version_is_told_ours():
    pair = Pair()
    pair.connect()
    hello = hello_from(pair)
    other = bytes([hs.first_byte(hs.HELLO, version=9)]) + hello[1:]
    pair.server.endpoint.receive([(other, CLIENT)], pair.now)
    ((answer, _),) = pair.server.endpoint.poll_transmit(pair.now)
    assert hs.parse_reject(answer) == (hs.REJECT_VERSION, hs.VERSION)
    assert hs.echo_of(answer) == hs.echo_of(hello)


def test_a_full_server_says_so():
    settings = TransportSettings(connections_max=0)
    pair = Pair(server_settings=settings)
    pair.connect()
    assert "as many connections as it may have" in closed_reason(pair)


def test_an_endpoint_that_accepts_nobody_is_silent():
    pair = Pair()
    pair.server.endpoint = Endpoint(now=pair.now, rng=seeded(1), psk_of=None)
    pair.connect()
    assert "no answer" in closed_reason(pair)


def test_every_reply_is_smaller_than_its_hello():
    pair = Pair()
    pair.record = True
    pair.open()
    hellos = [data for source, _, data in pair.transmitted if data[0] & 15 == hs.HELLO]
    replies = [
        data for source, _, data in pair.transmitted if data[0] & 15 in (hs.COOKIE, hs.ACCEPT)
    ]
    assert len(hellos) == 2
    assert len(replies) == 2
    assert max(map(len, replies)) < hs.HELLO_BYTES_MIN <= min(map(len, hellos))
    short = hellos[0][: hs.HELLO_BYTES_MIN - 1]
    pair.server.endpoint.receive([(short, CLIENT)], pair.now)
    assert pair.server.endpoint.poll_transmit(pair.now) == []


def test_a_flood_of_spoofed_hellos_leaves_nothing_behind():
    pair = Pair(parse("lan")).open()
    endpoint = pair.server.endpoint
    rng = seeded(5)
    before = endpoint.endpoint_stats()
    for i in range(2000):
        bound = hs.hello_bound(i, i, "shard")
        hello = hs.build_hello(bound, rng(20), rng(hs.NOISE_BYTES), 1200)
        endpoint.receive([(hello, (f"1.2.{i % 256}.{i // 256}", i))], pair.now)
        replies = endpoint.poll_transmit(pair.now)
        assert all(len(data) < len(hello) for data, _ in replies)
    after = endpoint.endpoint_stats()
    assert (after.connections, after.half_open) == (before.connections, before.half_open) == (1, 0)
    assert after.cookies_refused - before.cookies_refused == 2000
    assert len(endpoint._timers) < 20
    pair.client.endpoint.send(pair.client.link, b"still here")
    assert pair.run(SECOND, lambda: pair.server.messages == [b"still here"])


def test_cookies_expired_moved_and_bound_to_another_hello():
    jar = CookieJar(bytes(16), now=5 * SECOND)
    cookie = jar.make(CLIENT, b"bound", 6 * SECOND)
    assert jar.check(cookie, CLIENT, b"bound", 6 * SECOND)
    assert jar.check(cookie, CLIENT, b"bound", (6 + COOKIE_LIFETIME_S) * SECOND)
    assert not jar.check(cookie, CLIENT, b"bound", (7 + COOKIE_LIFETIME_S) * SECOND)
    assert not jar.check(cookie, ("10.0.0.1", 1001), b"bound", 6 * SECOND)
    assert not jar.check(cookie, ("10.0.0.3", 1000), b"bound", 6 * SECOND)
    assert not jar.check(cookie, CLIENT, b"other", 6 * SECOND)
    assert not jar.check(NO_COOKIE, CLIENT, b"bound", 6 * SECOND)
    assert not CookieJar(bytes(15) + b"x", 5 * SECOND).check(cookie, CLIENT, b"bound", 6 * SECOND)
    later = jar.make(CLIENT, b"bound", 9 * SECOND)
    assert not jar.check(later, CLIENT, b"bound", 6 * SECOND), "a clock that jumped back"
    for at, bit in itertools.product(range(len(cookie)), range(8)):
        changed = cookie[:at] + bytes([cookie[at] ^ 1 << bit]) + cookie[at + 1 :]
        assert not jar.check(changed, CLIENT, b"bound", 6 * SECOND)


def recorded_hello(pair):
    """The HELLO with a good cookie that opened the pair."""
    return [
        data
        for source, _, data in pair.transmitted
        if source == CLIENT and data[0] & 15 == hs.HELLO
    ][-1]


def test_a_replayed_hello_opens_nothing():
    pair = Pair(parse("lan"))
    pair.record = True
    pair.open()
    hello = recorded_hello(pair)
    endpoint = pair.server.endpoint
    connected = len(pair.server.of(Connected))
    for _ in range(5):
        endpoint.receive([(hello, CLIENT)], pair.now)
        pair.run(100 * MS)
    assert endpoint.endpoint_stats().half_open <= 1
    assert len(pair.server.of(Connected)) == connected
    pair.client.endpoint.send(pair.client.link, b"undisturbed")
    assert pair.run(SECOND, lambda: pair.server.messages == [b"undisturbed"])
    pair.run(6 * SECOND)
    assert endpoint.endpoint_stats().half_open == 0
    assert endpoint.endpoint_stats().connections == 1
    endpoint.receive([(hello, ATTACKER)], pair.now)
    assert endpoint.endpoint_stats().half_open == 0, "the cookie holds for its address only"


def test_a_repeated_hello_gets_the_same_accept():
    """The ACCEPT was lost: the connection that waits answers, no second one is made."""
    pair = Pair()
    pair.connect()
    endpoint = pair.server.endpoint
    endpoint.receive([(hello_from(pair), CLIENT)], pair.now)
    pair.client.endpoint.receive(
        [(data, SERVER) for data, _ in endpoint.poll_transmit(pair.now)], pair.now
    )
    hello = hello_from(pair)
    answers = set()
    for _ in range(3):
        endpoint.receive([(hello, CLIENT)], pair.now)
        answers.update(data for data, _ in endpoint.poll_transmit(pair.now))
    assert len(answers) == 1
    assert endpoint.endpoint_stats().half_open == 1
    pair.now += 6 * SECOND
    endpoint.handle_timeout(pair.now)
    assert endpoint.endpoint_stats().half_open == endpoint.endpoint_stats().connections == 0
    assert endpoint.events() == [], "who never showed that it can decrypt was never there"


def test_half_open_connections_are_bounded():
    pair = Pair(server_settings=TransportSettings(half_open_max=3))
    endpoint = pair.server.endpoint
    codes = []
    for i in range(5):
        client = Endpoint(now=pair.now, rng=seeded(100 + i), psk_of=None)
        client.connect(SERVER, "shard", KEY, pair.now)
        for _ in range(2):
            endpoint.receive(
                [(data, ("10.1.1.1", i)) for data, _ in client.poll_transmit(pair.now)], pair.now
            )
            replies = endpoint.poll_transmit(pair.now)
            client.receive([(data, SERVER) for data, _ in replies], pair.now)
        codes.append(replies[0][0][0] & 15)
    assert codes == [hs.ACCEPT] * 3 + [hs.REJECT] * 2
    assert endpoint.endpoint_stats().half_open == 3


def test_forged_replies_change_nothing():
    pair = Pair(parse("lan"))
    pair.connect()
    hello = hello_from(pair)
    echo = hs.echo_of(hello)
    rng = seeded(9)
    forged = [
        hs.build_accept(echo, rng(hs.NOISE_BYTES)),
        hs.build_accept(echo ^ 1, rng(hs.NOISE_BYTES)),
        hs.build_reject(echo ^ 1, hs.REJECT_KEY),
        hs.build_reject(echo, hs.REJECT_KEY),
        hs.build_cookie(echo ^ 1, rng(20)),
        hs.build_cookie(echo, rng(20)),
    ]
    pair.client.endpoint.receive([(data, SERVER) for data in forged for _ in range(10)], pair.now)
    pair.client.endpoint.receive([(data, ATTACKER) for data in forged], pair.now)
    assert pair.client.endpoint.endpoint_stats().wrong_address == 3, "those with the right echo"
    pair.net.send(CLIENT, SERVER, hello, pair.now)
    assert pair.run(5 * SECOND, lambda: bool(pair.client.of(Connected)))
    assert not pair.client.closed


def test_garbage_of_every_small_size_and_oversize_is_counted_and_dropped():
    pair = Pair().open()
    rng = seeded(8)
    garbage = [bytes(size) for size in range(40)] + [rng(size) for size in range(40)]
    garbage += [bytes([first]) + rng(60) for first in range(256)] + [rng(65_000)]
    for side in (pair.client, pair.server):
        for address in (CLIENT, SERVER, ATTACKER):
            side.endpoint.receive([(data, address) for data in garbage], pair.now)
        stats = side.endpoint.endpoint_stats()
        assert stats.malformed >= 3 * 9
        assert stats.connections == 1
    pair.client.endpoint.send(pair.client.link, b"fine")
    assert pair.run(SECOND, lambda: pair.server.messages == [b"fine"])


def test_closing_while_connecting_is_silent_and_final():
    pair = Pair(parse("delay=50ms"))
    link = pair.connect()
    pair.run(60 * MS)
    pair.client.endpoint.close(link, "changed my mind", pair.now)
    pair.run(20 * SECOND)
    assert pair.client.events == [LinkClosed(link, "changed my mind", False)]
    assert not pair.server.of(Connected)
    assert pair.server.endpoint.endpoint_stats().connections == 0


def test_chacha_where_the_client_asks_for_it():
    pair = Pair(settings=TransportSettings(cipher="chacha20-poly1305")).open()
    pair.server_settings = TransportSettings()
    pair.client.endpoint.send(pair.client.link, b"salsa")
    assert pair.run(SECOND, lambda: pair.server.messages == [b"salsa"])


def test_the_smaller_datagram_size_of_both_ends_holds():
    pair = Pair(
        settings=TransportSettings(datagram_bytes=1400),
        server_settings=TransportSettings(datagram_bytes=600),
    ).open()
    for side in (pair.client, pair.server):
        assert side.endpoint.datagram_payload_max(side.link) == 600 - 28
    pair.record = True
    pair.client.endpoint.send(pair.client.link, bytes(10_000))
    assert pair.run(SECOND, lambda: bool(pair.server.messages))
    assert max(len(data) for _, _, data in pair.transmitted) <= 600


def test_a_server_that_restarts_takes_the_client_back():
    pair = Pair(parse("lan")).open()
    first = pair.client.link
    pair.server.endpoint = Endpoint(now=pair.now, rng=seeded(77), psk_of={"shard": KEY}.get)
    pair.client.endpoint.send(first, b"lost with the old process")
    assert "nothing heard" in closed_reason(pair, 15 * SECOND)
    pair.server.events.clear()
    pair.connect()
    pair.run(SECOND)
    pair.client.endpoint.send(pair.client.link, b"again")
    assert pair.run(SECOND, lambda: pair.server.messages == [b"again"])
    assert pair.client.link != first


def test_two_keys_are_good_at_once_under_one_name_and_the_link_is_made_with_either():
    old, new, wrong = KEY, bytes(range(1, 33)), bytes(32)
    for key, good in ((old, True), (new, True), (wrong, False)):
        pair = Pair(parse("lan"), keys={"shard": (new, old)})
        pair.connect(key)
        assert pair.run(5 * SECOND, lambda: bool(pair.client.of(Connected) or pair.client.closed))  # noqa: B023
        assert bool(pair.client.of(Connected)) is good


def test_no_more_than_two_keys_are_tried():
    pair = Pair(parse("lan"), keys={"shard": (bytes(32), bytes(range(1, 33)), KEY)})
    pair.connect()
    assert "knows no key" in closed_reason(pair)
