"""The picture of a run: counts since it began, and what is new since the last look."""

import numpy as np

from sidereal.demo.measure import Measure
from sidereal.demo.watch import Watch
from sidereal.wire.operator_messages import SectorRows, ShardStatus, Status


def shard(number):
    fields = dict.fromkeys(ShardStatus.__struct_fields__, 0)
    fields |= {"shard_id": number, "name": f"shard-{number}", "alive": True, "draining": False}
    return ShardStatus(**fields)


def status(tick, shards, **counters):
    none = {
        name: np.empty((0, width) if width > 1 else 0, kind)
        for name, (kind, width) in SectorRows.LAYOUT.items()
    }
    return Status(
        request=1,
        tick=tick,
        term=1,
        entities=7,
        scheduled=2,
        custody=0,
        custody_oldest_ns=0,
        shards=[shard(number) for number in shards],
        sectors=SectorRows(**none),
        counters=counters,
        freezes_ns=[],
        rehomed_age_ticks_max=0,
    )


def test_what_happened_before_the_run_is_not_counted():
    watch = Watch()
    first = watch.snapshot(status(90, [0], activations=39), 100, 199, 20.0)
    later = watch.snapshot(status(119, [0], activations=60, handoffs=5), 100, 199, 20.0)
    assert (first.activations, first.tick, first.seconds) == (0, 0, 0.0)
    assert (later.activations, later.handoffs) == (21, 5)
    assert (later.tick, later.ticks, later.seconds) == (20, 100, 1.0)


def test_a_shard_that_is_gone_is_noted_once():
    watch = Watch()
    watch.note("killed shard-1 (pid 7)")
    told = [
        watch.snapshot(status(tick, shards), 1, 100, 20.0).notes
        for tick, shards in ((10, [0, 1]), (11, [0]), (12, [0]))
    ]
    assert told == [["killed shard-1 (pid 7)"], ["shard-1 is dead; its sectors went to others"], []]


def test_what_is_spawned_ahead_is_not_shown_as_alive():
    assert Watch().snapshot(status(10, [0]), 1, 100, 20.0).entities == 5


def test_of_all_looks_at_a_run_the_slowest_commit_is_kept_and_none_from_before_it():
    measure = Measure(None)
    measure.first_tick = 100
    for tick, took_us in ((99, 900_000), (105, 20_000), (130, 480_000), (131, 30_000)):
        measure.look(status(tick + 1, [0], commit_max_us=took_us, commit_max_tick=tick))
    figures = measure.server(status(140, [0]))
    assert (figures.slowest_commit_us, figures.slowest_commit_tick) == (480_000, 130)
