"""Section 6 of the seed: an entity crosses a border, in the cases A, B and C."""

import numpy as np
import pytest

from seed.recorded import SERVER, Recorded, holds, named_by, row
from sidereal.replication import balance
from sidereal.replication.balance import Choice
from sidereal.shard.phase import PENDING
from sidereal.wire import shard_messages as sm
from sidereal.world.rules import NS_PER_S
from sidereal.world.sectors import SectorState

TRANSITION = (
    sm.EntityTransitionRequest,
    sm.AcknowledgeTransition,
    sm.EntityEnterSector,
    sm.ConfirmTransitionExit,
)


def crossing(*, to_shard: int) -> tuple[Recorded, int]:
    """One entity of shard-0 walks from (0, 0) into (1, 0)."""
    cluster = Recorded(shards=2)
    cluster.put((0, 0), 0)
    cluster.put((1, 0), to_shard)
    entity = cluster.one(85, 50, velocity=(20, 0))
    cluster.run(0.2)
    cluster.transcript.clear()
    cluster.run(2)
    return cluster, entity


def told(cluster: Recorded, entity: int) -> list[tuple[str, str, str]]:
    return [(e.kind, e.sender, e.receiver) for e in cluster.said(*TRANSITION, entity=entity)]


def teleport(cluster: Recorded, x: float) -> None:
    """Let every entity be somewhere else from the next tick on."""

    def step(world, dt):
        world.position[:, 0] = x

    cluster.step = step


def choose_shard(monkeypatch: pytest.MonkeyPatch, cluster: Recorded, number: int) -> None:
    """Have the next sector given to a certain shard."""
    shard_id = cluster.shards[number].core.shard_id
    info = cluster.manager.books.shards.get(shard_id)
    monkeypatch.setattr(balance, "choose", lambda books, coords: Choice(info, "told to"))


def test_the_request_carries_the_new_sector_and_the_whole_state():
    cluster, entity = crossing(to_shard=1)
    (asked,) = cluster.said(sm.EntityTransitionRequest)
    rows = asked.message.entities
    assert rows.ids.tolist() == [entity]
    assert rows.target.tolist() == [[1, 0]]
    assert rows.sector.tolist() == [[0, 0]]
    assert rows.velocity.tolist() == [[20.0, 0.0]]
    assert 102.0 <= rows.position[0, 0] <= 103.1, "beyond the margin of 2, within one tick of it"
    assert rows.states.view(np.uint32).tolist() == [entity]


def test_the_request_is_sent_in_the_tick_that_crosses():
    cluster, _ = crossing(to_shard=1)
    (asked,) = cluster.said(sm.EntityTransitionRequest)
    tick = int(asked.message.entities.tick[0])
    began = cluster.shards[0].core.clock.begins_ns(tick)
    assert 0 <= asked.at_ns - began < NS_PER_S / 20


def test_what_is_destroyed_in_the_tick_that_crosses_is_not_handed_over():
    cluster = Recorded(shards=2)
    cluster.put((0, 0), 0)
    cluster.put((1, 0), 1)
    entity = cluster.one(85, 50)
    cluster.run(0.2)
    cluster.transcript.clear()

    def step(world, dt):
        world.position[:, 0] = 150.0
        world.destroy(np.arange(len(world)))

    cluster.step = step
    cluster.run(1)
    assert not cluster.said(*TRANSITION)
    assert entity not in cluster.manager.books.table.ids.tolist()
    assert not any(holds(shard, entity) for shard in cluster.shards)


