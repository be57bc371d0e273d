"""The congestion controller and the pacing, on simulated links: shares, queues, fairness."""

import random

import pytest

from sidereal.transport import (
    BULK,
    BulkReceived,
    DatagramNotice,
    Endpoint,
    TransportSettings,
)
from sidereal.transport.netsim import PRESETS, Conditions, NetSim
from sidereal.transport.pacing import Pacer
from sidereal.transport.recovery import CALM_ACKS, EIGHTHS_MAX, Recovery
from transport.pair import CLIENT, KEY, MS, SECOND, SERVER, Pair, seeded


def share(conditions, size, **options):
    """Send one bulk message; return the share of the link that it got, start included."""
    pair = Pair(conditions, **options).open()
    start = pair.now
    pair.client.endpoint.send(pair.client.link, bytes(size), BULK)
    assert pair.run(120 * SECOND, lambda: bool(pair.server.messages), steps_max=2_000_000)
    return size * 8 / conditions.rate_bits_per_s / ((pair.now - start) / SECOND)


@pytest.mark.parametrize(
    ("rate", "rtt_ms", "loss", "size", "least"),
    [
        (100e6, 50, 0.02, 20_000_000, 0.75),
        (100e6, 50, 0.0, 10_000_000, 0.70),
        (100e6, 20, 0.10, 10_000_000, 0.65),
        (10e6, 50, 0.02, 4_000_000, 0.80),
        (10e6, 200, 0.05, 4_000_000, 0.50),
        (1e6, 20, 0.02, 500_000, 0.80),
    ],
)
def test_a_long_transfer_gets_most_of_a_lossy_link(rate, rtt_ms, loss, size, least):
    conditions = Conditions(
        loss=loss, delay_ns=rtt_ms * MS // 2, rate_bits_per_s=rate, queue_ns=100 * MS
    )
    assert share(conditions, size) > least


def test_jitter_and_reordering_are_not_taken_for_a_queue():
    """Twice as much as what a window of one shortest round trip could carry."""
    conditions = Conditions(delay_ns=150 * MS, jitter_ns=80 * MS, reorder=0.1, rate_bits_per_s=20e6)
    assert share(conditions, 5_000_000) > 0.4


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_transfer_gets_half_of_an_awful_link(seed):
    """Its first seconds, and the last losses, included; nine tenths arrive at most."""
    assert share(PRESETS["awful"], 15_000_000, seed=seed) > 0.45


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_few_packets_under_jitter_do_not_narrow_the_window(seed):
    """The fastest of few packets is later than that of many: no queue of ours does that."""
    pair = Pair(PRESETS["awful"], seed=seed).open()
    before = pair.client.endpoint.stats(pair.client.link).window_bytes
    for _ in range(200):
        pair.client.endpoint.send(pair.client.link, bytes(400))
        pair.run(50 * MS)
    assert pair.client.endpoint.stats(pair.client.link).window_bytes >= before


@pytest.mark.parametrize("seed", range(1, 5))
def test_control_passes_bulk_with_little_delay(seed):
    """A message once in a while, beside bulk that fills the link: no queue of our own making."""
    conditions = Conditions(delay_ns=10 * MS, rate_bits_per_s=50e6, queue_ns=SECOND)
    pair = Pair(conditions, seed=seed).open()
    pair.client.endpoint.send(pair.client.link, bytes(30_000_000), BULK)
    pair.run(2500 * MS, steps_max=2_000_000)
    delays = []
    for i in range(20):
        pair.client.endpoint.send(pair.client.link, b"order %d" % i)
        sent, heard = pair.now, len(pair.server.messages)
        assert pair.run(SECOND, lambda: len(pair.server.messages) > heard)  # noqa: B023
        delays.append(pair.now - sent)
        pair.run(50 * MS)
    assert max(delays) < 10 * MS + 30 * MS


