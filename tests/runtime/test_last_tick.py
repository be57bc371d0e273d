"""What a shard simulated last is known to the server, however late the shard was."""

import numpy as np

from runtime.table import SETTINGS, Table, grown
from sidereal.runtime.clock import now_ns


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
