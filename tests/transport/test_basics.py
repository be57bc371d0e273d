"""What the transport is for: connect, messages, datagrams with notices, farewell; on any network.

Everything runs over both codecs, and over each talking to the other.
"""

import pytest

from sidereal.errors import LimitError
from sidereal.transport import BULK, Connected, LinkClosed, TransportSettings
from sidereal.transport.codec import COMPILED, READABLE
from sidereal.transport.netsim import parse
from transport.pair import KEY, MS, SECOND, SERVER, Pair

CODECS = {
    "compiled": (COMPILED, COMPILED),
    "readable": (READABLE, READABLE),
    "compiled to readable": (COMPILED, READABLE),
    "readable to compiled": (READABLE, COMPILED),
}


@pytest.fixture(params=list(CODECS))
def codecs(request):
    return CODECS[request.param]


def test_both_ends_learn_of_the_connection(codecs):
    pair = Pair(codecs=codecs).open()
    assert pair.client.events == [Connected(pair.client.link, "shard", SERVER, False)]
    (server,) = pair.server.events
    assert (server.key_name, server.incoming) == ("shard", True)


@pytest.mark.parametrize("network", ["perfect", "lan", "wifi", "mobile", "awful"])
def test_messages_arrive_once_in_order_and_every_datagram_has_one_notice(codecs, network):
    pair = Pair(parse(network), codecs=codecs).open()
    sent = [bytes([i % 256]) * (i * 37 % 5000) for i in range(200)]
    back = [b"back%d" % i for i in range(200)]
    for one, other in zip(sent, back, strict=True):
        assert pair.client.endpoint.send(pair.client.link, one)
        assert pair.server.endpoint.send(pair.server.link, other)
    payloads = [b"datagram %d " % i * 40 for i in range(300)]
    assert pair.server.endpoint.send_datagrams(pair.server.link, payloads) == 0
    assert pair.server.endpoint.send_datagrams(pair.server.link, payloads) == 300

    def done():
        noticed = len(pair.server.acked) + len(pair.server.lost)
        return len(pair.server.messages) == len(pair.client.messages) == 200 and noticed == 600

    assert pair.run(60 * SECOND, done)
    assert pair.server.messages == sent
    assert pair.client.messages == back
    assert sorted(pair.server.acked + pair.server.lost) == list(range(600))
    arrived = set(pair.client.datagrams)
    assert {payloads[token % 300] for token in pair.server.acked} <= arrived <= set(payloads)


def test_bulk_goes_beside_control(codecs):
    pair = Pair(parse("rate=10mbit,delay=5ms"), codecs=codecs).open()
    bulk = bytes(2_000_000)
    pair.client.endpoint.send(pair.client.link, bulk, BULK)
    pair.run(200 * MS)
    start = pair.now
    pair.client.endpoint.send(pair.client.link, b"control")
    assert pair.run(20 * SECOND, lambda: b"control" in pair.server.messages)
    # Behind what the network queues (its 200 ms), but not behind 1.6 s of bulk.
    assert pair.now - start < 600 * MS
    assert pair.run(20 * SECOND, lambda: bulk in pair.server.messages)
    assert [channel for channel, _ in pair.server.arrived] == [0, 1]


def test_close_delivers_what_was_queued_then_tells_the_reason(codecs):
    pair = Pair(parse("mobile"), codecs=codecs).open()
    pair.client.endpoint.send(pair.client.link, b"last words" * 1000)
    pair.client.endpoint.close(pair.client.link, "done", pair.now)
    assert pair.client.endpoint.send(pair.client.link, b"too late") is False
    assert pair.client.endpoint.send_datagrams(pair.client.link, [b"too late"]) == -1
    pair.run(10 * SECOND)
    assert pair.client.closed == [LinkClosed(pair.client.link, "done", False)]
    assert pair.server.messages == [b"last words" * 1000]
    assert pair.server.events[-1] == LinkClosed(pair.server.link, "done", True)
    for side in (pair.client, pair.server):
        assert side.endpoint.endpoint_stats().connections == 0
        assert side.endpoint.next_timeout() is None


def test_simultaneous_close_ends_both(codecs):
    pair = Pair(parse("delay=50ms"), codecs=codecs).open()
    pair.client.endpoint.close(pair.client.link, "mine", pair.now)
    pair.server.endpoint.close(pair.server.link, "yours", pair.now)
    pair.run(10 * SECOND)
    assert pair.client.closed == [LinkClosed(pair.client.link, "mine", False)]
    assert pair.server.closed == [LinkClosed(pair.server.link, "yours", False)]
    assert pair.client.endpoint.endpoint_stats().connections == 0
    assert pair.server.endpoint.endpoint_stats().connections == 0


def test_datagrams_out_at_close_are_lost_each_once(codecs):
    pair = Pair(parse("delay=50ms"), codecs=codecs).open()
    pair.client.endpoint.send_datagrams(pair.client.link, [b"x" * 1000] * 2000)
    pair.pump()
    pair.client.endpoint.close(pair.client.link, "done", pair.now)
    pair.run(10 * SECOND)
    assert sorted(pair.client.acked + pair.client.lost) == list(range(2000))
    assert pair.client.events[-1] == LinkClosed(pair.client.link, "done", False)


def test_what_was_sent_before_the_connection_opens_arrives(codecs):
    pair = Pair(parse("lan"), codecs=codecs)
    link = pair.connect()
    assert pair.client.endpoint.send(link, b"early")
    assert pair.client.endpoint.send_datagrams(link, [b"bird"]) == 0
    assert pair.run(SECOND, lambda: bool(pair.server.messages and pair.server.datagrams))
    assert (pair.server.messages, pair.server.datagrams) == ([b"early"], [b"bird"])


