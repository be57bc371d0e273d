"""What a peer may not claim, each by the name of the harm that it did."""

import numpy as np
import pytest

from replication.small_server import EAST, OPERATOR, WEST, Server, rows
from sidereal.errors import ProtocolError
from sidereal.kernel import ABSENT
from sidereal.limits import ID_BLOCK, STATE_BYTES_MAX
from sidereal.replication import handles, tool_ids
from sidereal.wire import codec
from sidereal.wire import operator_messages as om
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import Message
from sidereal.world.entities import ClaimRows, StateRows, TransitionRows, gather
from sidereal.world.rules import NS_PER_S


def refused(message: Message, match: str) -> None:
    with pytest.raises(ProtocolError, match=match):
        codec.decode(codec.encode(message))


@pytest.fixture
def server() -> Server:
    return Server()


def born(server: Server, count: int, **columns) -> TransitionRows:
    """Return spawns that the server takes of the shard behind WEST, but for the columns given."""
    first, _ = server.books.shards.by_link(WEST).grants[0]
    ids = np.arange(first, first + count, dtype=np.uint64)
    return rows(ids, TransitionRows, **columns)


def test_an_entity_claimed_twice_does_not_end_twice():
    claims = ClaimRows(ids=[5, 5], version=[1, 1])
    refused(sm.DestroyEntities(claims), "an entity twice")


def test_a_state_beyond_its_bound_does_not_reach_the_arena():
    size = STATE_BYTES_MAX + 1
    states = StateRows(ids=[5], version=[1], tick=[9], lengths=[size], states=np.zeros(size))
    refused(sm.EntityStates(states), str(STATE_BYTES_MAX))


@pytest.mark.parametrize("beyond", [2**31, -(2**31), 2**40, 2**63])
def test_a_sector_beyond_the_world_is_not_loaded_at_the_next_tick(beyond):
    refused(om.Command(1, "load", (beyond, 0), None), "Expected `int`")
    refused(sm.SectorReady((0, beyond), 1), "Expected `int`")


def test_a_negative_id_is_no_id():
    refused(om.DestroyByOperator(1, [-1]), "Expected `int` >= 0")
    refused(sm.SendMail(-1, b""), "Expected `int` >= 0")
    largest = sm.SendMail(2**64 - 1, b"")
    assert codec.decode(codec.encode(largest)) == largest


def test_a_shard_does_not_draw_the_world_to_itself_by_a_negative_load():
    refused(sm.ShardLoadUpdate(sm.ShardLoadStats(-(10**9), 0)), "Expected `int` >= 0")


def test_a_spawn_beyond_the_world_is_not_recorded(server):
    before = len(server.books.table)
    request = born(
        server, 2, position=np.array([[50.0, 50.0], [1e300, 0.0]]), sector=[[0, 0], [0, 0]]
    )
    server.say(WEST, sm.EntityTransitionRequest(request))
    assert len(server.books.table) == before + 1
    assert server.books.table.slots(request.ids[1:])[0] == ABSENT
    assert not server.closed


def test_a_group_of_spawns_of_which_one_is_refused_leaves_nothing_in_the_record(server):
    before = len(server.books.table)
    request = born(server, 3, group=[7, 7, 0])
    request.ids[1] = 10**15
    answers = server.say(WEST, sm.EntityTransitionRequest(request))
    assert len(server.books.table) == before + 1
    assert server.books.counters["created"] == before + 1
    by_kind = {type(answer): answer for answer in answers}
    assert by_kind[sm.ConfirmTransitionExit].claims.ids.tolist() == [10**15]
    assert by_kind[sm.RefuseTransition].outcomes.ids.tolist() == [int(request.ids[0])]
    assert by_kind[sm.AcknowledgeTransition].outcomes.ids.tolist() == [int(request.ids[2])]


def test_one_group_into_two_sectors_ends_the_link(server):
    request = born(server, 2, group=[7, 7], target=[[0, 0], [1, 0]])
    server.say(WEST, sm.EntityTransitionRequest(request))
    assert server.closed == {WEST}
    server.consistent()


def test_what_is_the_shards_own_is_not_dropped_for_a_member_that_is_not(server):
    table = server.books.table
    link = WEST if len(server.books.rows_of(0)) > 1 else EAST
    shard = server.books.shards.by_link(link)
    mine = gather(table, server.books.rows_of(shard.shard_id)[:2])
    server.say(OPERATOR, om.DestroyByOperator(1, [int(mine.ids[1])]))
    _, epoch = server.books.owners.get(mine.sector)
    columns = {name: getattr(mine, name) for name in type(mine).LAYOUT}
    columns |= {"group": mine.ids[[0, 0]], "target": mine.sector[[0, 0]] + 1, "epoch": epoch}
    request = TransitionRows(**columns, lengths=mine.lengths, states=mine.states)
    answers = server.say(link, sm.EntityTransitionRequest(request))
    kinds = {type(answer): answer for answer in answers}
    assert kinds[sm.ConfirmTransitionExit].claims.ids.tolist() == [int(mine.ids[1])]
    assert kinds[sm.RefuseTransition].outcomes.ids.tolist() == [int(mine.ids[0])]
    assert table.version[table.slots(mine.ids[:1])] == mine.version[0]


