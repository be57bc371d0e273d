"""The plan of strikes: a pure function of the seed, and the world has time between any two."""

import itertools
import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidereal.demo import strikes
from sidereal.demo.strikes import KINDS, Blow, plan_strikes, read
from sidereal.errors import ConfigError

LEASE_S = 3.0


ALONE = tuple(kind for kind in KINDS if kind != strikes.KILL_BOTH)


def planned(kinds=ALONE, seconds=60.0, shards=4, seed=1):
    return plan_strikes(kinds, seconds=seconds, shards=shards, seed=seed, lease_s=LEASE_S)


def blows(plan):
    """The strikes of a plan, those of a pair together."""
    found = []
    for strike in plan:
        together = found and strike.at_s - found[-1][0].at_s <= strikes.APART_S[1]
        found[-1].append(strike) if together else found.append([strike])
    return found


@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, unique=True),
    seconds=st.floats(80.0, 400.0),
    shards=st.integers(2, 9),
    seed=st.integers(0, 2**63 - 1),
)
def test_each_kind_strikes_as_often_and_none_before_the_one_before_it_is_over(
    kinds, seconds, shards, seed
):
    plan = planned(kinds, seconds, shards, seed)
    times = Counter(strikes.KILL_BOTH if len(blow) == 2 else blow[0].kind for blow in blows(plan))
    assert set(times) == set(kinds)
    assert len(set(times.values())) == 1
    assert min(times.values()) >= 2
    free_at = strikes.LEAD_S
    for blow in blows(plan):
        first, last = blow[0], blow[-1]
        assert first.at_s >= free_at - 1e-9
        free_at = last.at_s + Blow((replace(last, at_s=0.0),)).needs_s(LEASE_S)
        if last is not first:
            assert (first.kind, last.kind) == (strikes.KILL_SHARD, strikes.KILL_REPLICATION)
            free_at += LEASE_S + strikes.RECOVERY_S
    for strike in plan:
        assert (strike.victim is None) == (strike.kind == strikes.KILL_REPLICATION)
        assert strike.victim is None or 0 <= strike.victim < shards
    assert free_at <= seconds - strikes.TAIL_S + 1e-9
    struck = [strike.victim for strike in plan if strike.victim is not None]
    assert all(one != other for one, other in itertools.pairwise(struck))


def test_a_seed_is_a_plan_and_another_seed_is_another():
    assert planned(seed=5) == planned(seed=5)
    assert len({tuple(planned(seed=seed)) for seed in range(20)}) == 20


@pytest.mark.parametrize("seed", range(10))
def test_of_a_pair_the_server_dies_before_it_can_miss_the_shard(seed):
    for shard, server in blows(planned([strikes.KILL_BOTH], seed=seed)):
        assert (shard.kind, server.kind) == (strikes.KILL_SHARD, strikes.KILL_REPLICATION)
        assert 0 <= server.at_s - shard.at_s < LEASE_S
        assert server.lasts_s > 0


@pytest.mark.parametrize("seed", range(10))
def test_pauses_outlast_a_lease_and_of_two_partitions_one_does(seed):
    plan = planned(seed=seed)
    assert all(s.lasts_s > LEASE_S for s in plan if s.kind == strikes.PAUSE_SHARD)
    cuts = [s for s in plan if s.kind == strikes.PARTITION]
    assert sorted(s.lasts_s > LEASE_S for s in cuts) == [False, True]
    assert all(s.way in ("both", "out", "in") for s in cuts)
    outages = sorted(s.lasts_s for s in plan if s.kind == strikes.KILL_REPLICATION)
    assert outages[0] == 0.0 < outages[1] < LEASE_S


def test_a_run_that_is_too_short_says_how_long_would_do():
    for kinds in ([KINDS[0]], KINDS[:2], KINDS):
        with pytest.raises(ConfigError, match="at least") as refused:
            planned(kinds, seconds=9.0)
        enough = re.search(r"at least (\d+) s", str(refused.value))
        assert planned(kinds, seconds=float(enough[1]) + 1)


def test_one_shard_and_unknown_kinds_are_refused_and_no_kinds_are_no_plan():
    with pytest.raises(ConfigError, match="at least 2 shards"):
        planned(shards=1)
    with pytest.raises(ConfigError, match="'earthquake'"):
        read("kill-shard,earthquake")
    assert planned(kinds=()) == []
    assert read("partition, kill-shard,partition") == ("kill-shard", "partition")
