"""Packets and frames, byte by byte: both codecs alike, whoever sealed them."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidereal.limits import DATAGRAM_COST_BYTES
from sidereal.transport import (
    _flight,
    _intake,
    _open,
    _seal,
    flight_twin,
    intake_twin,
    layout,
    packet_twin,
)
from sidereal.transport.codec import COMPILED, READABLE
from sidereal.transport.keys import REKEY_SHIFT, KeyChain
from sidereal.transport.settings import DATAGRAM_COST_MAX
from sidereal.transport.transmits import apart
from transport.pair import CLIENT, KEY, MS, SECOND, SERVER, Pair, seeded

CODECS = {"compiled": COMPILED, "readable": READABLE}
SECRET = b"s" * 32


@pytest.fixture(params=list(CODECS))
def codec(request):
    return CODECS[request.param]


def chain(shift=REKEY_SHIFT, cipher="aes-128-gcm"):
    return KeyChain(SECRET, cipher, shift)


def sealed_at(number, frames=b"\x01", shift=62, connection_id=7):
    """A packet sealed under any number."""
    keys = chain(shift)
    for epoch in range(number >> shift):
        keys.encryptor(epoch)
    sealer = packet_twin.Sealer(keys, connection_id)
    sealer.next_number = number
    return sealer.seal(frames)


class Window:
    """An opener that is asked number by number."""

    def __init__(self, codec, shift=62):
        self.shift = shift
        self.opener = codec.opener(chain(shift))
        self.inbox = codec.inbox()

    def accepts(self, number):
        self.inbox.clear()
        self.opener.open_batch([sealed_at(number, shift=self.shift)], 0, self.inbox)
        assert self.inbox.opened + self.inbox.replayed + self.inbox.forged == 1
        return bool(self.inbox.opened)


def test_replay_window_as_wireguard_tests_its_own(codec):
    limit = layout.REPLAY_WINDOW
    window = Window(codec)
    for number, good in [
        (0, True), (1, True), (1, False), (9, True), (8, True), (7, True), (7, False),
        (limit, True), (limit - 1, True), (limit - 1, False), (limit - 2, True), (2, True),
        (2, False), (limit + 16, True), (3, False), (limit + 16, False), (limit * 4, True),
        (limit * 4 - (limit - 1), True), (10, False), (limit * 4 - limit, False),
        (limit * 4 - (limit + 1), False), (limit * 4 - (limit - 2), True),
        (limit * 4 + 1 - limit, False), (0, False),
    ]:  # fmt: skip
        assert window.accepts(number) is good, number


@pytest.mark.parametrize("order", ["up", "down"])
def test_replay_window_takes_each_number_once_in_any_order(codec, order):
    window = Window(codec)
    numbers = list(range(1, layout.REPLAY_WINDOW + 1))
    if order == "down":
        numbers.reverse()
    assert all(window.accepts(number) for number in numbers)
    assert not any(window.accepts(number) for number in numbers[::97])
    assert not window.accepts(0)


def test_a_forged_future_number_moves_nothing(codec):
    window = Window(codec)
    assert window.accepts(5)
    forged = bytearray(sealed_at(4000))
    forged[-1] ^= 1
    window.inbox.clear()
    window.opener.open_batch([bytes(forged)], 0, window.inbox)
    assert window.inbox.forged == 1
    assert window.opener.next_number == 6
    assert window.accepts(4)


@pytest.mark.parametrize("expand", [_open.expand_number, packet_twin.expand_number])
def test_numbers_are_inferred_from_their_low_half_even_near_the_ends(expand):
    top = 2**64
    for base in (0, 1, 2**31, 2**32 - 1, 2**32, 2**40 + 12345, top - 2**32, top - 2**31, top - 1):
        for distance in (0, 1, 1000, 2**31 - 1):
            for number in (base + distance, base - distance):
                if 0 <= number < top:
                    assert expand(base, number & 0xFFFFFFFF) == number, (base, number)


def test_the_wire_number_wraps_and_the_logical_one_does_not(codec):
    window = Window(codec)
    start = 2**32 - 20
    codec_numbers = range(start, start + 40)
    window.opener = codec.opener(chain(62))
    # Walk up in steps of less than half the wire's range.
    for number in range(0, start, 2**31 - 1):
        assert window.accepts(number)
    assert all(window.accepts(number) for number in codec_numbers)
    assert window.opener.next_number == 2**32 + 20


@pytest.mark.parametrize("cipher", ["aes-128-gcm", "chacha20-poly1305"])
def test_each_codec_opens_what_the_other_sealed_and_seals_the_same_bytes(cipher):
    rng = seeded(4)
    sealers = [_seal.Sealer(chain(3, cipher), 9), packet_twin.Sealer(chain(3, cipher), 9)]
    openers = [_open.Opener(chain(3, cipher)), packet_twin.Opener(chain(3, cipher))]
    for i in range(40):
        payload = rng(i * 7)
        frames = layout.DATAGRAM.pack(layout.FRAME_DATAGRAM, len(payload)) + payload
        one, other = (sealer.seal(frames) for sealer in sealers)
        assert one == other
        for opener, codec in zip(openers, (COMPILED, READABLE), strict=True):
            inbox = codec.inbox()
            opener.open_batch([one], i, inbox)
            assert inbox.datagrams == [payload]
    assert openers[0].ack_frame(99, 500) == openers[1].ack_frame(99, 500)


def test_sealed_runs_are_the_same_bytes_and_the_same_books():
    rng = seeded(6)
    payloads = [rng(size) for size in [1171, 1100, 1130, 3, 4, 5, 0, 1171, 600, 600] * 5]
    sequences = bytearray(i % 16 if i % 3 else layout.UNSEQUENCED for i in range(50))
    block = rng(20_000)
    results = []
    for seal, fly in ((_seal, _flight), (packet_twin, flight_twin)):
        sealer, flight, out = seal.Sealer(chain(), 3), fly.Flight(), []
        head = 0
        while head < len(payloads):
            head = sealer.seal_datagrams(
                payloads, sequences, head, 1000 + head, 1200, 5000, 3, 5, flight, CLIENT, out
            )
        stop = sealer.seal_stream(block, 5, 20_000, 1, 77, 1200, 9_000, 16, 6, flight, CLIENT, out)
        books = flight.tokens_out(), flight.bytes_in_flight, flight.span, sealer.sealed
        results.append((apart(out), stop, *books))
    assert results[0] == results[1]
    assert results[0][2] == list(range(1000, 1050))
    assert max(len(data) for data, _ in results[0][0]) == 1200


@pytest.mark.parametrize("intake", [_intake, intake_twin], ids=["compiled", "twin"])
@pytest.mark.parametrize("room", [0, 3_000, 100_000, 111_000, 10_000_000])
def test_no_more_is_opened_than_surely_fits(codec, intake, room):
    """Datagrams count with what keeping them costs; a packet may hold many small ones."""
    frames = [b"\x03\x02\x00ab" * 200, b"\x07\x05\x80\x04" + bytes(1152), b"\x01"]
    packets = [sealed_at(i, frames[i % 3], shift=REKEY_SHIFT) for i in range(60)]
    inbox = codec.inbox()
    taken = len(packets) - intake.open_some(codec.opener(chain()), packets, 0, inbox, room)
    held = [*inbox.datagrams, *(payload for _, payload in inbox.sequenced)]
    cost = sum(map(len, held)) + DATAGRAM_COST_BYTES * len(held)
    assert cost <= room
    assert inbox.opened == taken
    if taken < len(packets):
        assert cost + DATAGRAM_COST_MAX * len(packets[taken]) > room
    else:
        assert room == 10_000_000


def stream(channel, offset, data):
    return layout.STREAM.pack(layout.FRAME_STREAM, channel, offset, len(data)) + data


def opened(codec, packets, cuts=None):
    """What the inbox holds of packets with these frames."""
    inbox = codec.inbox()
    if cuts is not None:
        inbox.cut_at(*cuts)
    sealed = [sealed_at(i, frames, shift=REKEY_SHIFT) for i, frames in enumerate(packets)]
    codec.opener(chain()).open_batch(sealed, 0, inbox)
    assert inbox.opened == len(packets)
    return inbox


def test_stream_frames_that_go_on_from_each_other_are_one_segment(codec):
    data = seeded(1)(1000)
    frames = [stream(0, at, data[at : at + 10]) for at in range(0, 500, 10)]
    frames += [stream(1, 0, b"other"), stream(1, 5, b" channel"), stream(0, 500, data[500:510])]
    frames += [stream(0, 600, data[600:]), stream(0, 510, data[510:600])]
    for packets in (frames, [b"".join(frames)]):
        assert opened(codec, packets).segments == [
            (0, 0, data[:500]),
            (1, 0, b"other channel"),
            (0, 500, data[500:510]),
            (0, 600, data[600:]),
            (0, 510, data[510:600]),
        ]


def test_segments_of_bulk_end_where_a_message_does(codec):
    data = seeded(2)(400)
    for channel, at in itertools.product((0, 1), range(0, 400, 7)):
        cuts = sorted({0, at, min(at + 4, 400), 400} if channel == layout.BULK else {0, 400})
        wanted = [(channel, a, data[a:b]) for a, b in itertools.pairwise(cuts)]
        for step in (3, 10, 100, 400):
            packets = [stream(channel, i, data[i : i + step]) for i in range(0, 400, step)]
            assert opened(codec, packets, (at, at + 4)).segments == wanted


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_both_codecs_find_the_same_segments(data):
    """Frames of all lengths, alone in their packets or not, going on or not, and forged ones."""
    content, at, packets = bytes(range(256)) * 8, [0, 0], []
    for _ in range(data.draw(st.integers(1, 12))):
        frames = b""
        for _ in range(data.draw(st.sampled_from([1, 1, 1, 2]))):
            channel, size = data.draw(st.sampled_from([0, 1, 1, 1])), data.draw(st.integers(0, 40))
            offset = max(0, at[channel] + data.draw(st.sampled_from([0, 0, 0, 0, 5, -7])))
            frames += stream(channel, offset, content[offset : offset + size])
            at[channel] = offset + size
        frames += data.draw(st.sampled_from([b"", b"", b"", b"\x01", b"\x03\x02\x00ab", b"\x63"]))
        packets.append(bytearray(sealed_at(len(packets), frames, shift=REKEY_SHIFT)))
        if data.draw(st.integers(0, 5)) == 0:
            packets[-1][data.draw(st.integers(9, len(packets[-1]) - 1))] ^= 1
    first = data.draw(st.integers(0, 200))
    found = []
    for codec in (COMPILED, READABLE):
        inbox = codec.inbox()
        inbox.cut_at(first, first + 4)
        codec.opener(chain()).open_batch([bytes(packet) for packet in packets], 0, inbox)
        found.append(
            (inbox.segments, inbox.datagrams, inbox.error, inbox.opened, inbox.forged)
            + (inbox.eliciting,)
        )
    assert found[0] == found[1]


def test_corruption_of_every_byte_is_refused(codec):
    packet = sealed_at(3, b"\x03\x05\x00hello", shift=REKEY_SHIFT)
    opener, inbox = codec.opener(chain()), codec.inbox()
    for at, flip in itertools.product(range(len(packet)), (1, 0x80, 0xFF)):
        changed = packet[:at] + bytes([packet[at] ^ flip]) + packet[at + 1 :]
        opener.open_batch([changed], 0, inbox)
    assert inbox.opened == 0
    assert inbox.forged == 3 * len(packet)
    assert opener.next_number == 0
    opener.open_batch([packet], 0, inbox)
    assert inbox.datagrams == [b"hello"]


def test_rekey_under_reordering_and_packets_of_old_epochs(codec):
    window = Window(codec, shift=4)  # a key lasts 16 packets
    order = [0, 17, 3, 15, 16, 20, 1, 33, 18, 31, 47, 35, 48]
    assert all(window.accepts(number) for number in order)
    assert not window.accepts(2), "two epochs back: that key is gone"
    assert not window.accepts(64 + 48), "two epochs ahead: nobody may skip a key"
    assert window.accepts(64)


def test_keys_of_epochs_differ_and_lead_nowhere_back():
    numbers = [sealed_at(16 * epoch, b"\x01" * 32, shift=70) for epoch in range(2)]
    one = packet_twin.Sealer(chain(4), 7)
    first = one.seal(b"\x01" * 32)
    one.next_number = 16
    second = one.seal(b"\x01" * 32)
    assert first[9:] == numbers[0][9:]
    assert second[9:] != numbers[1][9:]


MALFORMED = {
    "unknown type": b"\x63",
    "datagram head cut": b"\x03\x01",
    "datagram too long": b"\x03\x05\x00abcd",
    "stream head cut": b"\x04\x00" + bytes(9),
    "stream too long": layout.STREAM.pack(layout.FRAME_STREAM, 0, 0, 5) + b"abcd",
    "stream of no channel": layout.STREAM.pack(layout.FRAME_STREAM, 2, 0, 1) + b"a",
    "ack head cut": b"\x02" + bytes(8),
    "ack bitmap missing": layout.ACK.pack(layout.FRAME_ACK, 0, 0, 1) + bytes(7),
    "ack bitmap too large": layout.ACK.pack(layout.FRAME_ACK, 0, 0, 129) + bytes(129 * 8),
    "credit cut": b"\x05\x00" + bytes(7),
    "credit of no channel": layout.CREDIT.pack(layout.FRAME_CREDIT, 9, 1),
    "close cut": b"\x06\x00\x00",
    "close reason too long": layout.CLOSE.pack(layout.FRAME_CLOSE, 0, 513) + bytes(513),
    "close reason missing": layout.CLOSE.pack(layout.FRAME_CLOSE, 0, 4) + b"abc",
    "sequenced head cut": b"\x07\x01\x00",
    "sequenced too long": layout.SEQUENCED.pack(layout.FRAME_SEQUENCED, 0, 5) + b"abcd",
    "sequenced of no sequence": layout.SEQUENCED.pack(layout.FRAME_SEQUENCED, 16, 1) + b"a",
    "padding not zero": b"\x00\x00\x01",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_frames_are_refused_alike_by_both_codecs(name):
    errors = []
    for codec in (COMPILED, READABLE):
        opener, inbox = codec.opener(chain()), codec.inbox()
        opener.open_batch([sealed_at(0, b"\x01" + MALFORMED[name], shift=22)], 0, inbox)
        errors.append(inbox.error)
    assert errors[0] == errors[1]
    assert errors[0]


def from_peer(pair, frames):
    """What the client's peer would see if the client sent these frames."""
    outbox = pair.client.endpoint._links[pair.client.link].outbox
    data = outbox._sealer.seal(frames)
    outbox.flight.record_silent(outbox._sealer.next_number - 1)
    pair.server.endpoint.receive([(data, CLIENT)], pair.now)
    pair.server.drain()


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_frame_ends_its_link_with_a_reason_and_only_that(name):
    pair = Pair().open()
    from_peer(pair, MALFORMED[name])
    assert "broke the protocol" in pair.server.closed[0].reason
    pair.run(5 * SECOND)
    assert "says we broke the protocol" in pair.client.closed[0].reason
    assert pair.server.endpoint.endpoint_stats().connections == 0
    pair.open()


