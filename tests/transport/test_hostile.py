"""A peer that has the key and does all it can to make this end remember too much."""

import random
import tracemalloc

import pytest

from sidereal import limits
from sidereal.transport import (
    BulkReceived,
    DatagramNotice,
    LinkClosed,
    MessageReceived,
    TransportSettings,
    layout,
)
from sidereal.transport.netsim import parse
from transport.pair import CLIENT, MS, SECOND, Pair

WINDOW = 200_000
UNREAD = 300_000
SETTINGS = TransportSettings(
    receive_window_bytes=WINDOW,
    datagrams_unread_bytes=UNREAD,
    send_queue_bytes=400_000,
    datagram_queue_bytes=200_000,
)
ROOM = 1200 - layout.OVERHEAD_BYTES


def stream(channel, offset, data):
    return layout.STREAM.pack(layout.FRAME_STREAM, channel, offset, len(data)) + data


class Enemy:
    """Seals whatever frames it likes, as the client of a pair that is open."""

    def __init__(self, reading):
        self.pair = Pair(settings=SETTINGS).open()
        self.sealer = self.pair.client.endpoint._links[self.pair.client.link].outbox._sealer
        self.endpoint = self.pair.server.endpoint
        self.connection = self.endpoint._links[self.pair.server.link]
        self.reading = reading
        self.rng = random.Random(5)

    def says(self, frames):
        """One packet; the server answers as ever. Whether the link still stands."""
        self.pair.now += MS // 10
        now = self.pair.now
        self.endpoint.receive([(self.sealer.seal(frames), CLIENT)], now)
        self.endpoint.handle_timeout(now)
        if self.reading:
            self.endpoint.events()
        self.endpoint.poll_transmit(now)
        return self.connection.usable

    def held(self):
        """What the server holds of this peer, each kind against its cap."""
        events = self.endpoint._events
        shares = {}
        for channel, kind in enumerate((MessageReceived, BulkReceived)):
            unread = sum(len(e.data) for e in events if isinstance(e, kind))
            early = self.connection._receive[channel].waiting_bytes
            shares[kind.__name__] = (unread + early) / WINDOW
        shares["message"] = self.connection._messages._have / limits.MESSAGE_BYTES_MAX
        shares["datagrams"] = self.connection.intake.unread / UNREAD
        shares["sent"] = self.connection.outbox.queued_bytes / SETTINGS.send_queue_bytes
        return shares


def floods_datagrams(enemy):
    return layout.DATAGRAM.pack(layout.FRAME_DATAGRAM, ROOM - 3) + bytes(ROOM - 3)


