"""A report is ok exactly when every bound is kept, and gives a reason when it is not."""

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from demo.model_world import CALM, ModelWorld
from sidereal.demo.report import ServerFigures, ShardFigures, make_report
from sidereal.demo.report_view import show

SERVER = ServerFigures(
    migrations=2,
    activations=3,
    deactivations=1,
    updates=1200,
    bytes=9000,
    tick_overruns=1,
    custody_oldest_s=0.2,
    memory_mb=40.0,
)
SHARDS = [ShardFigures(id=k + 1, pid=100 + k, sectors=5, memory_mb=30.0) for k in range(3)]

KEYS = {
    "ok": bool,
    "seconds": float,
    "ticks": int,
    "tick_overruns": int,
    "entities_peak": int,
    "created": int,
    "destroyed": int,
    "live": int,
    "lost": int,
    "duplicated": int,
    "position_error_max": float,
    "repeated_ticks": int,
    "skipped_ticks": dict,
    "transitions_same_shard": int,
    "handoffs": int,
    "handoffs_per_s": float,
    "handoff_ms": dict,
    "migrations": int,
    "migration_freeze_ms": dict,
    "activations": int,
    "deactivations": int,
    "updates_per_s": float,
    "imbalance": dict,
    "bytes_per_s": float,
    "shards": list,
    "memory_mb": dict,
}


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    return ModelWorld(tmp_path_factory.mktemp("audit"), 1, rates=CALM).run()


def report_of(verdict, server=SERVER, **more):
    return make_report(verdict, server, SHARDS, seconds=3.0, tick_hz=20.0, **more)


def text_of(report):
    out = io.StringIO()
    show(report, Console(file=out, width=200))
    return out.getvalue()


def altered(verdict, **parts):
    for name, fields in parts.items():
        value = fields
        if isinstance(fields, dict):
            value = dataclasses.replace(getattr(verdict, name), **fields)
        verdict = dataclasses.replace(verdict, **{name: value})
    return verdict


def test_a_clean_run_is_ok_and_has_every_key(calm):
    report = report_of(calm)
    assert report.why_not == []
    assert report.ok
    read = json.loads(report.to_json())
    assert {name: type(read.get(name)) for name in KEYS} == KEYS
    assert read["ticks"] == 60
    assert read["entities_peak"] <= 30
    assert read["created"] == read["live"] + read["destroyed"]
    assert set(read["skipped_ticks"]) == {"p50", "p99", "max"}
    assert set(read["handoff_ms"]) == {"p50", "p95", "p99", "max"}
    assert set(read["migration_freeze_ms"]) == {"p50", "p99", "max"}
    assert set(read["imbalance"]) == {"mean", "max"}
    assert 1.0 <= read["imbalance"]["mean"] <= read["imbalance"]["max"]
    assert set(read["shards"][0]) == {"id", "name", "pid", "sectors", "entities", "tick_ms"}
    assert [shard["name"] for shard in read["shards"]] == ["s0", "s1", "s2"]
    assert all(line == line.rstrip() for line in text_of(report).splitlines())
    assert set(read["shards"][0]["tick_ms"]) == {"p50", "p99"}
    assert set(read["memory_mb"]) == {"replication", "shards"}
    assert set(read["server_audit"]) == {"sectors", "differences"}
    assert read["updates_per_s"] == 400
    assert read["tick_overruns"] == 1
    assert "ok: every entity" in text_of(report)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ({"census": {"position_error_max": 2e-6}}, "position error 2e-06"),
        ({"census": {"position_error_max": float("inf")}}, "position error inf"),
        ({"census": {"repeated": 3}}, "3 ticks were repeated"),
        ({"gap_lengths": np.full(100, 5)}, "gaps last 5 ticks at p99"),
        ({"gap_ticks": 60}, "3.33% of all ticks were skipped"),
        ({"wrong": ["from tick 3: 1 too many"]}, "from tick 3"),
    ],
)
def test_each_broken_bound_is_a_reason(calm, broken, says):
    report = report_of(altered(calm, **broken))
    assert not report.ok
    assert len(report.why_not) == 1
    assert says in report.why_not[0]
    assert says in text_of(report)
    json.loads(report.to_json())


SLOW = dataclasses.replace(SERVER, slowest_commit_us=480_000, slowest_commit_tick=32)
"""Its worlds begin in tick 10."""


