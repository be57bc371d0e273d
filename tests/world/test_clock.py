"""World time away from the server follows it, and never runs backwards."""

from random import Random

from sidereal.world.clock import SLEW_PER_NS, WorldClock

MS = 1_000_000
TICK = 50 * MS


def test_the_sample_with_the_shortest_trip_wins():
    clock = WorldClock(origin_ns=0, tick_ns=TICK)
    clock.sample(sent_ns=0, server_ns=1_000 * MS, now=40 * MS)
    assert clock.server_ns(40 * MS) == 1_020 * MS
    for step in range(1, 200):
        now = 40 * MS + step * 100 * MS
        clock.sample(now - 2 * MS, now - 1 * MS + 965 * MS, now)
    assert abs(clock.server_ns(now) - (now + 965 * MS)) <= 1 * MS


def test_time_never_jumps_by_more_than_the_slew():
    random = Random(3)
    clock = WorldClock(origin_ns=0, tick_ns=TICK)
    clock.sample(0, 500 * MS, 2 * MS)
    before_now, before = 2 * MS, clock.server_ns(2 * MS)
    for step in range(1, 500):
        now = 2 * MS + step * 20 * MS
        trip = random.randrange(1, 80) * MS
        clock.sample(now - trip, now - trip // 2 + 470 * MS, now)
        gone = clock.server_ns(now) - before
        assert abs(gone - (now - before_now)) <= (now - before_now) * SLEW_PER_NS + 1
        assert gone > 0
        before_now, before = now, clock.server_ns(now)


def test_a_tick_begins_when_the_clock_says_so():
    clock = WorldClock(origin_ns=7 * MS, tick_ns=TICK)
    clock.sample(10 * MS, 300 * MS, 12 * MS)
    for tick in (1, 5, 1000):
        begins = clock.begins_ns(tick)
        assert clock.tick_at(begins) == tick
        assert clock.tick_at(begins - 1) == tick - 1
