"""The demo with real processes: clean where nothing is wrong, and not where something is."""

import sys
from pathlib import Path

import pytest
from rich.console import Console

from sidereal.demo.launcher import play
from sidereal.demo.options import DemoOptions

pytestmark = pytest.mark.processes

SABOTEUR = Path(__file__).with_name("saboteur.py")


def small(**options):
    return DemoOptions(**{"entities": 600, "shards": 2, "seconds": 6.0, **options})


@pytest.mark.parametrize(
    ("kind", "says", "lost"),
    [
        ("drop", "is simulated by nobody", 1),
        ("double", "is simulated twice", 0),
        ("roll-back", "is simulated twice", 0),
    ],
)
def test_sabotage_in_a_real_world_is_caught_and_named(tmp_path, kind, says, lost):
    note = tmp_path / "note"
    command = (sys.executable, str(SABOTEUR), kind, str(note))
    with (tmp_path / "log").open("w") as log:
        report = play(small(), shard_command=command, console=Console(file=log))
    entity, _tick = note.read_text().split()
    assert not report.ok
    named = any(f"entity {entity} {says}" in line for line in report.why_not)
    if kind == "drop" and report.server_audit.differences:
        # The running server may have missed it first, said so, and sent it again.
        assert any("audit found" in line for line in report.why_not), report.why_not
    else:
        assert named, report.why_not
        assert report.lost == lost


def test_a_flock_is_audited_but_for_its_positions(tmp_path):
    with (tmp_path / "log").open("w") as log:
        report = play(small(simulation="flock"), console=Console(file=log))
    assert (report.lost, report.duplicated, report.repeated_ticks) == (0, 0, 0)
    assert report.created == report.live == 600
    assert report.handoffs > 0
    assert not report.position_compared


def test_a_world_of_real_processes_is_clean(tmp_path):
    with (tmp_path / "log").open("w") as log:
        report = play(small(shards=3), console=Console(file=log))
    # A machine that is busy with other things may be late, but must not lose or double.
    late = ("gaps last", "left out", "were skipped")
    judged = [line for line in report.why_not if not any(words in line for words in late)]
    assert judged == []
    assert (report.lost, report.duplicated, report.repeated_ticks) == (0, 0, 0)
    assert report.created == report.live + report.destroyed
    assert report.position_error_max < 1e-6
    assert report.handoffs > 0
    assert len(report.shards) == 3


def test_a_world_over_a_bad_network_is_late_and_clean(tmp_path):
    with (tmp_path / "log").open("w") as log:
        report = play(small(netsim="awful"), console=Console(file=log))
    assert report.why_not == []
    assert report.ok
    assert (report.lost, report.duplicated, report.repeated_ticks) == (0, 0, 0)
    assert report.handoff_ms.p50 > 300, "two ways of 150 ms"