def test_between_request_and_answer_it_moves_on_but_is_pending():
    cluster = Recorded(shards=2)
    cluster.put((0, 0), 0)
    cluster.put((1, 0), 1)
    entity = cluster.one(90, 50, velocity=(20, 0))
    table = cluster.shards[0].core.holdings.table
    cluster.shards[0].up.weather = type(cluster.weather)(delay_ns=NS_PER_S // 2, jitter_ns=0)
    cluster.run(0.9)
    assert row(table, entity, "phase") & PENDING
    before = row(table, entity, "position")[0]
    cluster.run(0.1)
    assert row(table, entity, "position")[0] > before
    cluster.run(1)
    assert len(cluster.said(sm.EntityTransitionRequest)) == 1


def test_case_a_the_same_shard_is_acknowledged_and_owns_it_in_the_new_sector():
    cluster, entity = crossing(to_shard=0)
    assert told(cluster, entity) == [
        ("EntityTransitionRequest", "shard-0", SERVER),
        ("AcknowledgeTransition", SERVER, "shard-0"),
    ]
    table = cluster.shards[0].core.holdings.table
    assert row(table, entity, "sector") == cluster.sector_of(entity) == [1, 0]
    assert row(table, entity, "phase") == 0


def test_case_b_another_shard_is_given_it_and_the_first_lets_go():
    cluster, entity = crossing(to_shard=1)
    assert sorted(told(cluster, entity)) == [
        ("ConfirmTransitionExit", SERVER, "shard-0"),
        ("EntityEnterSector", SERVER, "shard-1"),
        ("EntityTransitionRequest", "shard-0", SERVER),
    ]
    assert told(cluster, entity)[0][0] == "EntityTransitionRequest"
    first, second = cluster.shards
    assert not holds(first, entity)
    assert holds(second, entity)
    assert cluster.sector_of(entity) == [1, 0]


def test_case_b_the_state_that_enters_is_the_one_of_the_request():
    cluster, _ = crossing(to_shard=1)
    (asked,), (entered,) = (
        cluster.said(kind) for kind in (sm.EntityTransitionRequest, sm.EntityEnterSector)
    )
    was, now = asked.message.entities, entered.message.entities
    for column in ("ids", "position", "velocity", "tick", "flags", "sensor", "lengths", "states"):
        assert getattr(was, column).tolist() == getattr(now, column).tolist(), column
    assert now.sector.tolist() == was.target.tolist()
    assert now.version.tolist() == (was.version + 1).tolist()


def test_case_b_the_new_shard_simulates_it_and_no_tick_is_lost():
    cluster, entity = crossing(to_shard=1)
    table = cluster.shards[1].core.holdings.table
    tick, (x, _) = row(table, entity, "tick"), row(table, entity, "position")
    (entered,) = cluster.said(sm.EntityEnterSector)
    since = int(entered.message.entities.tick[0])
    assert tick > since
    moved = x - entered.message.entities.position[0, 0]
    assert moved == pytest.approx((tick - since) * 20 / 20, abs=1e-9)


@pytest.mark.parametrize("number", [0, 1])
def test_case_c_an_unloaded_sector_is_activated(monkeypatch, number: int):
    cluster = Recorded(shards=2)
    cluster.put((0, 0), 0)
    entity = cluster.one(50, 50)
    cluster.run(0.2)
    choose_shard(monkeypatch, cluster, number)
    assert cluster.state((70, 0)) is SectorState.UNLOADED
    teleport(cluster, 7050.0)
    cluster.transcript.clear()
    cluster.run(1)
    assert cluster.state((70, 0)) is SectorState.ACTIVE
    assert cluster.owner((70, 0)) == cluster.shards[number].core.shard_id
    assert cluster.sector_of(entity) == [70, 0]
    assert [holds(shard, entity) for shard in cluster.shards] == [number == 0, number == 1]


def test_case_c_assigned_to_the_original_shard_proceeds_like_a(monkeypatch):
    cluster = Recorded(shards=2)
    cluster.put((0, 0), 0)
    entity = cluster.one(50, 50)
    cluster.run(0.2)
    choose_shard(monkeypatch, cluster, 0)
    teleport(cluster, 7050.0)
    cluster.transcript.clear()
    cluster.run(1)
    assert [kind for kind, _, _ in told(cluster, entity)] == [
        "EntityTransitionRequest",
        "AcknowledgeTransition",
    ]


def test_case_c_assigned_to_another_shard_it_is_part_of_the_initial_state(monkeypatch):
    cluster = Recorded(shards=2)
    cluster.put((0, 0), 0)
    entity = cluster.one(50, 50)
    cluster.run(0.2)
    choose_shard(monkeypatch, cluster, 1)
    teleport(cluster, 7050.0)
    cluster.transcript.clear()
    cluster.run(1)
    (initial,) = cluster.said(sm.SectorInitialState, sector=(70, 0))
    assert initial.receiver == "shard-1"
    assert entity in named_by(initial.message)
    assert told(cluster, entity)[-1] == ("ConfirmTransitionExit", SERVER, "shard-0")
    assert not cluster.said(sm.EntityEnterSector)
