"""The network simulator: repeatable, and as bad as it was told to be."""

import itertools

import pytest

from sidereal.errors import ConfigError
from sidereal.transport.netsim import PRESETS, Conditions, NetSim, parse
from transport.pair import MS, SECOND

A, B = ("a", 1), ("b", 2)


def carry(conditions, count=5000, seed=1, gap_ns=MS, size=100):
    """Send numbered datagrams; return ``[(number, sent, arrived), …]`` in order of arrival."""
    net = NetSim(seed, conditions)
    arrived = []

    def collect(until):
        while (at := net.next_time()) is not None and at <= until:
            arrived.extend(
                (int.from_bytes(data[:4], "little"), at) for _, _, data in net.deliver(at)
            )

    for i in range(count):
        collect(i * gap_ns)
        net.send(A, B, i.to_bytes(4, "little") + bytes(size - 4), i * gap_ns)
    collect(10**15)
    return [(number, number * gap_ns, at) for number, at in arrived]


def test_one_seed_gives_one_history_and_another_another():
    bad = parse("awful,duplicate=5%,corrupt=1%")
    assert carry(bad) == carry(bad)
    assert carry(bad) != carry(bad, seed=2)


def test_a_perfect_network_delivers_all_at_once_in_order():
    assert carry(PRESETS["perfect"]) == [(i, i * MS, i * MS) for i in range(5000)]


@pytest.mark.parametrize("burst", [1.0, 4.0])
def test_loss_is_as_told_and_comes_in_bursts(burst):
    got = {number for number, _, _ in carry(Conditions(loss=0.1, burst=burst), count=50_000)}
    lost = [i for i in range(50_000) if i not in got]
    assert 0.08 < len(lost) / 50_000 < 0.12
    runs = sum(1 for i in lost if i - 1 in got or i == 0)
    assert len(lost) / runs == pytest.approx(burst if burst > 1 else 1.11, rel=0.15)


def test_delay_and_jitter_lie_where_told():
    delays = [at - sent for _, sent, at in carry(Conditions(delay_ns=80 * MS, jitter_ns=20 * MS))]
    assert 60 * MS <= min(delays) < 61 * MS
    assert 99 * MS < max(delays) <= 100 * MS


def test_reordering_and_duplicates_are_as_many_as_told():
    order = [n for n, _, _ in carry(Conditions(reorder=0.2, delay_ns=10 * MS))]
    late = sum(1 for one, two in itertools.pairwise(order) if two < one)
    assert 500 < late < 1500
    assert len(carry(Conditions(duplicate=0.1))) == pytest.approx(5500, rel=0.03)


def test_the_rate_spaces_datagrams_and_its_queue_is_bounded():
    got = carry(Conditions(rate_bits_per_s=8e5, queue_ns=50 * MS), count=1000, gap_ns=MS, size=972)
    arrivals = [at for _, _, at in got]
    assert all(two - one >= 10 * MS for one, two in itertools.pairwise(arrivals))
    assert max(at - sent for _, sent, at in got) <= 60 * MS
    assert len(got) == pytest.approx(105, abs=3)


def test_partitions_and_paths_of_their_own():
    net = NetSim(1)
    net.set_path(A, B, Conditions(delay_ns=5))
    net.send(A, B, b"1", 0)
    net.send(B, A, b"2", 0)
    assert net.deliver(0) == [(B, A, b"2")]
    net.partition(A, B)
    net.send(B, A, b"3", 1)
    assert net.deliver(10) == [], "what flies into a cut is lost"
    net.heal(A, B)
    net.send(B, A, b"4", 11)
    assert net.deliver(11) == [(B, A, b"4")]
    assert (net.sent, net.lost, net.delivered) == (4, 2, 2)


def test_too_large_a_datagram_disappears():
    assert carry(Conditions(mtu=99), count=3) == []
    assert len(carry(Conditions(mtu=100), count=3)) == 3


def test_text_is_parsed_as_documented():
    text = "loss=2%,delay=80ms,jitter=20ms,reorder=5%,duplicate=1%,rate=20mbit"
    assert parse(text) == Conditions(
        loss=0.02,
        delay_ns=80 * MS,
        jitter_ns=20 * MS,
        reorder=0.05,
        duplicate=0.01,
        rate_bits_per_s=20e6,
    )
    assert parse("") == parse("perfect") == Conditions()
    assert parse("awful, loss=0.2 ,delay=1s").loss == 0.2
    assert parse("awful,delay=1s").delay_ns == SECOND
    assert parse("delay=250us,burst=3").delay_ns == 250_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nosuch", "no network 'nosuch'; there are perfect, lan, wifi, mobile, awful"),
        ("speed=3", "no network property 'speed'"),
        ("loss=200%", "choose 0% to 100%"),
        ("loss=x", "'x' is not a number"),
        ("delay=5", "give a unit, one of us, ms, s"),
        ("rate=5mb", "give a unit, one of kbit, mbit, gbit"),
        ("delay=-5ms", "choose a number from 0 up"),
        ("loss=nan", "choose a number from 0 up"),
    ],
)
def test_text_that_is_wrong_is_said_so(text, message):
    with pytest.raises(ConfigError, match=message):
        parse(text)