def test_payloads_of_exactly_the_limit_and_one_more(codecs):
    pair = Pair(codecs=codecs).open()
    limit = pair.client.endpoint.datagram_payload_max(pair.client.link)
    assert limit == 1200 - 9 - 16 - 3
    pair.client.endpoint.send_datagrams(pair.client.link, [b"a" * limit, b""])
    with pytest.raises(LimitError, match=f"longer than {limit}"):
        pair.client.endpoint.send_datagrams(pair.client.link, [b"fits", b"b" * (limit + 1)])
    pair.run(SECOND)
    assert pair.server.datagrams == [b"a" * limit, b""]
    assert sorted(pair.client.acked) == [0, 1]


def test_message_of_the_limit_and_one_more(monkeypatch):
    monkeypatch.setattr("sidereal.transport.reliable.MESSAGE_BYTES_MAX", 100_000)
    settings = TransportSettings(receive_window_bytes=20_000)
    pair = Pair(parse("lan"), settings=settings).open()
    with pytest.raises(LimitError, match="100001 bytes is longer than 100000"):
        pair.client.endpoint.send(pair.client.link, bytes(100_001))
    pair.client.endpoint.send(pair.client.link, bytes(100_000))
    assert pair.run(5 * SECOND, lambda: pair.server.messages == [bytes(100_000)])


def test_a_quiet_link_stays_open_and_pings_once_a_second(codecs):
    pair = Pair(parse("lan"), codecs=codecs).open()
    pair.run(SECOND)
    before = pair.net.sent
    pair.run(60 * SECOND)
    assert not pair.client.closed
    assert not pair.server.closed
    assert 100 <= pair.net.sent - before <= 250


def test_silence_ends_the_link_after_the_idle_time():
    pair = Pair(parse("lan")).open()
    pair.client.endpoint.send_datagrams(pair.client.link, [b"x"])
    pair.net.partition(pair.client.address, pair.server.address)
    start = pair.now
    assert pair.run(20 * SECOND, lambda: bool(pair.client.closed and pair.server.closed))
    assert 9 * SECOND <= pair.now - start <= 11 * SECOND
    assert "nothing heard for 10 s" in pair.client.closed[0].reason
    assert pair.client.lost == [0]
    assert KEY.hex() not in pair.client.closed[0].reason


def test_statistics_count_what_happened(codecs):
    pair = Pair(parse("delay=20ms,loss=5%"), codecs=codecs).open()
    pair.client.endpoint.send_datagrams(pair.client.link, [b"x" * 900] * 300)
    pair.client.endpoint.send(pair.client.link, bytes(100_000))
    pair.run(5 * SECOND)
    stats = pair.client.endpoint.stats(pair.client.link)
    there = pair.server.endpoint.stats(pair.server.link)
    assert 40 * MS <= stats.rtt_ns <= 60 * MS
    assert stats.datagrams_sent == 300
    assert stats.datagrams_lost == len(pair.client.lost) > 0
    assert there.datagrams_received == len(pair.server.datagrams)
    assert stats.retransmitted_bytes > 0
    assert (stats.messages_sent, there.messages_received) == (1, 1)
    assert (stats.send_queue_bytes, stats.datagram_queue_bytes, stats.bytes_in_flight) == (0, 0, 0)
    assert pair.server.endpoint.stats(12345) is None


def test_many_messages_at_once_arrive_as_if_sent_singly_and_all_or_none_are_taken():
    settings = TransportSettings(send_queue_bytes=100_000)
    pair = Pair(settings=settings).open()
    many = [bytes([i % 251]) * (i % 40) for i in range(2000)]
    assert pair.client.endpoint.send_many(pair.client.link, many)
    assert pair.client.endpoint.send(pair.client.link, b"last")
    with pytest.raises(LimitError):
        pair.client.endpoint.send_many(pair.client.link, [b"x", bytes(60_000)])
    assert pair.client.endpoint.send_many(pair.client.link, [])
    pair.run(SECOND)
    assert pair.server.messages == [*many, b"last"]


@pytest.mark.parametrize("sequence", [None, 3])
def test_datagrams_queued_before_the_link_is_open_fit_into_what_any_peer_takes(codecs, sequence):
    """The peer's datagrams are smaller than ours, which is not known yet."""
    pair = Pair(
        settings=TransportSettings(datagram_bytes=1400),
        server_settings=TransportSettings(datagram_bytes=512),
        codecs=codecs,
    )
    link = pair.connect()
    limit = pair.client.endpoint.datagram_payload_max(link) - (sequence is not None)
    assert limit >= 483
    pair.client.endpoint.send_datagrams(link, [bytes(limit)] * 3, sequence)
    with pytest.raises(LimitError, match=f"longer than {limit}"):
        pair.client.endpoint.send_datagrams(link, [bytes(limit + 1)], sequence)
    pair.record = True
    pair.run(SECOND)
    assert pair.server.datagrams == [bytes(limit)] * 3
    assert sorted(pair.client.acked) == [0, 1, 2]
    sizes = [len(data) for source, _, data in pair.transmitted if data[0] & 15 == 5]
    assert min(sizes) > 25, "no packet without content"


@pytest.mark.parametrize("text", ["r" * 600, "\N{GREEK SMALL LETTER OMEGA}" * 300])
def test_a_long_close_reason_is_cut_to_what_the_smallest_datagram_holds(codecs, text):
    small = TransportSettings(datagram_bytes=512)
    pair = Pair(parse("lan"), server_settings=small, codecs=codecs).open()
    pair.client.endpoint.close(pair.client.link, text, pair.now)
    pair.run(SECOND)
    (closed,) = pair.server.closed
    assert closed.by_peer
    assert text.startswith(closed.reason)
    assert len(closed.reason.encode()) > 480
