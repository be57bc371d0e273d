"""Where an entity says that it goes, its position must say too."""

import numpy as np
import pytest

from replication.small_server import WEST, Server, rows
from sidereal.kernel import ABSENT
from sidereal.wire import shard_messages as sm
from sidereal.world.entities import TransitionRows, gather

MARGIN = 0.02 * 100.0


def asks(server: Server, x: float, target: int, group: int = 0) -> tuple[int, list]:
    """One of west's entities asks for sector (target, 0) from where it says it is."""
    books = server.books
    west = books.shards.by_link(WEST)
    slot = books.rows_of(west.shard_id)[:1]
    row = gather(books.table, slot)
    _, epoch = books.owners.get(row.sector)
    claim = rows(
        row.ids,
        TransitionRows,
        x=np.array([x]),
        sector=row.sector,
        version=row.version,
        group=np.array([group]),
        target=np.array([[target, 0]]),
        epoch=epoch,
    )
    return int(row.ids[0]), server.say(WEST, sm.EntityTransitionRequest(claim))


@pytest.mark.parametrize("x", [700.0, 799.999, 700.0 - MARGIN, 800.0 + MARGIN])
def test_a_claim_is_taken_from_inside_the_target_or_its_margin(x):
    server = Server()
    entity, answers = asks(server, x, 7)
    assert not [a for a in answers if isinstance(a, sm.RefuseTransition)]
    slot = server.books.slot_of(entity)
    assert server.books.table.sector[slot].tolist() == [7, 0]


@pytest.mark.parametrize("x", [50.0, 699.9 - MARGIN, 800.1 + MARGIN, 1e11])
def test_a_claim_from_elsewhere_is_refused_and_the_record_stays(x):
    server = Server()
    before = server.books.table.version.copy()
    entity, answers = asks(server, x, 7)
    (refused,) = [a for a in answers if isinstance(a, sm.RefuseTransition)]
    assert refused.outcomes.ids.tolist() == [entity]
    assert (server.books.table.version == before).all()
    assert server.books.counters["transitions_astray"] == 1
    server.consistent()


def test_where_custody_is_full_an_entity_stays_where_it_is_and_may_ask_again():
    server = Server()
    books = server.books
    full, books.custody_max = books.custody_max, 0
    entity, answers = asks(server, 750.0, 7)
    (refused,) = [a for a in answers if isinstance(a, sm.RefuseTransition)]
    assert refused.outcomes.ids.tolist() == [entity]
    assert "start more shards" in refused.reason
    slot = books.slot_of(entity)
    assert books.table.sector[slot].tolist() != [7, 0]
    assert books.table.shard[slot] == books.shards.by_link(WEST).shard_id
    server.consistent()
    books.custody_max = full
    assert asks(server, 750.0, 7)[0] == entity
    assert books.table.sector[books.slot_of(entity)].tolist() == [7, 0]


def test_a_groups_member_goes_with_its_root_from_wherever_it_is():
    server = Server()
    entity, answers = asks(server, 5000.0, 7, group=10**9)
    assert not [a for a in answers if isinstance(a, sm.RefuseTransition)]
    assert server.books.table.sector[server.books.slot_of(entity)].tolist() == [7, 0]


def test_a_root_that_claims_a_group_of_its_own_is_held_to_its_position():
    server = Server()
    books = server.books
    west = books.shards.by_link(WEST)
    entity = int(books.table.ids[books.rows_of(west.shard_id)[0]])
    _, answers = asks(server, 5000.0, 7, group=entity)
    assert [a for a in answers if isinstance(a, sm.RefuseTransition)]


def test_a_spawn_from_elsewhere_never_was():
    server = Server()
    first, count = server.books.shards.by_link(WEST).grants[0]
    assert count > 1
    ids = np.array([first], np.uint64)
    claim = rows(ids, TransitionRows, x=np.array([50.0]), target=np.array([[900, 0]]))
    answers = server.say(WEST, sm.EntityTransitionRequest(claim))
    assert [a for a in answers if isinstance(a, sm.RefuseTransition)]
    assert server.books.table.slots(ids)[0] == ABSENT
