"""Clients in a simulation: what they are told is held against the world, and a lie is found."""

from dataclasses import replace

import numpy as np
import pytest

from sidereal.client.letters import Letters
from sidereal.replication import interest
from sidereal.replication.possession import Possessions
from sidereal.replication.view import View
from sidereal.shard.mailbox import Mailbox
from sidereal.testing.plan import draw
from sidereal.testing.simulation import Simulation

FAULTS = ("partition", "flapping", "server-crash", "pause")


def life(seed: int, seconds: float = 15.0, *, transport: bool = False, **more):
    plan = draw(seed, (*FAULTS, "loss") if transport else FAULTS, transport=transport)
    if transport:  # what a client was last told is seldom lost
        plan = replace(plan, weather=replace(plan.weather, datagram_loss=0.3))
    return Simulation(replace(plan, seconds=seconds, clients=2, **more))


@pytest.mark.parametrize("seed", [2, 5])
def test_clients_live_through_breaks_and_restarts(seed):
    simulation = life(seed)
    outcome = simulation.run()
    assert outcome.violation is None, outcome.violation
    assert simulation.cluster.counters["client_enters"] > 50
    assert simulation.cluster.counters["sessions_resumed"] > 0


@pytest.mark.parametrize("seed", [2, 5])
def test_clients_live_through_them_over_the_transport_too(seed):
    simulation = life(seed, transport=True)
    outcome = simulation.run()
    assert outcome.violation is None, outcome.violation
    assert simulation.cluster.counters["client_enters"] > 50
    assert simulation.cluster.counters["sessions_resumed"] > 0
    server = simulation.cluster.server
    for client in simulation.audience.clients:
        assert client.line is server.lines[client.link]
        stats = client.side.endpoint.endpoint_stats()
        assert stats.connections == 1
    held = {side.process for side in simulation.cluster.wires._sides.values()}
    assert len(simulation.cluster.wires._sides) <= len(held) + 2, "old endpoints are not kept"


def broken(monkeypatch, *places, transport=False):
    for owner, name, change in places:
        monkeypatch.setattr(owner, name, change(getattr(owner, name)))
    for seed in range(8):
        outcome = life(seed, transport=transport).run()
        if outcome.violation is not None:
            return outcome.violation.invariant
    return None


def test_what_is_near_and_not_shown_is_found(monkeypatch):
    def half(enter):
        def some(books, world, session, slots, room_bytes):
            odd = slots[books.table.ids[slots] % np.uint64(7) != 0]
            if len(odd):
                enter(books, world, session, odd, room_bytes)

        return some

    assert broken(monkeypatch, (interest, "_enter", half)) == "views show what is near"


def test_what_enters_twice_is_found(monkeypatch):
    def forgetful(enter):
        def twice(books, world, session, slots, room_bytes):
            enter(books, world, session, slots, room_bytes)
            enter(books, world, session, slots[:1], room_bytes)

        return twice

    assert broken(monkeypatch, (interest, "_enter", forgetful)) == "views make sense"


def test_a_letter_that_comes_twice_is_found(monkeypatch):
    def again(put):
        def twice(self, letter):
            put(self, letter)
            put(self, letter)

        return twice

    assert broken(monkeypatch, (Mailbox, "put", again)) == "letters come once and in order"


def test_letters_out_of_order_are_found(monkeypatch):
    def backwards(take):
        return lambda self, table: take(self, table)[::-1]

    assert broken(monkeypatch, (Mailbox, "take", backwards)) == "letters come once and in order"


def test_what_is_promised_and_not_steered_is_found(monkeypatch):
    def deaf(take):
        return lambda self, books, session, entity: ""

    assert broken(monkeypatch, (Possessions, "take", deaf)) == "clients steer what they are told"


def test_over_the_transport_what_was_lost_and_is_not_told_again_is_found(monkeypatch):
    def content(notice):
        def all_arrived(view, acked, lost):
            notice(view, [*acked, *lost], [])

        return all_arrived

    found = broken(monkeypatch, (View, "notice", content), transport=True)
    assert found == "views show what is near"


def test_letters_of_which_nobody_says_whether_they_came_are_found(monkeypatch):
    def deaf(answered):
        return lambda self, number, send, out: None

    assert broken(monkeypatch, (Letters, "answered", deaf)) == "letters are settled"