def test_a_state_of_a_tick_to_come_does_not_silence_an_entity(server):
    far = server.books.last_tick(server.now) + 1
    request = born(server, 1, tick=[far])
    server.say(WEST, sm.EntityTransitionRequest(request))
    assert server.closed == {WEST}
    assert server.books.table.slots(request.ids)[0] == ABSENT
    near = rows(request.ids + 1, TransitionRows, tick=[far - 1])
    server.connect()
    near.ids[:] = server.books.shards.by_link(WEST).grants[0][0]
    server.say(WEST, sm.EntityTransitionRequest(near))
    assert server.books.table.tick[server.books.table.slots(near.ids)] == far - 1


def test_an_update_of_a_tick_to_come_does_not_silence_an_entity(server):
    far = server.books.last_tick(server.now) + 1
    payload = bytes([1, 0, 1, 0]) + far.to_bytes(4, "little")
    server.manager.receive_datagrams(WEST, [payload], server.now)
    assert server.books.counters["datagrams_ahead"] == 1


def test_what_is_scheduled_for_later_may_be_moved_before_it_begins(server):
    grant = server.say(OPERATOR, om.RequestIds(1))[-1]
    later = server.books.last_tick(server.now) + 1000
    ids = np.array([grant.first], np.uint64)
    server.say(OPERATOR, om.SpawnEntities(1, rows(ids, tick=[later])))
    table = server.books.table
    status = server.say(OPERATOR, om.StatusRequest(2))[-1]
    assert (status.entities, status.scheduled) == (len(table), 1)
    assert sum(shard.entities for shard in status.shards) == len(table) - 1
    slots = table.slots(ids)
    shard = server.books.shards.get(int(table.shard[slots][0]))
    found = gather(table, slots)
    _, epoch = server.books.owners.get(found.sector)
    columns = {name: getattr(found, name) for name in type(found).LAYOUT}
    columns |= {"target": found.sector + 1, "epoch": epoch}
    columns["position"] = found.position + 100.0
    request = TransitionRows(**columns, lengths=found.lengths, states=found.states)
    server.say(shard.link, sm.EntityTransitionRequest(request))
    assert not server.closed
    assert table.version[slots] == found.version + 1


def test_a_full_record_refuses_spawns_and_goes_on(server, monkeypatch):
    monkeypatch.setattr(type(server.books.handles), "left", lambda self: 1)
    before = len(server.books.table)
    (answer,) = server.say(WEST, sm.EntityTransitionRequest(born(server, 2)))
    assert isinstance(answer, sm.RefuseTransition)
    assert "full" in answer.reason
    grant = server.say(OPERATOR, om.RequestIds(2))[-1]
    ids = np.arange(grant.first, grant.first + 2, dtype=np.uint64)
    (outcome,) = server.say(OPERATOR, om.SpawnEntities(1, rows(ids)))
    assert (outcome.created, len(outcome.refused)) == (0, 2)
    assert "full" in outcome.reason
    assert len(server.books.table) == before


def test_handles_left_counts_what_came_back():
    some = handles.Handles()
    full = some.left()
    taken = some.grant(10)
    assert some.left() == full - 10
    some.take_back(taken[:4])
    assert some.left() == full - 6


def test_a_shard_that_hoards_ids_is_stopped(server):
    for _ in range(100):
        server.say(WEST, om.RequestIds(ID_BLOCK))
    assert server.closed == {WEST}


def test_time_that_the_server_stood_still_does_not_extend_a_lease_beyond_the_present(server):
    shard = server.books.shards.by_link(WEST)
    server.now += 100 * NS_PER_S
    server.say(WEST, sm.Heartbeat(server.now, 0, 0))
    server.turn()
    assert shard.answered_ns <= server.now
    server.turn(100)
    assert server.books.shards.by_link(WEST) is None, "silent for five seconds, and still alive"


def test_an_operator_that_asks_for_ids_again_and_again_does_not_fill_the_memory(
    server, monkeypatch
):
    monkeypatch.setattr(tool_ids, "TOOL_BLOCKS_MAX", 5)
    held = server.books.tool_ids
    oldest = np.array([held.blocks[0][0]], np.uint64)
    for _ in range(50):
        server.say(OPERATOR, om.RequestIds(3))
    assert len(held.blocks) == 5
    assert not held.judge(oldest)[0], "the oldest is withdrawn"