def test_the_slowest_commit_is_told_with_its_time_and_is_no_reason_by_itself(calm):
    report = report_of(calm, SLOW)
    assert report.ok
    assert json.loads(report.to_json())["slowest_commit"] == {"ms": 480.0, "second": 1.1}
    assert "slowest commit 480 ms, at 1.1 s" in text_of(report)
    unseen = report_of(calm)
    assert json.loads(unseen.to_json())["slowest_commit"] is None
    assert "commit" not in text_of(unseen)


@pytest.mark.parametrize(("gap_ticks", "named"), [(10, True), (19, True), (20, False)])
def test_late_handoffs_are_put_down_to_a_commit_that_took_half_of_it(calm, gap_ticks, named):
    late = altered(calm, gap_lengths=np.full(100, gap_ticks))
    (line,) = report_of(late, SLOW).why_not
    assert f"gaps last {gap_ticks} ticks" in line
    assert ("the disk was busy: a commit took 0.48 s at 1.1 s" in line) == named
    assert "disk" not in report_of(late).why_not[0]


def test_where_nothing_could_be_foreseen_no_position_is_judged_and_the_report_says_so(calm):
    blind = {"compared": False, "position_error_max": float("nan")}
    report = report_of(altered(calm, census=blind))
    assert report.ok
    assert (report.position_compared, report.position_error_max) == (False, None)
    assert "not compared" in text_of(report)


def test_a_difference_that_the_running_server_found_is_a_reason(calm):
    verdict = calm
    found = dataclasses.replace(SERVER, audit_sectors=900, audit_differences=2)
    report = make_report(verdict, found, SHARDS, seconds=10.0, tick_hz=20.0)
    assert not report.ok
    assert "audit found 2 differences" in report.why_not[-1]
    assert report.server_audit.sectors == 900


def test_old_custody_idle_shards_and_the_launcher_s_own_problems_are_reasons(calm):
    old = dataclasses.replace(SERVER, custody_oldest_s=1.5)
    assert "held an entity for 1.5 s" in report_of(calm, old).why_not[0]
    lazy = [dataclasses.replace(run, ticks_left_out=5) for run in calm.shards]
    assert "s0 left out 5 of its" in report_of(altered(calm, shards=lazy)).why_not[0]
    early = [dataclasses.replace(run, last_tick=60) for run in calm.shards]
    assert "s0 ended at tick 60, not 69" in report_of(altered(calm, shards=early)).why_not[0]
    assert report_of(calm, problems=["interrupted"]).why_not == ["interrupted"]


def test_after_a_kill_position_errors_are_not_judged_and_rehoming_is_told(tmp_path):
    world = ModelWorld(tmp_path, 2)
    world.kills[40] = (1, False)
    verdict = world.run()
    report = report_of(altered(verdict, census={"position_error_max": 0.5}))
    assert not any("position" in line for line in report.why_not)
    assert report.shards_lost == 1
    assert report.rehomed.entities > 0
    assert report.rehomed.oldest_state_ms == verdict.rehomed.state_age_ticks.max() * 50.0
    assert report.repeated_ticks >= verdict.rehomed.state_age_ticks.sum() > 0
    assert report.lost == 0
    assert "1 shard lost" in text_of(report)


def test_a_run_in_which_nothing_happened_still_makes_a_report(tmp_path):
    world = ModelWorld(tmp_path, 3, ticks=1)
    world.auditor.stop_at(10)
    report = report_of(world.judge())
    assert not report.ok
    assert report.live == 0
    assert report.lost == 30
    assert report.handoff_ms.p50 is None
    assert "none measured" in text_of(report)
    json.loads(report.to_json())


def test_lateness_is_reported_and_not_judged_where_the_network_was_made_bad(calm):
    late = dataclasses.replace(calm, gap_lengths=np.full(100, 60), gap_ticks=calm.tally.alive // 4)
    assert len(report_of(late).why_not) == 2
    report = report_of(late, timely=False)
    assert report.ok
    assert report.skipped_share > 0.2
    lost = altered(late, census={"lost": np.array([7], np.uint64)})
    found = dataclasses.replace(SERVER, audit_differences=1)
    assert not report_of(lost, found, timely=False).ok
