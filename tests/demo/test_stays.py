"""Stays put together from what shards wrote: who held an entity, from when, to when."""

import numpy as np

from demo.test_recorder import tick, u32, u64
from sidereal.demo import audit_file as af
from sidereal.demo.recorder import Recorder
from sidereal.demo.stays import holes_after_torn, overlaps, stays_of


def shard(directory, name):
    return Recorder(directory, name, 7, ticks_max=100)


def arrive(rec, at, id_, since, cause=af.HANDOFF, version=1):
    rec.entered(u64(id_), u32(version), cause)
    tick(rec, at, u64(id_), since=u32(since))


def stays_at(*recorders, done=()):
    for rec in done:
        rec.file["done"] = 1
    stays = stays_of([rec.file for rec in recorders])
    columns = (stays.shard, stays.first, stays.last, stays.torn)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_a_handoff_is_two_stays_and_the_gap_belongs_to_the_second(tmp_path):
    a, b = shard(tmp_path, "a"), shard(tmp_path, "b")
    arrive(a, 1, 5, 0, af.SPAWN)
    for t in (2, 3):
        tick(a, t, u64(5))
    a.crossed(u64(5), u32(1), 300)
    tick(a, 4, u64(5), pending=np.array([True]))
    a.released(u64(5))
    arrive(b, 6, 5, 3)
    tick(a, 7, u64())
    assert stays_at(a, b, done=(a, b)) == [(0, 1, 3, False), (1, 4, 6, False)]


def test_a_crossing_that_was_kept_interrupts_nothing(tmp_path):
    a = shard(tmp_path, "a")
    arrive(a, 1, 5, 0, af.SPAWN)
    a.crossed(u64(5), u32(1), 100)
    tick(a, 2, u64(5), pending=np.array([True]))
    a.kept(u64(5), u32(2), u32(2), 200)
    tick(a, 3, u64(5))
    assert stays_at(a, done=(a,)) == [(0, 1, 3, False)]


def test_a_dead_shard_s_last_stay_is_torn_and_what_came_before_is_not(tmp_path):
    a = shard(tmp_path, "a")
    arrive(a, 1, 5, 0, af.SPAWN)
    a.left(u64(5), u32(1), u32(1), 100)
    arrive(a, 4, 5, 2, af.MIGRATION)
    tick(a, 5, u64(5))
    assert stays_at(a) == [(0, 1, 1, False), (0, 3, 5, True)]


def test_who_comes_back_and_asks_to_go_on_at_once_is_not_held_since_the_first_time(tmp_path):
    """The shard was fenced meanwhile: what it had lost was no longer its own."""
    a, b = shard(tmp_path, "a"), shard(tmp_path, "b")
    arrive(a, 1, 5, 0, af.SPAWN)
    a.left(u64(5), u32(1), u32(1), 150, lost=True)
    arrive(b, 3, 5, 1, af.REHOMED)
    tick(a, 3, u64())
    b.left(u64(5), u32(1), u32(3), 350, lost=True)
    a.entered(u64(5), u32(1), af.REHOMED)
    a.crossed(u64(5), u32(1), 370)
    assert stays_at(a, b, done=(a, b)) == [(0, 1, 1, True), (1, 2, 3, True)]


def test_a_stay_reaches_no_further_than_it_was_simulated(tmp_path):
    a = shard(tmp_path, "a")
    arrive(a, 1, 5, 0, af.SPAWN)
    a.left(u64(5), u32(1), u32(1), 100)
    for t in range(2, 9):
        tick(a, t, u64())
    a.kept(u64(5), u32(1), u32(1), 850)
    assert stays_at(a) == [(0, 1, 1, True)]
    tick(a, 9, u64(5), since=u32(1))
    assert stays_at(a) == [(0, 1, 9, True)]


def test_what_a_fenced_shard_held_is_torn_though_it_lives_on(tmp_path):
    a = shard(tmp_path, "a")
    arrive(a, 1, 5, 0, af.SPAWN)
    tick(a, 2, u64(5))
    a.left(u64(5), u32(1), u32(2), 250, lost=True)
    arrive(a, 9, 5, 1, af.REHOMED)
    assert stays_at(a, done=(a,)) == [(0, 1, 2, True), (0, 2, 9, False)]


def test_overlaps_and_holes_are_those_of_one_entity(tmp_path):
    a, b, c = (shard(tmp_path, name) for name in "abc")
    arrive(a, 1, 5, 0, af.SPAWN)
    arrive(b, 1, 6, 0, af.SPAWN)
    for t in range(2, 6):
        tick(a, t, u64(5))
        tick(b, t, u64(6))
    c.entered(u64(5, 6), u32(1, 1), af.REHOMED)
    tick(c, 9, u64(5, 6), since=u32(3, 7))
    stays = stays_of([a.file, b.file, c.file])
    twice = overlaps(stays)
    assert (twice.id.tolist(), twice.first.tolist(), twice.last.tolist()) == ([5], [4], [5])
    holes = holes_after_torn(stays, np.full(len(stays), 99))
    assert (holes.id.tolist(), holes.first.tolist(), holes.last.tolist()) == ([6], [6], [7])
    count, _ = twice.per_tick(3, 4)
    assert count.tolist() == [0, 1, 1, 0]