@pytest.mark.parametrize(
    "frame",
    [
        layout.ACK.pack(layout.FRAME_ACK, 100_000, 0, 0),
        layout.ACK.pack(layout.FRAME_ACK, 0, 0, 1) + b"\xff" * 8,
        layout.ACK.pack(layout.FRAME_ACK, 0xFFFFFFFF, 0, 0),
    ],
    ids=["ahead", "below zero", "wrapped"],
)
def test_acks_of_packets_never_sent_end_the_link(frame):
    pair = Pair().open()
    from_peer(pair, frame)
    if frame[1:5] == b"\xff\xff\xff\xff":  # read as a number before the first: of no effect
        assert not pair.server.closed or "never sent" in pair.server.closed[0].reason
    else:
        assert "never sent" in pair.server.closed[0].reason


def test_bytes_beyond_the_credit_end_the_link():
    pair = Pair().open()
    window = pair.server_settings.receive_window_bytes
    from_peer(pair, layout.STREAM.pack(layout.FRAME_STREAM, 0, window - 1, 2) + b"ab")
    assert f"credit was given up to {window}" in pair.server.closed[0].reason


def test_a_message_that_claims_too_much_ends_the_link():
    pair = Pair().open()
    head = (2**31).to_bytes(4, "little")
    from_peer(pair, layout.STREAM.pack(layout.FRAME_STREAM, 0, 0, 4) + head)
    assert "claims 2147483648 bytes" in pair.server.closed[0].reason