def floods_tiny_datagrams(enemy):
    return (layout.DATAGRAM.pack(layout.FRAME_DATAGRAM, 2) + b"ab") * (ROOM // 5)


def floods_sequences(enemy):
    head = layout.SEQUENCED.pack(layout.FRAME_SEQUENCED, enemy.rng.randrange(16), 500)
    return (head + bytes(500)) * 2


def fills_the_window_with_early_bulk(enemy):
    return stream(1, enemy.rng.randrange(1, WINDOW - ROOM), bytes(ROOM - 12))


def overlaps_early_control(enemy):
    return stream(0, enemy.rng.randrange(4, WINDOW - 100), bytes(enemy.rng.randrange(80)))


def sends_single_bytes_with_gaps(enemy):
    frames = [stream(1, 2 * enemy.rng.randrange(1, WINDOW // 2), b"x") for _ in range(ROOM // 13)]
    return b"".join(frames)


def goes_on_in_order(enemy):
    at = enemy.connection._receive[1].next
    data = (2**26).to_bytes(4, "little") + bytes(ROOM - 16) if at == 0 else bytes(ROOM - 12)
    return stream(1, at, data)


def drips(enemy, channel):
    """A long message two bytes a frame, with an empty frame between, which parts them."""
    at = enemy.connection._receive[channel].next
    frames, room = [], ROOM
    if at == 0:
        frames.append(stream(channel, 0, (2**26).to_bytes(4, "little")))
        at, room = 4, room - 16
    while room >= 26:
        frames += [stream(channel, at, b"ab"), stream(1 - channel, 0, b"")]
        at, room = at + 2, room - 26
    return b"".join(frames)


def drips_a_control_message(enemy):
    return drips(enemy, 0)


def drips_a_bulk_message(enemy):
    return drips(enemy, 1)


def offers_credit_without_end(enemy):
    return layout.CREDIT.pack(layout.FRAME_CREDIT, enemy.rng.randrange(2), 2**63)


ATTACKS = [
    floods_datagrams,
    floods_tiny_datagrams,
    floods_sequences,
    fills_the_window_with_early_bulk,
    overlaps_early_control,
    sends_single_bytes_with_gaps,
    goes_on_in_order,
    drips_a_control_message,
    drips_a_bulk_message,
    offers_credit_without_end,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
@pytest.mark.parametrize("reading", [False, True], ids=["unread", "read"])
def test_a_hostile_peer_exceeds_no_cap_by_more_than_a_twentieth(attack, reading):
    enemy = Enemy(reading)
    most = {}
    for turn in range(1500):
        if not enemy.says(attack(enemy)):
            break  # the link ended: also an answer
        if turn % 10 == 0:
            held = enemy.held()
            most = {kind: max(share, most.get(kind, 0)) for kind, share in held.items()}
    assert most
    assert max(most.values()) <= 1.05, most


def test_what_hostile_datagrams_cost_is_memory_that_the_cap_knows():
    """The cap in bytes is the cap in memory, objects and all, within a factor that is small."""
    enemy = Enemy(reading=False)
    for _ in range(50):
        enemy.says(floods_tiny_datagrams(enemy))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        counted = enemy.connection.intake.unread
        for _ in range(1500):
            enemy.says(floods_tiny_datagrams(enemy))
        grown = tracemalloc.get_traced_memory()[0] - before
        counted = enemy.connection.intake.unread - counted
    finally:
        tracemalloc.stop()
    assert grown <= 1.05 * max(counted, UNREAD)


@pytest.mark.parametrize("attack", [drips_a_control_message, drips_a_bulk_message])
def test_a_message_that_comes_in_drips_costs_its_bytes_and_little_more(attack):
    """An object for each two bytes of it would be twenty times that."""
    enemy = Enemy(reading=False)
    for _ in range(50):
        enemy.says(attack(enemy))
    stream = enemy.connection._receive[0 if attack is drips_a_control_message else 1]
    tracemalloc.start()
    try:
        before, start = tracemalloc.get_traced_memory()[0], stream.next
        for _ in range(1500):
            enemy.says(attack(enemy))
        grown = tracemalloc.get_traced_memory()[0] - before
        came = stream.next - start
    finally:
        tracemalloc.stop()
    assert came > 100_000
    assert grown <= 1.3 * came + 50_000


def test_a_user_that_does_not_drain_slows_its_peer_and_nothing_is_lost_unnoticed():
    pair = Pair(parse("lan"), settings=SETTINGS).open()
    pair.server.reading = False
    for _ in range(100):
        pair.client.endpoint.send_datagrams(pair.client.link, [bytes(1000)] * 10)
        pair.run(5 * MS)
    held = sum(len(p) for e in pair.server.endpoint._events for p in getattr(e, "payloads", ()))
    assert UNREAD / 2 < held <= UNREAD
    assert pair.server.endpoint.stats(pair.server.link).unheard > 100
    pair.server.reading = True
    pair.run(5 * SECOND)
    assert sorted(pair.client.acked + pair.client.lost) == list(range(1000))
    assert len(pair.server.datagrams) >= len(pair.client.acked)
    pair.client.endpoint.send(pair.client.link, b"and all is well")
    assert pair.run(2 * SECOND, lambda: pair.server.messages == [b"and all is well"])


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_no_cap_is_exceeded_by_one_large_batch_either(attack):
    """All that a socket had is looked at packet by packet once a cap is near."""
    enemy = Enemy(reading=False)
    packets = [(enemy.sealer.seal(attack(enemy)), CLIENT) for _ in range(1000)]
    enemy.endpoint.receive(packets, enemy.pair.now)
    held = enemy.held()
    assert max(held.values()) <= 1.0, held


def test_a_peer_that_was_thrown_out_cannot_hold_its_place_with_bad_frames():
    enemy = Enemy(reading=True)
    answers = 0
    assert not enemy.says(b"\xff bad")
    for _ in range(100):
        now = enemy.pair.now = enemy.pair.now + SECOND // 10
        enemy.endpoint.receive([(enemy.sealer.seal(b"\xff worse"), CLIENT)], now)
        enemy.endpoint.handle_timeout(now)
        answers += len(enemy.endpoint.poll_transmit(now))
        if not enemy.endpoint.endpoint_stats().connections:
            break
    assert enemy.endpoint.endpoint_stats().connections == 0
    assert enemy.pair.now < 1_005 * SECOND, "two seconds to hear the farewell, and no more"
    assert answers < 15, "it is not answered for each bad frame"


def test_a_good_ack_beside_a_false_one_still_has_its_notice():
    """Every datagram has one notice, however the link ends."""
    enemy = Enemy(reading=False)
    endpoint, link, now = enemy.endpoint, enemy.pair.server.link, enemy.pair.now
    first = enemy.connection.outbox._sealer.next_number
    endpoint.send_datagrams(link, [bytes(1000)] * 8)
    endpoint.poll_transmit(now)
    last = enemy.connection.outbox._sealer.next_number - 1
    good = layout.ACK.pack(layout.FRAME_ACK, last, 0, 1) + bytes([0b111]) + bytes(7)
    false = layout.ACK.pack(layout.FRAME_ACK, last + 1000, 0, 0)
    assert last - first >= 7
    enemy.says(good + false)
    events = endpoint.events()
    acked = [token for e in events if isinstance(e, DatagramNotice) for token in e.acked]
    lost = [token for e in events if isinstance(e, DatagramNotice) for token in e.lost]
    assert sorted(acked + lost) == list(range(8))
    assert len(acked) == 4
    assert isinstance(events[-1], LinkClosed)
    assert "never sent" in events[-1].reason