def test_what_is_sent_at_once_is_bounded_on_a_slow_link():
    """Paced packets are spread: no run of them is a quarter of what a round trip carries."""
    pair = Pair(Conditions(delay_ns=50 * MS, rate_bits_per_s=50e6)).open()
    pair.client.endpoint.send(pair.client.link, bytes(20_000_000), BULK)
    pair.run(2 * SECOND, steps_max=2_000_000)
    window = pair.client.endpoint.stats(pair.client.link).window_bytes
    assert window > 400_000
    runs = []
    poll = pair.client.endpoint.poll_transmit

    def counted(now):
        out = poll(now)
        runs.append(sum(len(data) for data, _ in out))
        return out

    pair.client.endpoint.poll_transmit = counted
    pair.run(300 * MS, steps_max=2_000_000)
    assert sum(runs) > 500_000
    assert max(runs) < window / 4


def test_a_fixed_rate_is_kept_to_whatever_is_lost():
    settings = TransportSettings(congestion="fixed", fixed_bytes_per_s=5e6)
    for loss in (0.0, 0.05):
        pair = Pair(Conditions(delay_ns=10 * MS, loss=loss), settings=settings).open()
        pair.client.endpoint.send(pair.client.link, bytes(30_000_000), BULK)
        pair.run(500 * MS)
        before = pair.client.endpoint.stats(pair.client.link).bytes_sent
        pair.run(2 * SECOND, steps_max=2_000_000)
        sent = pair.client.endpoint.stats(pair.client.link).bytes_sent - before
        assert sent == pytest.approx(10e6, rel=0.05)


