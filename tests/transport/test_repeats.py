"""Control data goes again before it is known to be lost: how often, how much, and what it gains."""

import struct

import numpy as np
import pytest

from sidereal.transport import MessageReceived
from sidereal.transport.netsim import PRESETS, Conditions
from sidereal.transport.reliable import SendStream
from sidereal.transport.repeats import COPIES_MAX, WINDOW_PART, Repeats
from transport.pair import MS, SECOND, Pair

RTT = 80 * MS
WINDOW = 64_000
STAMP = struct.Struct("<q")


def lossy(share):
    repeats = Repeats()
    for _ in range(50):
        repeats.fared(100 - round(100 * share), round(100 * share))
    return repeats


@pytest.mark.parametrize(
    ("loss", "copies"), [(0.0, 0), (0.004, 0), (0.02, 1), (0.1, 2), (0.3, 3), (0.6, COPIES_MAX)]
)
def test_the_more_is_lost_the_more_copies(loss, copies):
    repeats = Repeats()
    for _ in range(50):
        repeats.fared(1000 - round(1000 * loss), round(1000 * loss))
    assert repeats.copies == copies


def test_what_was_late_is_not_lost():
    repeats = lossy(0.1)
    repeats.fared(0, -30)
    assert repeats.loss < 0.02
    repeats.fared(0, -1000)
    assert (repeats.loss, repeats.copies) == (0, 0)


def test_a_copy_each_part_of_a_round_trip_and_then_no_more():
    repeats = lossy(0.1)
    repeats.due(0, RTT, WINDOW)
    repeats.sent(0, 0, 100, SECOND, RTT)
    times = []
    while repeats.at is not None:
        times.append(repeats.at - SECOND)
        assert repeats.due(repeats.at - 1, RTT, WINDOW) == []
        assert repeats.due(repeats.at, RTT, WINDOW) == [(0, 0, 100)]
    assert times == [10 * MS, 20 * MS]


def test_what_left_in_one_moment_goes_again_in_one_piece():
    repeats = lossy(0.1)
    for start in range(0, 1000, 100):
        repeats.sent(0, start, start + 100, SECOND, RTT)
    repeats.sent(1, 1000, 1100, SECOND, RTT)
    repeats.sent(0, 5000, 5100, SECOND, RTT)
    assert repeats.due(2 * SECOND, RTT, WINDOW) == [(0, 0, 1000), (1, 1000, 1100), (0, 5000, 5100)]


def test_copies_take_no_more_than_their_part_of_the_window():
    repeats = lossy(0.3)
    now, copied = SECOND, 0
    for n in range(400):
        now += RTT // 20
        repeats.sent(0, 2000 * n, 2000 * n + 2000, now, RTT)
        copied += sum(end - start for _, start, end in repeats.due(now, RTT, WINDOW))
    rounds = 400 / 20
    assert 0.95 * rounds <= copied / (WINDOW / WINDOW_PART) <= rounds + 1


def test_of_what_is_more_than_that_a_part_goes_again():
    repeats = lossy(0.1)
    repeats.sent(0, 0, 10 * WINDOW, SECOND, RTT)
    assert repeats.due(2 * SECOND, RTT, WINDOW) == [(0, 0, WINDOW // WINDOW_PART)]


def test_on_a_short_way_nothing_goes_again_before_it_is_lost():
    repeats = lossy(0.1)
    repeats.sent(0, 0, 100, SECOND, 2 * MS)
    assert repeats.at is None


def test_bulk_goes_again_where_a_network_loses_much_and_not_where_it_is_full():
    for loss, times in ((0.1, 1), (0.4, 0)):
        repeats = lossy(loss)
        repeats.sent(1, 0, 100, SECOND, RTT)
        assert len(repeats.due(SECOND + RTT // 4, RTT, WINDOW)) == times


def test_a_link_of_which_nothing_is_known_repeats_a_little():
    repeats = Repeats()
    assert repeats.copies == 1
    repeats.fared(100, 0)
    assert repeats.copies == 0


def test_what_the_peer_has_by_now_does_not_go_again():
    stream = SendStream(0, 10_000)
    stream.limit = 10_000
    stream.push(bytes(996))
    stream.take(600)
    stream.take(600)
    stream.acked(200, 100)
    stream.resend(100, 400)
    assert [stream.take(600)[1] for _ in range(2)] == [(0, 100, 100), (0, 300, 100)]
    stream.acked(0, 1000)
    stream.resend(0, 1000)
    assert not stream.pending


def test_a_stream_knows_what_was_lost_before():
    stream = SendStream(1, 10_000)
    stream.limit = 10_000
    stream.push(bytes(996))
    stream.take(1100)
    assert stream.lost(0, 500) == [(0, 500, False)]
    assert stream.lost(500, 100) == [(500, 600, False)]
    assert stream.lost(300, 100) == [(300, 400, True)]
    stream.acked(0, 1000)
    assert stream.lost(0, 1000) == []


def talk(conditions, seed, *, datagrams=0, size=400, seconds=20):
    """Send a message each 50 ms, both ways, beside datagrams; return how long each took, ns."""
    pair = Pair(conditions, seed=seed).open()
    took = []

    def listen(side, take):
        def taking(events):
            events = list(events)
            messages = [event.data for event in events if isinstance(event, MessageReceived)]
            took.extend(pair.now - STAMP.unpack_from(data)[0] for data in messages)
            take(events)

        side.take = taking

    for side in pair.sides.values():
        listen(side, side.take)
    for _ in range(seconds * 20):
        for side in pair.sides.values():
            side.endpoint.send(side.link, STAMP.pack(pair.now) + bytes(size))
            side.endpoint.send_datagrams(side.link, [bytes(1000)] * datagrams)
        pair.run(50 * MS)
    return pair, np.array(took)


@pytest.mark.parametrize("datagrams", [0, 2, 25])
@pytest.mark.parametrize("seed", [1, 2])
def test_control_hardly_waits_for_what_an_awful_network_loses(seed, datagrams):
    """One way takes 70 to 230 ms there, and every tenth packet longer, or for ever."""
    _, took = talk(PRESETS["awful"], seed, datagrams=datagrams)
    took = took[len(took) // 5 :]
    p50, p99 = np.percentile(took, [50, 99])
    assert p50 < 200 * MS
    assert p99 < 700 * MS
    assert took.max() < 1500 * MS


def test_bursts_are_outlived_too():
    conditions = Conditions(loss=0.08, burst=5, delay_ns=40 * MS, jitter_ns=10 * MS)
    _, took = talk(conditions, 4, datagrams=10)
    assert np.percentile(took[len(took) // 5 :], 99) < 250 * MS


def test_where_nothing_is_lost_nothing_goes_again_but_at_first():
    conditions = Conditions(delay_ns=40 * MS, jitter_ns=10 * MS)
    retransmitted = []
    for seconds in (5, 10):
        pair, took = talk(conditions, 5, datagrams=5, seconds=seconds)
        assert took.max() < 60 * MS
        retransmitted.append(pair.client.endpoint.stats(pair.client.link).retransmitted_bytes)
    assert retransmitted[0] == retransmitted[1] < 8_000


def test_an_idle_link_repeats_nothing_without_end():
    pair, _ = talk(PRESETS["awful"], 6, seconds=5)
    pair.run(5 * SECOND)
    before = [side.endpoint.stats(side.link).retransmitted_bytes for side in pair.sides.values()]
    pair.run(20 * SECOND)
    after = [side.endpoint.stats(side.link).retransmitted_bytes for side in pair.sides.values()]
    assert after == before
