"""What each channel promises: bulk as it comes, sequences without the overtaken, its own books."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidereal.errors import LimitError, ProtocolError
from sidereal.transport import (
    BULK,
    BulkReceived,
    DatagramsReceived,
    TransportSettings,
    layout,
)
from sidereal.transport.bulk import ReceiveBulk
from sidereal.transport.codec import COMPILED, READABLE
from sidereal.transport.layout import SEQUENCES
from sidereal.transport.netsim import Conditions, parse
from transport.pair import MS, SECOND, SERVER, Pair
from transport.test_streams import stream_of

CODECS = {"compiled": (COMPILED, COMPILED), "readable": (READABLE, READABLE)}


@pytest.fixture(params=list(CODECS))
def codecs(request):
    return CODECS[request.param]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=20), st.randoms(use_true_random=False))
def test_bulk_in_any_pieces_gives_each_byte_once_in_its_place(messages, rng):
    data, stream, whole, now = stream_of(*messages), ReceiveBulk(1, 1 << 20), [], []
    at = 0
    while at < len(data):
        length = rng.randrange(1, 40)
        for chunk in stream.receive(at, data[at : at + length]):
            assert chunk.start == sum(map(len, now))
            now.append(chunk.data)
            if chunk.start + len(chunk.data) == chunk.size:
                whole.append(b"".join(now))
                now = []
        at += length
    assert whole == messages
    assert not now
    assert stream.messages == len(messages)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=20), st.randoms(use_true_random=False))
def test_bulk_that_was_cut_at_its_edges_is_handed_on_as_it_is(messages, rng):
    data, stream, at, pieces, chunks = stream_of(*messages), ReceiveBulk(1, 1 << 20), 0, [], []
    while at < len(data):
        end, begin = stream.edges
        assert begin == end + 4
        stop = min(at + rng.randrange(1, 40), min(cut for cut in (end, begin) if cut > at))
        pieces.append(data[at:stop])
        chunks += stream.receive(at, pieces[-1])
        at = stop
    assert b"".join(chunk.data for chunk in chunks) == b"".join(messages)
    known = set(map(id, pieces))
    assert all(id(chunk.data) in known for chunk in chunks if chunk.size)


def test_bulk_is_delivered_before_its_message_is_whole_and_holds_no_more_than_the_window():
    window = 64 * 1024
    pair = Pair(
        parse("rate=20mbit,delay=5ms"), settings=TransportSettings(receive_window_bytes=window)
    ).open()
    data = bytes(range(256)) * 8192
    pair.client.endpoint.send(pair.client.link, data, BULK)
    assert pair.run(5 * SECOND, lambda: bool(pair.server.of(BulkReceived)))
    first = pair.server.of(BulkReceived)[0]
    assert (first.start, first.size) == (0, len(data))
    assert len(first.data) < len(data)
    held, drain = [], pair.server.drain

    def looking():
        _, bulk = pair.server.endpoint.channel_stats(pair.server.link)
        held.append(bulk.early_bytes + bulk.unread_bytes)
        drain()

    pair.server.drain = looking
    assert pair.run(20 * SECOND, lambda: pair.server.arrived == [(BULK, data)])
    assert 0 < max(held) <= window


def test_bulk_that_nobody_reads_stops_at_the_window_and_goes_on():
    window = 50_000
    pair = Pair(parse("lan"), settings=TransportSettings(receive_window_bytes=window)).open()
    pair.server.reading = False
    pair.client.endpoint.send(pair.client.link, bytes(1_000_000), BULK)
    pair.run(3 * SECOND)
    _, bulk = pair.client.endpoint.channel_stats(pair.client.link)
    assert bulk.blocked_by_peer
    held = sum(len(event.data) for event in pair.server.endpoint._events)
    assert window - 4 == held
    pair.client.endpoint.send(pair.client.link, b"control still passes")
    pair.server.reading = True
    assert pair.run(5 * SECOND, lambda: (BULK, bytes(1_000_000)) in pair.server.arrived)


def test_a_bulk_message_that_claims_too_much_is_refused():
    with pytest.raises(ProtocolError, match="claims 4294967295 bytes"):
        ReceiveBulk(1, 1000).receive(0, b"\xff" * 5)


def test_a_sequence_gives_nothing_that_was_overtaken(codecs):
    conditions = Conditions(delay_ns=10 * MS, jitter_ns=8 * MS, reorder=0.3, loss=0.05)
    pair = Pair(conditions, codecs=codecs).open()
    for i in range(400):
        pair.client.endpoint.send_datagrams(pair.client.link, [b"%d" % i], sequence=i % 2)
        pair.client.endpoint.send_datagrams(pair.client.link, [b"%d" % i])
        pair.run(MS)
    pair.run(SECOND)
    events = pair.server.of(DatagramsReceived)
    for sequence in (0, 1):
        got = [int(data) for e in events if e.sequence == sequence for data in e.payloads]
        assert got == sorted(set(got))
        assert 20 < len(got) < 200
        assert all(number % 2 == sequence for number in got)
    free = [int(data) for e in events if e.sequence is None for data in e.payloads]
    assert free != sorted(free), "without a sequence all comes as it arrives"
    assert len(free) > 340
    stats = pair.server.endpoint.stats(pair.server.link)
    assert stats.datagrams_overtaken > 20
    assert sorted(pair.client.acked + pair.client.lost) == list(range(800))
    assert len(pair.client.acked) > 700, "overtaken ones have arrived all the same"


def test_there_are_so_many_sequences_and_a_payload_has_one_byte_less_in_them():
    pair = Pair().open()
    client = pair.client.endpoint
    limit = client.datagram_payload_max(pair.client.link)
    for sequence in (-1, SEQUENCES):
        with pytest.raises(LimitError, match="no sequence"):
            client.send_datagrams(pair.client.link, [b"x"], sequence)
    with pytest.raises(LimitError, match=f"longer than {limit - 1}"):
        client.send_datagrams(pair.client.link, [bytes(limit)], 0)
    client.send_datagrams(pair.client.link, [bytes(limit - 1)], SEQUENCES - 1)
    pair.run(SECOND)
    assert [e.sequence for e in pair.server.of(DatagramsReceived)] == [SEQUENCES - 1]


def test_each_channel_keeps_its_own_books_and_rates():
    pair = Pair(parse("rate=8mbit,delay=5ms,loss=2%")).open()
    client, link = pair.client.endpoint, pair.client.link
    client.send(link, bytes(10_000))
    client.send(link, bytes(4_000_000), BULK)
    pair.run(3 * SECOND)
    control, bulk = client.channel_stats(link)
    there = pair.server.endpoint.channel_stats(pair.server.link)
    assert (control.bytes_sent, there[0].bytes_received, there[0].messages_received) == (
        10_004, 10_004, 1,
    )  # fmt: skip
    assert bulk.retransmitted_bytes > 10_000
    assert bulk.send_queue_bytes > 1_000_000
    assert there[1].received_bytes_per_s == pytest.approx(1_000_000, rel=0.25)
    assert bulk.sent_bytes_per_s == pytest.approx(there[1].received_bytes_per_s, rel=0.2)
    stats = client.stats(link)
    assert stats.sent_bytes_per_s > bulk.sent_bytes_per_s
    assert stats.rtt_variation_ns > 0
    assert client.channel_stats(12345) == []
    assert pair.run(20 * SECOND, lambda: (BULK, bytes(4_000_000)) in pair.server.arrived)
    pair.run(5 * SECOND)
    assert client.channel_stats(link)[1].sent_bytes_per_s == 0


def test_acks_of_skipped_packets_end_the_link(codecs):
    """A peer that acknowledges all there may be, received or not, is found out."""
    pair = Pair(codecs=codecs).open()
    liar = pair.server.endpoint._links[pair.server.link].outbox._sealer
    sealer = pair.client.endpoint._links[pair.client.link].outbox._sealer
    for step in range(2000):
        pair.client.endpoint.send_datagrams(pair.client.link, [b"x"])
        pair.run(MS)
        assert not pair.client.closed or step > 1000, "an honest peer is never taken for a liar"
        if step > 1000:
            ack = layout.ACK.pack(layout.FRAME_ACK, sealer.next_number - 1, 0, 1) + b"\xff" * 8
            pair.client.endpoint.receive([(liar.seal(ack), SERVER)], pair.now)
            pair.client.drain()
        if pair.client.closed:
            break
    assert step > 1001
    assert "never sent" in pair.client.closed[0].reason


@pytest.mark.parametrize("what", ["datagrams", "sequenced", "bulk", "messages"])
def test_numbers_are_left_out_one_in_256_and_anywhere_in_a_burst(codecs, what):
    """Also where a thousand packets leave at once: nobody can tell which are missing."""
    pair = Pair(
        settings=TransportSettings(congestion="fixed", receive_window_bytes=1 << 26),
        codecs=codecs,
    ).open()
    client, link = pair.client.endpoint, pair.client.link
    skipped, numbers = [], 0
    for _ in range(4):
        if what == "bulk":
            client.send(link, bytes(1_150_000), BULK)
        elif what == "messages":
            client.send_many(link, [bytes(1000)] * 1150)
        else:
            sequence = None if what == "datagrams" else 2
            client.send_datagrams(link, [bytes(1150)] * 1000, sequence)
        sent = client.poll_transmit(pair.now)
        assert len(sent) > 900, "one burst"
        at = [int.from_bytes(data[5:9], "little") for data, _ in sent]
        skipped += [place for place in range(1, len(at)) if at[place] != at[place - 1] + 1]
        numbers += len(at)
        for data, target in sent:
            pair.net.send(pair.client.address, target, data, pair.now)
        pair.run(100 * MS)
    assert numbers / 512 < len(skipped) < numbers / 128
    assert len({place % 128 for place in skipped}) > len(skipped) / 2
