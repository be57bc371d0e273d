"""Whole lives of clusters under swarms of faults, each told by its seed; all must come to rest."""

import pickle
from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from sidereal.errors import ConfigError
from sidereal.replication import leases
from sidereal.shard.doomed import Doomed
from sidereal.testing import campaign
from sidereal.testing.cluster import Cluster
from sidereal.testing.coverage import Coverage
from sidereal.testing.faults import BY_NAME, FAULTS, chosen
from sidereal.testing.observer import Violation
from sidereal.testing.phases import AIMED_AT, PHASES, Phases
from sidereal.testing.plan import OFTENER, draw
from sidereal.testing.plan import STRIKES as STRIKES_A_SEED
from sidereal.testing.shrink import shrink
from sidereal.testing.simulation import Simulation
from sidereal.testing.strikes import STRIKES
from sidereal.wire import operator_messages as om


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


def test_a_wish_to_end_a_shadow_that_outlives_it_is_found(monkeypatch):
    monkeypatch.setattr(Doomed, "forget_gone", lambda self, table: None)
    for seed in range(3, 11):
        violation = Simulation(draw(seed)).run().violation
        if violation is not None:
            break
    assert violation is not None
    assert violation.invariant == "ends are wished"


def test_a_wish_to_end_what_is_undecided_that_is_forgotten_is_found(monkeypatch):
    monkeypatch.setattr(Doomed, "add", lambda self, table, *ids: None)
    for seed in range(3, 11):
        violation = Simulation(draw(seed)).run().violation
        if violation is not None:
            break
    assert violation is not None
    assert violation.invariant == "everything rests"
    assert "which its game has ended" in str(violation)


def two_that_rest():
    """A world of one shard, that shard, and the ids of two entities that it has."""
    cluster = Cluster(1, shards=1)
    cluster.run(0.5)
    ids = cluster.spawn(np.full((2, 2), 50.0), np.zeros((2, 2)))
    cluster.run(0.5)
    (shard,) = cluster.shards
    return cluster, shard, ids


def test_an_end_that_no_game_wanted_is_found():
    cluster, shard, ids = two_that_rest()
    shard.destroy(ids[:1])
    cluster.run(0.2)
    shard.core.destroy(ids[1:])
    with pytest.raises(Violation, match="ends are wished"):
        cluster.run(0.2)


def test_an_end_that_was_wished_while_the_session_opened_may_be_said_of_what_its_verdict_drops():
    """An operator was first: the shard has it held back, and says it behind the verdict."""
    cluster, shard, ids = two_that_rest()
    shard.line.cut()
    cluster.link_broke(shard.link)
    cluster.command(om.DestroyByOperator(1, ids[:1].tolist()))
    shard.relink()
    shard.destroy(ids)
    cluster.run(0.5)
    assert cluster.counters["destroyed"] == 2
    assert not len(shard.core.holdings.table)


def test_code_that_fails_is_a_find_with_its_place_and_a_games_own_failure_is_its_own(monkeypatch):
    def fails(*_):
        raise KeyError("sector")

    plan = draw(1, ())
    monkeypatch.setattr(leases, "heartbeat", fails)
    violation = Simulation(plan).run().violation
    assert violation is not None
    assert violation.invariant == "no process breaks down"
    assert "KeyError in fails" in violation.story
    assert "sector" in violation.story
    monkeypatch.undo()
    with pytest.raises(KeyError):
        Simulation(plan, step=fails).run()


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
    (line,) = [each for each in coverage.shortfall().splitlines() if " 17 pause: " in each]
    assert "asked 1" in line
    assert "idle" not in line


def test_a_cell_that_cannot_be_is_a_dash_by_its_faults_definition():
    coverage = Coverage()
    coverage.strike(35, ["asked"] * 20)
    row = next(line for line in coverage.table().splitlines() if line.startswith("35 "))
    cells = dict(zip(PHASES, row.split()[2:], strict=True))
    assert cells["idle"] == cells["no lease"] == cells["opening"] == "-"
    assert cells["asked"] == "20"
    assert cells["frozen"] == "0*"


def test_seeds_in_a_row_meet_all_pairs_of_fault_and_phase_equally_often():
    pairs = [
        (fault.name, phase)
        for fault in FAULTS
        if fault.aimed
        for phase in fault.phases or AIMED_AT
        for _ in range(OFTENER.get(phase, 1))
    ]
    seeds = -(-len(pairs) // STRIKES_A_SEED)
    aimed = Counter(
        (strike.fault, strike.phase)
        for seed in range(3 * seeds, 4 * seeds)
        for strike in draw(seed).strikes
    )
    aimed["pause", "idle"] -= seeds  # so that each seed has a lease that ends
    assert aimed == Counter(pairs)


def test_a_server_that_is_to_die_in_a_batch_and_has_nothing_to_say_comes_back_all_the_same():
    simulation = Simulation(replace(draw(1, ()), births=0.0, orders=0.0))
    cluster, blows = simulation.cluster, simulation.blows
    cluster.run(0.5)
    for shard in cluster.shards:
        cluster.kill(shard)
    cluster.run(4)
    STRIKES["server-batch"](blows, cluster.shards[0], Random(1))
    first = cluster.server
    cluster.run(1.2)
    assert first.alive
    cluster.add_shard("shard-9")
    cluster.run(3)
    assert not first.alive
    assert cluster.server.alive


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


def test_a_shard_is_in_each_phase_once_however_many_sectors_it_unloads():
    """Seed 400104: one that was listed twice was counted twice, and struck twice as often."""
    cluster = Cluster(1, shards=1)
    cluster.run(0.5)
    phases = Phases(cluster)
    at = phases.sessions[cluster.shards[0].link]
    at.opening = False
    at.freezing, at.frozen, at.decided = {(0, 0): False}, {(0, 1): False}, {(0, 2): True}
    assert phases.of(cluster.shards[0]) == ["unloading", "decided"]


def test_a_sector_that_is_copied_is_a_phase_of_both_ends_until_the_copy_is_of_no_use():
    cluster = Cluster(1, shards=2)
    phases = Phases(cluster)
    cluster.observers.append(phases)
    cluster.run(0.5)
    cluster.spawn(np.full((20, 2), 50.0), np.zeros((20, 2)))
    cluster.run(1.0)
    source, target = sorted(cluster.shards, key=lambda shard: -len(shard.core.holdings.table))
    assert all("copying" not in phases.of(shard) for shard in cluster.shards)
    cluster.order(om.Command(1, "migrate", (0, 0), target.core.shard_id))
    seen = set()
    for _ in range(100):
        seen |= {(shard.name, tuple(phases.of(shard))) for shard in cluster.shards}
        cluster.run(0.001)
    assert (source.name, ("idle", "copying")) in seen
    assert (target.name, ("idle", "copying")) in seen
    assert not any({"freezing", "copying"} <= set(at) for name, at in seen if name == source.name)
    assert len(target.core.holdings.table) == 20
    assert all(phases.of(shard) == ["idle"] for shard in cluster.shards)
