"""A simulated network before a socket: out of the way while it is whole, and cut by direction."""

import pytest

from sidereal.runtime.network import Network
from sidereal.transport.netsim import Conditions, NetSim

PEER = ("127.0.0.1", 7)


@pytest.mark.parametrize("cuts", [(False, False), (True, False), (False, True), (True, True)])
def test_what_is_cut_does_not_pass_and_the_rest_does_at_once(cuts):
    now = (False, False)
    network = Network(NetSim(1), lambda: now)
    sent = [(b"one", PEER), (b"two", PEER)]
    assert network.leave(sent, 0) == network.arrive(sent, 0) == sent
    now = cuts
    out, into = cuts
    assert network.leave(sent, 1) == ([] if out else sent)
    assert network.arrive(sent, 1) == ([] if into else sent)
    now = (False, False)
    assert network.leave(sent, 2) == network.arrive(sent, 2) == sent
    assert network.next_time() is None


def test_what_is_delayed_arrives_at_its_time():
    network = Network(NetSim(1, Conditions(delay_ns=50)))
    assert network.leave([(b"out", PEER)], 100) == []
    assert network.arrive([(b"in", PEER)], 110) == []
    assert network.next_time() == 150
    assert network.leave([], 150) == [(b"out", PEER)]
    assert network.arrive([], 160) == [(b"in", PEER)]


def test_runs_pass_a_whole_network_as_they_are_and_fall_apart_in_any_other():
    run = [(b"onetwosix", PEER, 3), (b"last", PEER)]
    whole = Network(NetSim(1))
    assert whole.leave(run, 0) is run
    assert whole.arrive(run, 0) is run
    slow = Network(NetSim(1, Conditions(delay_ns=50)))
    assert slow.leave(run, 100) == slow.arrive(run, 100) == []
    single = [(b"one", PEER), (b"two", PEER), (b"six", PEER), (b"last", PEER)]
    assert slow.leave([], 150) == slow.arrive([], 150) == single