@pytest.mark.parametrize(
    ("rtts_ms", "slow"), [((40, 40), 0.0), ((20, 60), 0.0), ((40, 40), 4e6), ((60, 20), 4e6)]
)
def test_two_connections_that_share_a_link_share_it_alike(rtts_ms, slow):
    """The second starts two seconds late; over the last six each has its half, within a fifth.

    Where the first has only ``slow`` bits a second to say, it has those, and the other the rest.
    """
    rate, now = 20e6, SECOND
    clients = [("10.0.0.1", 1), ("10.0.0.3", 1)]
    net = NetSim(3)
    ends = {SERVER: Endpoint(now=now, rng=seeded(1), psk_of={"k": KEY}.get)}
    for i, (client, rtt_ms) in enumerate(zip(clients, rtts_ms, strict=True)):
        conditions = Conditions(delay_ns=rtt_ms * MS // 2, rate_bits_per_s=rate, queue_ns=100 * MS)
        net.set_path(client, SERVER, conditions)
        net.set_path(SERVER, client, conditions)
        ends[client] = Endpoint(now=now, rng=seeded(i + 2), psk_of=None)
    net.share_link(*[(client, SERVER) for client in clients])
    links, got, said = {}, dict.fromkeys(clients, 0), 0
    while now < 14 * SECOND:
        for i, client in enumerate(clients):
            if client not in links and now >= SECOND + 2 * i * SECOND:
                links[client] = ends[client].connect(SERVER, "k", KEY, now)
            if client in links:
                end, link = ends[client], links[client]
                if slow and not i:
                    while said < slow / 8 * (now - SECOND) / SECOND:
                        end.send(link, bytes(5_000), BULK)
                        said += 5_000
                elif end.stats(link).send_queue_bytes < 2_000_000:
                    end.send(link, bytes(200_000), BULK)
        for source, end in ends.items():
            end.handle_timeout(now)
            for data, target in end.poll_transmit(now):
                net.send(source, target, data, now)
        times = [net.next_time(), *(end.next_timeout() for end in ends.values()), now + 10 * MS]
        now = max(now, min(at for at in times if at is not None))
        for source, target, data in net.deliver(now):
            ends[target].receive([(data, source)], now)
            if target == SERVER and now > 8 * SECOND:
                got[source] += len(data)
        for end in ends.values():
            assert all(isinstance(e, BulkReceived) for e in end.events() if now > 4 * SECOND)
    whole = sum(got.values())
    assert whole > 0.85 * rate / 8 * 6
    first = slow / 8 * 6 if slow else whole / 2
    for amount, fair in zip(got.values(), (first, whole - first), strict=True):
        assert abs(amount - fair) < 0.2 * fair, got


def test_a_pacer_gives_the_late_what_they_missed_and_the_idle_nothing():
    pacer = Pacer(1200)
    pacer.rate = 1e6
    at_once = pacer.room(0)
    pacer.sent(at_once)
    assert pacer.room(0) == 0
    assert 0 < pacer.wait() <= 10 * MS
    assert pacer.room(50 * MS) == pytest.approx(50_000, abs=1)
    for left in (40_000, 30_000, 20_000, 10_000, 0):
        pacer.sent(10_000)
        assert pacer.room(50 * MS) == pytest.approx(left, abs=1), "in as many parts as one likes"
    assert pacer.room(10 * SECOND) == at_once, "one quantum for who had nothing to send"


@pytest.mark.parametrize(("shortest_ms", "longest_ms"), [(1, 30), (10, 100)])
def test_processes_that_are_busy_for_a_tick_at_a_time_are_not_taken_for_a_queue(
    shortest_ms, longest_ms
):
    """Both ends look at their network only between ticks; hardly a datagram goes stale."""
    now, chance = SECOND, random.Random(5)
    net = NetSim(3, Conditions(delay_ns=75_000))
    ends = {
        CLIENT: Endpoint(now=now, rng=seeded(1), psk_of=None),
        SERVER: Endpoint(now=now, rng=seeded(2), psk_of={"k": KEY}.get),
    }
    link = ends[CLIENT].connect(SERVER, "k", KEY, now)
    wakes = dict.fromkeys(ends, now)
    waiting = {address: [] for address in ends}
    sent, acked, lost, due = 0, 0, 0, now + SECOND
    while now < 9 * SECOND:
        for source, target, data in net.deliver(now):
            waiting[target].append((data, source))
        for address, end in ends.items():
            if now < wakes[address]:
                continue
            end.receive(waiting[address], now)
            waiting[address] = []
            end.handle_timeout(now)
            for event in end.events():
                if address == CLIENT and isinstance(event, DatagramNotice):
                    acked, lost = acked + len(event.acked), lost + len(event.lost)
            if address == CLIENT and now >= due:
                due += 50 * MS
                end.send_datagrams(link, [bytes(1100)] * 400)
                sent += 400
            for data, target in end.poll_transmit(now):
                net.send(address, target, data, now)
            wakes[address] = now + int(chance.uniform(shortest_ms, longest_ms) * MS)
        now = min(wakes.values())
    assert sent > 40_000
    assert lost < 0.05 * sent
    assert acked > 0.9 * sent


def test_the_time_threshold_widens_for_what_comes_late_and_narrows_again():
    recovery = Recovery()
    recovery.sample(100 * MS, 0)
    recovery.flew(120 * MS, SECOND)
    usual = recovery.loss_delay_ns
    assert usual == 120 * MS * 9 // 8
    recovery.overtaken(50, usual - 1)
    assert recovery.loss_delay_ns == usual, "only the number of packets was taken for too many"
    assert recovery.packet_threshold == 64
    for late in range(1, 20):
        recovery.overtaken(10, recovery.loss_delay_ns)
        assert recovery.loss_delay_ns == 120 * MS * min(9 + late, EIGHTHS_MAX) // 8
    for _ in range(CALM_ACKS * (EIGHTHS_MAX - 9)):
        recovery.flew(120 * MS, SECOND)
    assert recovery.loss_delay_ns == usual


def test_the_longest_flight_is_that_of_some_round_trips():
    recovery = Recovery()
    recovery.sample(100 * MS, 0)
    recovery.flew(250 * MS, SECOND)
    for step in range(1, 10):
        recovery.flew(110 * MS, SECOND + step * 100 * MS)
        assert recovery.peak_ns == (250 * MS if step < 8 else 110 * MS)
