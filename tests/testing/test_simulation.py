"""Whole lives of clusters under swarms of faults, each told by its seed; all must come to rest."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from sidereal.errors import ConfigError
from sidereal.replication import leases
from sidereal.testing import campaign
from sidereal.testing.coverage import Coverage
from sidereal.testing.faults import BY_NAME, FAULTS, chosen
from sidereal.testing.observer import Violation
from sidereal.testing.phases import PHASES
from sidereal.testing.plan import draw
from sidereal.testing.shrink import shrink
from sidereal.testing.simulation import Simulation
from sidereal.testing.strikes import STRIKES


@pytest.mark.parametrize("seed", range(8))
def test_a_swarm_of_faults_leaves_nothing_lost_doubled_or_stuck(seed):
    outcome = Simulation(draw(seed)).run()
    assert outcome.violation is None, outcome.violation
    assert outcome.at_s >= 60
    assert outcome.handoffs >= 50
    assert outcome.lease_ends + outcome.fences >= 1


def test_without_faults_nothing_strikes_and_no_lease_ends():
    outcome = Simulation(draw(1, ())).run()
    assert outcome.violation is None, outcome.violation
    assert not outcome.struck
    assert outcome.lease_ends == outcome.fences == outcome.restarts == 0


def test_a_seed_lives_the_same_life_each_time():
    plan = replace(draw(3), seconds=15.0)
    one, other = Simulation(plan).run(), Simulation(plan).run()
    assert one.digest == other.digest
    assert one.struck == other.struck
    assert Simulation(replace(plan, seed=4)).run().digest != one.digest


def test_what_breaks_is_named_and_shrinks_to_a_story(monkeypatch):
    def hasty(books, now):
        return [
            info for info in books.shards if now - info.answered_ns > books.settings.lease_ns / 2
        ]

    monkeypatch.setattr(leases, "dead", hasty)
    outcome = Simulation(draw(0)).run()
    assert outcome.violation is not None
    assert outcome.violation.invariant == "no takeover within a lease"
    shrunk = shrink(outcome, runs_max=6)
    assert shrunk.outcome.violation is not None
    assert len(shrunk.outcome.plan.strikes) <= len(outcome.plan.strikes)
    assert shrunk.outcome.plan.seconds < outcome.plan.seconds
    assert str(shrunk.outcome.violation) in shrunk.lines[-1]
    assert len(shrunk.lines) > 3


def test_what_broke_in_another_process_is_told_here():
    broke = Violation("nothing is dropped", "7 is in no record", [7], [(0, 1)])
    here = pickle.loads(pickle.dumps(broke))
    assert (here.invariant, here.story) == (broke.invariant, broke.story)
    assert (here.entities, here.sectors) == ((7,), ((0, 1),))


def test_each_fault_that_is_aimed_can_strike_and_each_phase_is_known():
    assert [fault.number for fault in FAULTS] == list(range(1, len(FAULTS) + 1))
    assert set(STRIKES) == {fault.name for fault in FAULTS if fault.aimed}
    assert all(set(fault.phases) <= set(PHASES) for fault in FAULTS)


def test_faults_are_chosen_by_name():
    assert chosen("all") == tuple(BY_NAME)
    assert chosen("none") == ()
    assert chosen("pause, loss") == ("loss", "pause")
    with pytest.raises(ConfigError, match="no fault 'flood'"):
        chosen("flood")


def test_only_chosen_faults_strike():
    strikes = {
        strike.fault for seed in range(20) for strike in draw(seed, ("pause", "slow")).strikes
    }
    assert strikes == {"pause", "slow"}


def test_a_table_says_what_struck_too_seldom_and_what_never():
    coverage = Coverage()
    coverage.strike(17, ["idle"] * 20)
    coverage.strike(17, ["asked"])
    table = coverage.table()
    assert "NOT STRUCK" in table
    row = next(line for line in table.splitlines() if line.startswith("17 "))
    assert "20" in row.split()
    assert "1*" in row.split()
    thin = {(fault.name, phase): count for fault, phase, count in coverage.thin()}
    assert thin["pause", "asked"] == 1
    assert ("pause", "idle") not in thin
    assert ("loss", "idle") in thin


def test_a_campaign_adds_up(monkeypatch):
    monkeypatch.setattr(
        campaign, "draw", lambda seed, faults, **more: replace(draw(seed), seconds=5.0)
    )
    told = []
    report = campaign.run(
        range(3), ("pause",), progress=lambda report, outcome: told.append(outcome)
    )
    assert report.seeds == len(told) == 3
    assert np.isclose(report.virtual_s, sum(outcome.at_s for outcome in told))
    assert not report.failed
    assert "3 seeds" in report.summary()
