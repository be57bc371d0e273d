"""A world for each kind of strike: nothing is lost, nothing twice; the report says what came."""

import pytest
from rich.console import Console

from sidereal.demo.launcher import play
from sidereal.demo.options import DemoOptions

pytestmark = pytest.mark.processes

LEASE_AND_ALLOWANCE_S = 3.1


def struck(tmp_path, kind, seconds):
    options = DemoOptions(entities=300, shards=3, seconds=seconds, chaos=(kind,))
    with (tmp_path / "log").open("w") as log:
        report = play(options, console=Console(file=log))
    # A machine that is busy with other things may be late, but must not lose or double.
    late = ("gaps last", "left out", "were skipped", "stood still")
    judged = [line for line in report.why_not if not any(words in line for words in late)]
    assert judged == []
    assert (report.lost, report.duplicated) == (0, 0)
    assert report.live == 300
    kinds = ["kill-shard", "kill-replication"] if kind == "kill-both" else [kind]
    assert [strike.kind for strike in report.strikes] == kinds * 2
    assert report.strikes[0].second < report.strikes[1].second
    return report


def test_killed_shards_are_missed_for_a_lease_and_come_again(tmp_path):
    report = struck(tmp_path, "kill-shard", 19.0)
    assert report.shards_lost == 2
    assert len(report.shards) == 3, "another process has each name"
    assert all(strike.rehomed and strike.stood_still for strike in report.strikes)


def test_a_killed_replication_server_costs_no_entity_its_shard(tmp_path):
    report = struck(tmp_path, "kill-replication", 16.0)
    assert report.shards_lost == report.rehomed.entities == report.repeated_ticks == 0
    assert report.position_error_max < 1e-6
    assert all(strike.restart.served_s is not None for strike in report.strikes)
    assert all(strike.restart.stages_ms["replay"] > 0 for strike in report.strikes)


def test_a_shard_that_was_paused_for_longer_than_its_lease_starts_again_from_nothing(tmp_path):
    report = struck(tmp_path, "pause-shard", 18.0)
    assert report.shards_lost == 0
    assert all(strike.lasted_s > LEASE_AND_ALLOWANCE_S for strike in report.strikes)
    assert all(strike.rehomed for strike in report.strikes)


def test_a_short_partition_costs_no_entity_its_shard_and_a_long_one_all(tmp_path):
    report = struck(tmp_path, "partition", 17.0)
    short, long = sorted(report.strikes, key=lambda strike: strike.lasted_s)
    assert short.lasted_s < LEASE_AND_ALLOWANCE_S < long.lasted_s
    assert short.rehomed == 0
    assert long.rehomed > 0


def test_a_shard_that_dies_with_the_server_is_rehomed_a_lease_after_the_new_one_began(tmp_path):
    report = struck(tmp_path, "kill-both", 26.0)
    assert report.shards_lost == 2
    for shard, server in zip(report.strikes[::2], report.strikes[1::2], strict=True):
        assert server.allowed_s >= LEASE_AND_ALLOWANCE_S + 1.0
        assert shard.rehomed + server.rehomed > 0
        began_s = server.restart.down_s - server.restart.listening_s
        assert server.recovered_s - began_s > LEASE_AND_ALLOWANCE_S
        # Nothing had been heard of it since: its entities go on from a record or snapshot.
        assert server.oldest_state_ms < 5_500
