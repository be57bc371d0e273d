"""What came of each strike is told from what the shards wrote down, strike by strike."""

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from demo.model_world import CALM, ModelWorld
from demo.test_report import SERVER, SHARDS
from sidereal.demo.aftermath import aftermath, lingering, rollbacks, windows
from sidereal.demo.audit import Rehomed
from sidereal.demo.report import make_report
from sidereal.demo.report_view import show
from sidereal.demo.stays import Intervals
from sidereal.demo.striker import Struck
from sidereal.demo.strikes import Strike

HZ, S = 20.0, 10**9
BEGIN_NS = 100 * S


def i64(*values):
    return np.array(values, np.int64)


STRUCK = [
    Struck(Strike("pause-shard", 1, 4.0), "shard-1", 7, BEGIN_NS + S, undone_ns=BEGIN_NS + 5 * S),
    Struck(
        Strike("kill-replication", None, 0.5),
        "replication",
        8,
        BEGIN_NS + 20 * S,
        undone_ns=BEGIN_NS + 20 * S + S // 2,
        listening_ns=BEGIN_NS + 22 * S,
        served_ns=BEGIN_NS + 23 * S,
        stages_ms={"load": 3.0},
    ),
]


@pytest.fixture(scope="module")
def verdict(tmp_path_factory):
    calm = ModelWorld(tmp_path_factory.mktemp("audit"), 1, rates=CALM).run()
    return dataclasses.replace(
        calm,
        last_tick=1000,
        gaps=Intervals(
            np.array([1, 1, 2, 3, 4], np.uint64),
            i64(119, 130, 125, 140, 520),
            i64(180, 133, 184, 141, 529),
        ),
        rehomed=Rehomed(2, i64(3, 9), i64(60, 60), entered=i64(181, 185)),
    )


def test_a_strike_answers_for_what_follows_it_up_to_the_next(verdict):
    pause, kill = aftermath(STRUCK, verdict, BEGIN_NS, 100, HZ)
    assert (pause.second, pause.tick, pause.lasted_s) == (1.0, 120, 4.0)
    assert pause.stood_still == 2, "short gaps are handoffs'"
    assert pause.recovered_s == (185 - 120) / HZ
    assert (pause.rehomed, pause.oldest_state_ms, pause.restart) == (2, 450.0, None)
    assert (kill.stood_still, kill.rehomed) == (1, 0)
    assert (kill.restart.down_s, kill.restart.listening_s, kill.restart.served_s) == (2.0, 1.5, 2.5)


def test_where_nothing_was_struck_nothing_came_of_it(verdict):
    assert aftermath([], verdict, BEGIN_NS, 100, HZ) == windows([], BEGIN_NS, 100, HZ) == []


def test_a_window_lasts_until_a_while_after_what_was_done_is_undone():
    assert windows(STRUCK, BEGIN_NS, 100, HZ) == [(120, 300), (500, 640)]


TOGETHER = [
    Struck(Strike("kill-shard", 1, 0.0), "shard-1", 7, BEGIN_NS + 10 * S),
    Struck(
        Strike("kill-replication", None, 0.5),
        "replication",
        8,
        BEGIN_NS + 10 * S + S // 10,
        undone_ns=BEGIN_NS + 10 * S + S // 2,
        listening_ns=BEGIN_NS + 11 * S,
    ),
]


def test_where_a_shard_dies_with_the_server_a_gap_may_begin_with_the_last_snapshot():
    assert rollbacks(TOGETHER, BEGIN_NS, 100, HZ) == [(200, 300), (202, 302)]
    for alone in (TOGETHER[:1], TOGETHER[1:], STRUCK):
        assert rollbacks(alone, BEGIN_NS, 100, HZ) == []


