"""What a shard simulated last is known to the server, however late the shard was."""

import numpy as np

from runtime.table import SETTINGS, Table, grown
from runtime.test_line import kill_and_start_again
from sidereal.runtime.clock import now_ns
from sidereal.world.rules import NS_PER_S


def test_a_late_shards_last_updates_are_sent_when_it_leaves():
    world = Table("one")
    grown(world)
    (shard,) = world.shards
    shard.spawn(np.array([[20.0, 20.0], [30.0, 70.0]]), np.array([[3.0, 0.0], [0.0, -4.0]]))
    books = world.server.manager.books
    world.until(lambda: len(books.table) == 3 and (shard.core.holdings.table.phase == 0).all())
    late_ns = 5 * SETTINGS.rules.tick_ns
    for _ in range(2):  # of these two ticks the first one's updates are sent, or neither's
        tick = shard.last_tick + 1
        step = shard.begin(tick)
        step.position += 1.0
        assert shard.end(step, now=now_ns() + late_ns)
    here = shard.core.holdings.table
    ids, place, ticks = here.ids.copy(), here.position.copy(), here.tick.copy()
    assert (ticks == tick).all()
    shard.close()
    world.shards.clear()
    world.until(lambda: all(info.link is None for info in books.shards))
    slots = books.table.slots(ids)
    assert (books.table.tick[slots] == ticks).all()
    assert np.abs(books.table.position[slots] - place).max() < 0.01
    world.close()


def test_a_shard_begins_with_the_present_tick_and_is_not_late_for_those_before_it_came(table):
    world = table("one")
    books = world.server.manager.books
    while books.tick_at(now_ns()) < 8:
        world.server.step()
    world.until(lambda: world.shards[0].last_tick > 0)
    assert world.shards[0].last_tick >= 8


def test_in_a_world_that_begins_anew_a_shard_does_not_wait_for_the_tick_at_which_it_was(table):
    """A server without a journal was started again, after an hour."""
    world = table("one")
    world.server.manager.books.origin_ns -= 3600 * NS_PER_S
    (shard,) = world.shards
    world.until(lambda: shard.last_tick > 3600 * shard.rules.tick_hz)
    was = shard.core.session.incarnation
    kill_and_start_again(world)
    world.until(lambda: shard.registered and shard.core.session.incarnation != was)
    (entity,) = shard.spawn(np.array([[20.0, 20.0]]), np.array([[3.0, 0.0]])).tolist()
    books = world.server.manager.books
    world.until(lambda: books.slot_of(entity) is not None)
    began = int(books.table.tick[books.slot_of(entity)])
    world.until(lambda: books.table.tick[books.slot_of(entity)] > began + 20)
    assert shard.last_tick < 1000
    assert shard.ticks_skipped == 0


def test_a_tick_that_was_skipped_counts_once_however_often_the_next_was_asked_for(table):
    world = table("one")
    grown(world)
    (shard,) = world.shards
    late = now_ns() + 3 * NS_PER_S // 2  # by more than is caught up, and within the lease
    before, skipped = shard.last_tick, shard.ticks_skipped
    tick = shard.core.clock.tick_at(late)
    assert [shard.due(late) for _ in range(3)] == [tick] * 3
    shard.end(shard.begin(tick))
    assert shard.ticks_skipped - skipped == tick - before - 1
