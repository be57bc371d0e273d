"""Bad networks and bad timing, in virtual time: the named cases of a transport's life."""

import pytest

from sidereal.errors import LimitError
from sidereal.transport import BULK, TransportSettings
from sidereal.transport.netsim import Conditions, parse
from transport.pair import CLIENT, MS, SECOND, SERVER, Pair


def transfer(conditions, *, size=300_000, seconds=60, seed=1, **options):
    """Send messages both ways, and datagrams; all must arrive. Returns the seconds it took."""
    pair = Pair(conditions, seed=seed, **options).open(60 * SECOND)
    start = pair.now
    there = [bytes([i % 251]) * (size // 20) for i in range(20)]
    back = [b"back%d" % i for i in range(50)]
    for message in there:
        pair.client.endpoint.send(pair.client.link, message)
    for message in back:
        pair.server.endpoint.send(pair.server.link, message)
    pair.client.endpoint.send_datagrams(pair.client.link, [b"d" * 500] * 100)

    def done():
        return (
            len(pair.server.messages) == 20
            and len(pair.client.messages) == 50
            and len(pair.client.acked) + len(pair.client.lost) == 100
        )

    assert pair.run(seconds * SECOND, done), (
        len(pair.server.messages),
        pair.client.closed,
        pair.server.closed,
    )
    assert pair.server.messages == there
    assert pair.client.messages == back
    assert sorted(pair.client.acked + pair.client.lost) == list(range(100))
    return pair, (pair.now - start) / SECOND


@pytest.mark.parametrize("seed", range(5))
def test_transfer_at_2_percent_burst_loss(seed):
    conditions = Conditions(loss=0.02, burst=4, delay_ns=25 * MS, rate_bits_per_s=20e6)
    _, seconds = transfer(conditions, seed=seed)
    assert seconds < 5


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05, 0.10, 0.20])
@pytest.mark.parametrize("rate", [1e6, 20e6, 0])
def test_transfer_over_a_grid_of_loss_and_bandwidth(loss, rate):
    conditions = Conditions(loss=loss, delay_ns=15 * MS, rate_bits_per_s=rate)
    transfer(conditions, size=200_000)


def test_the_network_may_corrupt_one_datagram_in_ten():
    pair, _ = transfer(Conditions(corrupt=0.10, delay_ns=10 * MS))
    stats = pair.server.endpoint.endpoint_stats()
    assert stats.forged + stats.malformed + stats.unknown_connection > 0


def test_two_second_blackouts():
    pair = Pair(parse("delay=20ms,rate=5mbit")).open()
    sent = [bytes([i]) * 50_000 for i in range(40)]
    for message in sent:
        pair.client.endpoint.send(pair.client.link, message)
    for _ in range(3):
        pair.run(300 * MS)
        pair.net.partition(CLIENT, SERVER)
        pair.run(2 * SECOND)
        pair.net.heal(CLIENT, SERVER)
        healed, before = pair.now, len(pair.server.messages)
        assert pair.run(3 * SECOND, lambda: len(pair.server.messages) > before)  # noqa: B023
        assert pair.now - healed < 1500 * MS
    assert pair.run(30 * SECOND, lambda: pair.server.messages == sent)


def test_round_trips_of_1500_ms():
    _, seconds = transfer(Conditions(delay_ns=750 * MS))
    assert seconds < 10


@pytest.mark.parametrize("seed", range(3))
def test_30_percent_reordering_without_loss_loses_little(seed):
    pair, _ = transfer(Conditions(reorder=0.30, delay_ns=20 * MS), seed=seed, size=2_000_000)
    pair.run(SECOND)
    stats = pair.client.endpoint.stats(pair.client.link)
    assert pair.net.lost == 0
    assert stats.packets_lost == stats.packets_lost_wrongly
    assert stats.retransmitted_bytes < 0.25 * 2_000_000


def test_duplicates_a_second_late():
    conditions = Conditions(duplicate=0.5, duplicate_late_ns=SECOND, delay_ns=10 * MS)
    pair, _ = transfer(conditions)
    pair.run(3 * SECOND)
    assert len(pair.server.messages) == 20
    assert len(pair.server.datagrams) <= 100
    assert pair.server.endpoint.stats(pair.server.link).replayed > 50


def test_loss_that_goes_with_delay():
    """A narrow link with a short queue: what waits longest is followed by what is dropped."""
    conditions = Conditions(rate_bits_per_s=2e6, queue_ns=40 * MS, delay_ns=30 * MS)
    pair, seconds = transfer(conditions, size=500_000)
    assert pair.net.lost > 0
    assert seconds < 5


