"""What a game does with `sidereal.testing`: its own step, its own states, under every fault."""

from dataclasses import replace

import numpy as np

from sidereal.testing import Cluster, Observer, Simulation, draw
from sidereal.wire import shard_messages as sm

COUNT = np.dtype([("steps", "<u4"), ("last", "<u4")])


def counting(world, dt):
    """A game whose state counts the steps that an entity has lived."""
    world.position += world.velocity * dt
    world.state["steps"] += 1
    world.state["last"] = world.tick


def test_a_games_states_go_with_its_entities_over_a_border():
    cluster = Cluster(1, shards=2, step=counting, state_dtype=COUNT)
    cluster.run(0.5)
    states = np.zeros(1, COUNT)
    ids = cluster.spawn(
        np.array([[980.0, 50.0]]),
        np.array([[40.0, 0.0]]),
        states=states.view(np.uint8).reshape(1, 8),
    )
    cluster.run(3)
    (holder,) = [s for s in cluster.shards if len(s.core.holdings.table)]
    table = holder.core.holdings.table
    assert table.sector[table.slots(ids)].tolist() == [[1, 0]]
    _, data = table.states(table.slots(ids))
    (state,) = data.view(COUNT)
    assert 50 < state["steps"] <= 60
    assert state["last"] == table.tick[table.slots(ids)][0]


def test_a_game_that_spawns_is_given_its_entities():
    def step(world, dt):
        if world.tick == 30:
            world.spawn(np.full((2, 2), 10.0), np.zeros((2, 2)))

    cluster = Cluster(2, shards=1, step=step)
    cluster.run(0.5)
    cluster.spawn(np.full((1, 2), 5.0), np.zeros((1, 2)))
    cluster.run(2)
    assert len(cluster.manager.books.table) == 3


class Handoffs(Observer):
    """Counts what is sent to shards."""

    def __init__(self):
        self.entered = 0

    def server_said(self, shard, link, message):
        if isinstance(message, sm.EntityEnterSector):
            self.entered += len(message.entities)


def test_a_games_own_step_lives_through_a_plan_and_is_looked_at():
    def step(world, dt):
        world.position += world.velocity * dt
        out = np.abs(world.position) > 250
        world.velocity[out] *= -1

    handoffs = Handoffs()
    plan = replace(draw(5), seconds=15.0)
    outcome = Simulation(plan, handoffs, step=step).run()
    assert outcome.violation is None, outcome.violation
    assert handoffs.entered > 20