@pytest.mark.parametrize(("served_s", "new"), [(15.6, True), (15.05, False), (None, True)])
def test_what_dies_before_a_slow_new_server_knows_it_goes_on_from_what_the_old_one_wrote(
    verdict, served_s, new
):
    """The next strike was due while the server read its journal: it came once that listened."""
    server = dataclasses.replace(
        TOGETHER[1],
        undone_ns=BEGIN_NS + 11 * S,
        listening_ns=BEGIN_NS + 15 * S,
        served_ns=0 if served_s is None else BEGIN_NS + round(served_s * S),
    )
    shard = dataclasses.replace(TOGETHER[0], struck_ns=BEGIN_NS + 15 * S + S // 10)
    both = [server, shard]
    assert rollbacks(both, BEGIN_NS, 100, HZ) == ([(202, 302), (302, 402)] if new else [])
    allowed = [line.allowed_s for line in aftermath(both, verdict, BEGIN_NS, 100, HZ)]
    assert allowed == [pytest.approx(4.9 + 4.1) if new else None, pytest.approx(4.1)]


def test_a_shard_belongs_to_the_server_that_died_last_even_if_one_before_never_had_all_shards(
    verdict,
):
    early = dataclasses.replace(
        TOGETHER[1],
        struck_ns=BEGIN_NS + S,
        undone_ns=BEGIN_NS + 2 * S,
        listening_ns=BEGIN_NS + 2 * S,
    )
    lines = aftermath([early, *TOGETHER], verdict, BEGIN_NS, 100, HZ)
    assert [line.allowed_s for line in lines[1:]] == pytest.approx([5.1, 5.0])


def test_a_rollback_excuses_what_lasts_until_the_strike_and_no_tick_that_a_shard_left_out(tmp_path):
    """Who stood still before the strike, and went on before it, is late without it."""
    world = ModelWorld(tmp_path, 1)
    gaps = world.run().gaps
    longest = int(np.argmax(gaps.last - gaps.first))
    judge, file = world.auditor.verdict, world.auditor.files()[0]
    file.step_ns[10:14] = 0
    over = judge(None, (), [(0, int(gaps.last.max()) + 1)])
    assert over.fault_gap_ticks == 0
    during = judge(None, (), [(0, int(gaps.last[longest]))])
    assert during.fault_gap_ticks >= (gaps.last - gaps.first + 1)[longest]
    assert over.shards[0].ticks_left_out == during.shards[0].ticks_left_out >= 4


@pytest.mark.parametrize(("last", "late"), [(300 + 99, False), (300 + 112, True)])
def test_a_shard_that_dies_with_the_server_is_late_a_lease_and_a_second_after_the_next_began(
    verdict, last, late
):
    """Allowed: 0.9 s from the server's strike to the next one, then 3 + 0.1 + 1 s."""
    gaps = Intervals(np.array([1], np.uint64), i64(240), i64(last))
    gone = dataclasses.replace(verdict, gaps=gaps)
    lines = aftermath(TOGETHER, gone, BEGIN_NS, 100, HZ)
    assert [line.allowed_s for line in lines] == pytest.approx([5.1, 5.0])
    report = make_report(gone, SERVER, SHARDS, seconds=50.0, tick_hz=HZ, strikes=lines)
    reasons = [line for line in report.why_not if "stood still" in line]
    assert len(reasons) == late
    assert all("at most 5.00 s" in line for line in reasons)


def alone(kind, lasts_s=0.0, way=""):
    return [Struck(Strike(kind, 1, lasts_s, way=way), "shard-1", 7, BEGIN_NS + 10 * S)]


@pytest.mark.parametrize(
    ("strikes", "allowed_s"),
    [
        (alone("kill-shard"), 4.1),
        (alone("pause-shard", 4.0), 4.1),
        (alone("partition", 4.0, "both"), 4.1),
        (alone("partition", 4.0, "in"), 5.1),  # it is noticed after two heartbeats
        (alone("partition", 1.0, "in"), None),
        (STRUCK[1:], None),
    ],
)
def test_what_costs_a_shard_its_life_is_late_a_lease_the_allowance_and_a_second_later(
    verdict, strikes, allowed_s
):
    (line,) = aftermath(strikes, verdict, BEGIN_NS, 100, HZ)
    assert line.allowed_s == (None if allowed_s is None else pytest.approx(allowed_s))


@pytest.mark.parametrize(("last", "late"), [(381, False), (382, True)])
def test_a_dead_shard_that_is_missed_for_too_long_makes_a_run_not_ok(verdict, last, late):
    gaps = Intervals(np.array([1, 2], np.uint64), i64(301, 370), i64(last, 420))
    gone = dataclasses.replace(verdict, gaps=gaps)
    lines = aftermath(alone("kill-shard"), gone, BEGIN_NS, 100, HZ)
    assert [line.stood_still for line in lines] == [1], "another's gap is none of the strike's"
    report = make_report(gone, SERVER, SHARDS, seconds=50.0, tick_hz=HZ, strikes=lines)
    assert any("stood still" in reason for reason in report.why_not) == late


def test_a_gap_that_begins_when_all_is_over_is_not_the_strikes(verdict):
    gaps = Intervals(np.array([1, 2], np.uint64), i64(240, 900), i64(399, 905))
    lines = aftermath(TOGETHER, dataclasses.replace(verdict, gaps=gaps), BEGIN_NS, 100, HZ)
    assert [line.stood_still for line in lines] == [0, 1]
    assert lines[1].recovered_s == (400 - 302) / HZ


def test_a_gap_that_begins_when_a_new_server_has_its_shards_is_not_its_predecessors_death(verdict):
    gaps = Intervals(np.array([1, 2], np.uint64), i64(559, 561), i64(566, 620))
    (_, kill) = aftermath(STRUCK, dataclasses.replace(verdict, gaps=gaps), BEGIN_NS, 100, HZ)
    assert (kill.stood_still, kill.recovered_s) == (1, (567 - 500) / HZ)


@pytest.mark.parametrize(
    ("first", "last", "late"),
    [
        (700, 801, False),  # 5.1 s
        (700, 802, True),
        (310, 413, True),  # in the strike's window, and not its own
        (119, 301, False),  # until it is undone, and what is allowed
        (119, 302, True),
    ],
)
def test_who_stands_still_for_longer_than_any_fault_may_cost_is_named(verdict, first, last, late):
    gaps = Intervals(np.array([1, 9], np.uint64), i64(130, first), i64(133, last))
    long = dataclasses.replace(verdict, gaps=gaps)
    said = lingering(STRUCK, long, BEGIN_NS, 100, HZ)
    assert len(said) == late
    assert all(f": 1, the longest 9 in ticks {first}..{last};" in line for line in said)


def test_a_short_cut_before_the_server_dies_excuses_nothing():
    cut = dataclasses.replace(TOGETHER[0], strike=Strike("partition", 1, 1.0))
    assert rollbacks([cut, TOGETHER[1]], BEGIN_NS, 100, HZ) == []


def test_the_report_shows_each_strike(verdict):
    lines = aftermath(STRUCK, verdict, BEGIN_NS, 100, HZ)
    report = make_report(verdict, SERVER, SHARDS, seconds=50.0, tick_hz=HZ, strikes=lines)
    text = io.StringIO()
    show(report, Console(file=text))
    shown = text.getvalue()
    assert "pause-shard" in shown
    assert "served again after 2.5 s (load 3 ms)" in shown