def test_loss_in_one_direction_only():
    pair = Pair(parse("delay=20ms")).open()
    pair.net.set_path(SERVER, CLIENT, Conditions(loss=0.5, delay_ns=20 * MS))
    sent = [bytes([i]) * 20_000 for i in range(50)]
    for message in sent:
        pair.client.endpoint.send(pair.client.link, message)
    assert pair.run(20 * SECOND, lambda: pair.server.messages == sent)


def test_tail_loss_is_repaired_by_a_probe():
    pair = Pair(parse("delay=20ms")).open()
    pair.run(SECOND)
    pair.net.partition(CLIENT, SERVER)
    pair.client.endpoint.send(pair.client.link, b"the very last")
    pair.client.endpoint.send_datagrams(pair.client.link, [b"and one beside it"])
    pair.pump()
    pair.net.heal(CLIENT, SERVER)
    start = pair.now
    assert pair.run(SECOND, lambda: pair.server.messages == [b"the very last"])
    assert pair.now - start < 250 * MS
    assert pair.run(SECOND, lambda: pair.client.lost == [0])


def test_a_lost_farewell_is_said_again():
    pair = Pair(parse("delay=20ms")).open()
    pair.net.partition(CLIENT, SERVER)
    pair.client.endpoint.close(pair.client.link, "bye", pair.now)
    pair.run(300 * MS)
    pair.net.heal(CLIENT, SERVER)
    pair.run(3 * SECOND)
    assert [event.reason for event in pair.server.closed] == ["bye"]


def test_a_farewell_that_never_arrives_leaves_nothing_waiting():
    pair = Pair(parse("delay=20ms")).open()
    pair.net.partition(CLIENT, SERVER)
    pair.client.endpoint.send(pair.client.link, b"unheard")
    pair.client.endpoint.close(pair.client.link, "bye", pair.now)
    pair.run(20 * SECOND)
    assert pair.client.endpoint.endpoint_stats().connections == 0
    assert pair.server.endpoint.endpoint_stats().connections == 0
    assert "nothing heard" in pair.server.closed[0].reason


def test_a_receiver_that_stops_reading_stops_the_sender_and_then_goes_on():
    settings = TransportSettings(receive_window_bytes=100_000)
    pair = Pair(parse("lan"), settings=settings).open()
    pair.server.reading = False
    sent = [bytes([i]) * 10_000 for i in range(100)]
    for message in sent:
        pair.client.endpoint.send(pair.client.link, message)
    pair.run(5 * SECOND)
    held = sum(len(event.data) for event in pair.server.endpoint._events)
    assert 50_000 < held <= 100_000
    assert pair.client.endpoint.stats(pair.client.link).send_queue_bytes > 800_000
    pair.client.endpoint.send_datagrams(pair.client.link, [b"datagrams still pass"])
    assert pair.run(SECOND, lambda: pair.client.acked == [0])
    pair.server.reading = True
    assert pair.run(5 * SECOND, lambda: pair.server.messages == sent)


def test_a_full_send_queue_refuses_and_recovers():
    settings = TransportSettings(send_queue_bytes=50_000, receive_window_bytes=20_000)
    pair = Pair(parse("lan"), settings=settings).open()
    pair.net.partition(CLIENT, SERVER)
    sent = [bytes([i]) * 7_000 for i in range(7)]
    for message in sent:
        pair.client.endpoint.send(pair.client.link, message)
    with pytest.raises(LimitError, match="wait until it has read some"):
        pair.client.endpoint.send(pair.client.link, bytes(7_000))
    pair.net.heal(CLIENT, SERVER)
    assert pair.run(5 * SECOND, lambda: pair.server.messages == sent)
    assert pair.client.endpoint.send(pair.client.link, bytes(40_000))


def test_bulk_against_control_and_datagrams_against_bulk():
    """With everything waiting at once, each kind has its share at once."""
    settings = TransportSettings(window_bytes_initial=100_000, window_bytes_max=400_000)
    pair = Pair(parse("rate=20mbit,delay=5ms"), settings=settings).open()
    pair.client.endpoint.send(pair.client.link, bytes(3_000_000), BULK)
    pair.run(100 * MS)
    pair.client.endpoint.send(pair.client.link, b"order")
    pair.client.endpoint.send_datagrams(pair.client.link, [b"news" * 100] * 50)
    start = pair.now
    assert pair.run(
        5 * SECOND, lambda: b"order" in pair.server.messages and len(pair.server.datagrams) > 25
    )
    assert pair.now - start < 500 * MS
    assert pair.run(10 * SECOND, lambda: len(pair.server.messages) == 2)


def test_blocked_datagrams_go_stale_oldest_first_and_are_reported():
    settings = TransportSettings(datagram_age_ns=100 * MS, window_bytes_max=65536)
    pair = Pair(parse("delay=20ms,rate=6mbit"), settings=settings).open()
    tokens = 0
    for _ in range(40):
        pair.client.endpoint.send_datagrams(pair.client.link, [b"x" * 1000] * 20)
        tokens += 20
        pair.run(10 * MS)
    pair.run(3 * SECOND)
    assert sorted(pair.client.acked + pair.client.lost) == list(range(tokens))
    assert 0 < len(pair.client.lost) < tokens
    assert pair.client.acked[-1] > 700, "the newest went"


