"""Strangers: what belongs to no connection is sorted, answered within bounds, and forgotten."""

import pytest

from sidereal.limits import HELLO_ANSWERS_BURST, HELLO_ANSWERS_PER_S_MAX
from sidereal.transport import Connected, Endpoint, _sieve, cookie, sieve_twin
from sidereal.transport import handshake as hs
from sidereal.transport.cookie import COOKIE_LIFETIME_S, CookieJar
from sidereal.transport.layout import DATA, VERSION
from sidereal.transport.netsim import parse
from transport.pair import CLIENT, KEY, MS, SECOND, SERVER, Pair, seeded

SIEVES = {"compiled": _sieve.Sieve, "readable": sieve_twin.Sieve}
SIPHASHES = {"compiled": _sieve.siphash128, "readable": cookie.siphash128}
SECRET = bytes(range(16))


@pytest.fixture(params=list(SIEVES))
def sieve(request):
    return SIEVES[request.param](SECRET, 5 * SECOND)


def hello(echo=7, cookie_bytes=bytes(20), name="shard", noise=None, version=VERSION):
    bound = hs.hello_bound(echo, 9, name, version)
    return hs.build_hello(bound, cookie_bytes, noise or bytes(hs.NOISE_BYTES), 1200)


@pytest.mark.parametrize("siphash", list(SIPHASHES))
@pytest.mark.parametrize(
    ("size", "digest"),
    [
        (0, "a3817f04ba25a8e66df67214c7550293"),
        (1, "da87c1d86b99af44347659119b22fc45"),
        (8, "3b62a9ba6258f5610f83e264f31497b4"),
        (15, "5493e99933b0a8117e08ec0f97cfc3d9"),
    ],
)
def test_siphash_agrees_with_the_vectors_of_its_authors(siphash, size, digest):
    assert SIPHASHES[siphash](bytes(range(16)), bytes(range(size))).hex() == digest


def test_both_siphashes_agree_on_everything():
    rng = seeded(3)
    for size in range(200):
        key, data = rng(16), rng(size)
        assert _sieve.siphash128(key, data) == cookie.siphash128(key, data)


def test_both_sieves_sort_and_answer_alike():
    rng = seeded(11)
    jar = CookieJar(SECRET, 5 * SECOND)
    both = [each(SECRET, 5 * SECOND) for each in SIEVES.values()]
    results = []
    routes, attempts = {77: None}, {5: None}
    for step in range(300):
        now = 5 * SECOND + step * 100 * MS
        strays = []
        for _ in range(10):
            echo = rng(1)[0]
            address = (f"10.0.0.{rng(1)[0]}", int.from_bytes(rng(2), "little"))
            plain = hello(echo, name="n" * (1 + rng(1)[0] % 64), noise=rng(hs.NOISE_BYTES))
            good = jar.make(address, hs.parse_hello(plain).bound, now - rng(1)[0] * 80 * MS)
            with_cookie = plain[: hs.COOKIE_AT] + good + plain[hs.NAME_AT :]
            flipped = bytearray(with_cookie)
            flipped[rng(1)[0] % 100] ^= 1 << rng(1)[0] % 8
            strays += [
                (data, address)
                for data in (
                    plain,
                    with_cookie,
                    bytes(flipped),
                    with_cookie[: rng(1)[0]],
                    plain[: rng(1)[0] + 100],
                    hello(version=3),
                    rng(rng(1)[0]),
                    hs.build_reject(echo % 10, 1),
                    hs.build_cookie(echo % 10, rng(20)),
                    bytes([VERSION << 4 | DATA]) + bytes([rng(1)[0] % 100]) + bytes(30),
                )
            ]
        found = []
        for each in both:
            answers = []
            sorted_ones = each.sift(strays, routes, attempts, now, answers)
            counters = {
                name: getattr(each, name)
                for name in (
                    "malformed", "unknown", "wrong_address", "hellos", "cookies_sent",
                    "cookies_refused", "versions_refused", "unanswered",
                )
            }  # fmt: skip
            found.append((sorted_ones, answers, counters))
        assert found[0] == found[1]
        results.append(found[0])
    assert sum(len(good) for (good, _), _, _ in results) > 1000
    assert sum(len(replies) for (_, replies), _, _ in results) > 100
    assert min(results[-1][2][name] for name in results[-1][2] if name != "unanswered") > 20


def test_a_flood_is_answered_within_its_budget_and_a_good_cookie_always_passes(sieve):
    jar = CookieJar(SECRET, 5 * SECOND)
    honest = hs.parse_hello(hello(4))
    now = 5 * SECOND
    answered = passed = 0
    for step in range(1000):
        now += MS
        flood = [(hello(i), (f"9.9.{step % 200}.{i}", 1)) for i in range(100)]
        ticket = jar.make(CLIENT, honest.bound, now)
        answers = []
        good, _ = sieve.sift([*flood, (hello(4, ticket), CLIENT)], {}, {}, now, answers)
        answered += len(answers)
        passed += len(good)
    assert passed == 1000
    budget = HELLO_ANSWERS_BURST + HELLO_ANSWERS_PER_S_MAX
    assert 0.9 * budget < answered <= budget
    assert sieve.unanswered == 100_000 - answered