def test_a_spoofed_address_is_dropped():
    pair = Pair().open()
    data = pair.client.endpoint._links[pair.client.link].outbox._sealer.seal(b"\x03\x01\x00x")
    pair.server.endpoint.receive([(data, ("10.0.0.9", 9))], pair.now)
    assert pair.server.endpoint.endpoint_stats().wrong_address == 1
    pair.server.drain()
    assert not pair.server.datagrams


def test_duplicates_within_one_batch_count_once():
    pair = Pair().open()
    pair.client.endpoint.send_datagrams(pair.client.link, [b"once"])
    ((data, _),) = pair.client.endpoint.poll_transmit(pair.now)
    pair.server.endpoint.receive([(data, CLIENT)] * 5, pair.now)
    pair.server.endpoint.receive([(memoryview(bytearray(data)), CLIENT)], pair.now)
    pair.server.drain()
    assert pair.server.datagrams == [b"once"]
    assert pair.server.endpoint.stats(pair.server.link).replayed == 5


def test_nothing_of_the_frames_shows_on_the_wire():
    pair = Pair()
    pair.record = True
    pair.open()
    pair.client.endpoint.send(pair.client.link, b"SECRET" * 100)
    pair.run(10 * MS)
    wire = b"".join(data for _, _, data in pair.transmitted)
    assert b"SECRET" not in wire
    assert KEY not in wire
    assert SERVER in {target for _, target, _ in pair.transmitted}