def test_the_datagram_queue_drops_the_oldest_at_its_bound():
    settings = TransportSettings(datagram_queue_bytes=10_000)
    pair = Pair(settings=settings).open()
    pair.client.endpoint.send_datagrams(pair.client.link, [bytes([i]) * 1000 for i in range(25)])
    pair.run(100 * MS)
    assert pair.client.lost == list(range(15))
    assert sorted(pair.client.acked) == list(range(15, 25))
    assert [data[0] for data in pair.server.datagrams] == list(range(15, 25))


@pytest.mark.parametrize("jump_ns", [3 * SECOND, -3 * SECOND])
def test_a_clock_that_jumps(jump_ns):
    pair = Pair(parse("delay=5ms")).open()
    pair.client.endpoint.send(pair.client.link, bytes(100_000))
    pair.run(7 * MS)
    # Only the client's clock: its calls see other times from here on.
    endpoint = pair.client.endpoint
    for name in ("receive", "handle_timeout", "poll_transmit"):
        inner = getattr(endpoint, name)

        def shifted(*arguments, inner=inner):
            return inner(*arguments[:-1], arguments[-1] + jump_ns)

        setattr(endpoint, name, shifted)
    timeout = endpoint.next_timeout
    endpoint.next_timeout = lambda: (at := timeout()) and at - jump_ns
    pair.client.endpoint.send(pair.client.link, b"after the jump")
    assert pair.run(5 * SECOND, lambda: len(pair.server.messages) == 2)
    pair.run(20 * SECOND)
    assert not pair.client.closed
    assert not pair.server.closed


def test_a_stalled_loop():
    """A process that stood still for three seconds finds everything due at once."""
    pair = Pair(parse("delay=5ms")).open()
    sent = [bytes([i]) * 5000 for i in range(50)]
    for message in sent:
        pair.client.endpoint.send(pair.client.link, message)
    pair.run(6 * MS)
    for _ in range(3):
        pair.now += 3 * SECOND
        for side in (pair.client, pair.server):
            side.endpoint.handle_timeout(pair.now)
        pair.run(20 * MS)
    assert pair.run(5 * SECOND, lambda: pair.server.messages == sent)
    assert not pair.client.closed


def test_a_message_larger_than_the_window():
    settings = TransportSettings(receive_window_bytes=64 * 1024)
    pair = Pair(parse("lan"), settings=settings).open()
    data = bytes(range(256)) * 8192
    pair.client.endpoint.send(pair.client.link, data)
    assert pair.run(10 * SECOND, lambda: pair.server.messages == [data])


def test_a_trusted_link_with_a_fixed_window_ignores_loss():
    settings = TransportSettings(congestion="fixed", window_bytes_max=1_000_000)
    conditions = Conditions(loss=0.05, delay_ns=10 * MS)
    pair = Pair(conditions, settings=settings).open()
    pair.client.endpoint.send(pair.client.link, bytes(5_000_000), BULK)
    start = pair.now
    assert pair.run(60 * SECOND, lambda: bool(pair.server.messages))
    assert pair.now - start < SECOND
    assert pair.client.endpoint.stats(pair.client.link).window_bytes == 1_000_000


def test_create_and_destroy_leaves_nothing():
    pair = Pair(parse("lan"))
    for i in range(200):
        pair.open()
        pair.client.endpoint.send(pair.client.link, b"hello %d" % i)
        pair.run(5 * MS)
        closer = (pair.client, pair.server)[i % 2]
        closer.endpoint.close(closer.link, "next", pair.now)
        pair.run(100 * MS)
        pair.client.events.clear()
        pair.server.events.clear()
    pair.run(10 * SECOND)
    for side in (pair.client, pair.server):
        endpoint = side.endpoint
        assert endpoint.endpoint_stats().connections == 0
        for left in ("_links", "_routes", "_attempts", "_half_open", "_ready", "_replies"):
            assert not getattr(endpoint, left), left
        assert endpoint.next_timeout() is None
        assert not endpoint._timers


def test_one_server_many_clients_each_their_own():
    pair = Pair(parse("lan"))
    links = [pair.connect() for _ in range(50)]
    for i, link in enumerate(links):
        pair.client.endpoint.send(link, b"from %d" % i)
    assert pair.run(5 * SECOND, lambda: len(pair.server.messages) == 50)
    assert sorted(pair.server.messages) == sorted(b"from %d" % i for i in range(50))
    assert len({event.link for event in pair.server.events}) == 50