def test_an_honest_peer_connects_during_a_flood_beyond_the_budget():
    pair = Pair(parse("lan"))
    endpoint = pair.server.endpoint
    pair.connect()
    for step in range(5000):
        flood = [(hello(i), (f"9.9.{step % 200}.{i}", 1)) for i in range(60)]
        endpoint.receive(flood, pair.now)
        pair.run(MS)
        if pair.client.of(Connected):
            break
    assert pair.client.of(Connected)
    assert not pair.client.closed
    assert endpoint.endpoint_stats().connections == 1


def test_a_clock_that_jumps_back_gives_no_answers_beyond_the_budget(sieve):
    answers = []
    for now in (5, 6, 5, 6, 5, 6, 5):
        flood = [(hello(i), ("9.9.9.9", i)) for i in range(2 * HELLO_ANSWERS_BURST)]
        sieve.sift(flood, {}, {}, now * SECOND, answers)
    assert len(answers) <= 4 * HELLO_ANSWERS_BURST


def test_cookies_of_the_sieve_expire_and_hold_for_their_address_and_hello(sieve):
    answers = []
    sieve.sift([(hello(4), CLIENT)], {}, {}, 6 * SECOND, answers)
    ((reply, _),) = answers
    ticket = reply[9:]
    again = hello(4, ticket)

    def passes(data, address, now_s):
        return bool(sieve.sift([(data, address)], {}, {}, now_s * SECOND, [])[0])

    assert passes(again, CLIENT, 6)
    assert passes(again, CLIENT, 6 + COOKIE_LIFETIME_S)
    assert not passes(again, CLIENT, 7 + COOKIE_LIFETIME_S)
    assert not passes(again, (CLIENT[0], CLIENT[1] + 1), 6)
    assert not passes(again, ("10.0.0.11", CLIENT[1]), 6)
    assert not passes(hello(5, ticket), CLIENT, 6)
    assert not passes(hello(4, ticket, name="shard2"), CLIENT, 6)


def recorded():
    """A pair that is open, and the HELLO with a good cookie that opened it."""
    pair = Pair(parse("lan"))
    pair.record = True
    pair.open()
    hellos = [d for source, _, d in pair.transmitted if source == CLIENT and d[0] & 15 == hs.HELLO]
    return pair, hellos[-1]


def test_a_hello_replayed_after_a_disconnect_opens_nothing():
    """What a connection token is elsewhere: to send it again gains half a connection, for 5 s."""
    pair, ticket = recorded()
    pair.client.endpoint.close(pair.client.link, "bye", pair.now)
    pair.run(4 * SECOND)
    endpoint = pair.server.endpoint
    connected = len(pair.server.of(Connected))
    for _ in range(20):
        endpoint.receive([(ticket, CLIENT)], pair.now)
        answers = {data for data, _ in endpoint.poll_transmit(pair.now)}
        assert {data[0] & 15 for data in answers} == {hs.ACCEPT}
        pair.run(50 * MS)
        assert endpoint.endpoint_stats().half_open == 1
    pair.run(6 * SECOND)
    assert endpoint.endpoint_stats().connections == 0
    assert len(pair.server.of(Connected)) == connected


def test_a_hello_replayed_after_a_restart_is_asked_for_a_new_cookie():
    pair, ticket = recorded()
    fresh = Endpoint(now=pair.now, rng=seeded(99), psk_of={"shard": KEY}.get)
    fresh.receive([(ticket, CLIENT)], pair.now)
    ((data, _),) = fresh.poll_transmit(pair.now)
    assert data[0] & 15 == hs.COOKIE
    assert fresh.endpoint_stats().half_open == 0


def test_a_connection_of_a_replayed_hello_has_other_keys():
    """Both ends draw fresh keys: no (key, nonce) pair is ever used twice."""
    pair, ticket = recorded()
    pair.client.endpoint.send_datagrams(pair.client.link, [b"once"])
    ((packet, _),) = pair.client.endpoint.poll_transmit(pair.now)
    pair.server.endpoint.receive([(ticket, CLIENT)], pair.now)
    first, second = pair.server.endpoint._links.values()
    moved = packet[:1] + second.local_id.to_bytes(4, "little") + packet[5:]
    pair.server.endpoint.receive([(moved, CLIENT)], pair.now)
    assert pair.server.endpoint.endpoint_stats().forged == 1
    assert first.local_id != second.local_id
    assert pair.server.address == SERVER
