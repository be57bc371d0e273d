"""Every message goes to bytes and comes back; nothing else comes back at all."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidereal.errors import ProtocolError
from sidereal.wire import codec
from sidereal.wire import operator_messages as om
from sidereal.wire import shard_messages as sm
from sidereal.world.entities import EntityRows, OutcomeRows, TransitionRows
from sidereal.world.rules import WorldRules


def entities(count: int, state_bytes: int = 5) -> EntityRows:
    draw = np.random.default_rng(count)
    return EntityRows(
        ids=np.arange(1, count + 1),
        group=np.zeros(count),
        position=draw.normal(0, 1e6, (count, 2)),
        velocity=draw.normal(0, 10, (count, 2)),
        sector=draw.integers(-5, 5, (count, 2)),
        version=np.arange(count),
        handle=np.arange(count),
        tick=np.full(count, 77),
        flags=np.zeros(count),
        sensor=np.full(count, 2.5),
        lengths=np.full(count, state_bytes),
        states=draw.integers(0, 256, count * state_bytes),
    )


def same(one: EntityRows, other: EntityRows) -> bool:
    names = [*one.LAYOUT, "lengths", "states"]
    return all((getattr(one, name) == getattr(other, name)).all() for name in names)


def test_the_seeds_messages_are_all_there_by_name():
    seed = """RegisterShard RegistrationAck ShardLoadUpdate AssignSector SectorInitialState
        SectorReady UnassignSector SectorRemoved ProposeSectorDeactivation EntityTransitionRequest
        AcknowledgeTransition EntityEnterSector ConfirmTransitionExit"""
    assert set(seed.split()) <= {message.__name__ for message in codec.MESSAGES.values()}


def test_tags_are_unique_and_part_of_the_wire():
    tags = {message.__name__: tag for tag, message in codec.MESSAGES.items()}
    assert tags["RegisterShard"] == 1
    assert tags["EntityTransitionRequest"] == 15
    assert len(set(tags.values())) == len(tags)


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_columns_come_back_bit_for_bit(count: int):
    message = sm.SectorInitialState((3, -4), 9, 0, entities(count))
    back = codec.decode(codec.encode(message))
    assert isinstance(back, sm.SectorInitialState)
    assert (back.sector, back.epoch, back.chunk) == ((3, -4), 9, 0)
    assert same(message.entities, back.entities)


def test_optional_load_figures_may_be_absent():
    stats = sm.ShardLoadStats(entity_count=5, player_count=1)
    back = codec.decode(codec.encode(sm.ShardLoadUpdate(stats)))
    assert back == sm.ShardLoadUpdate(stats)


def test_the_rules_of_the_world_travel_in_the_ack():
    ack = sm.RegistrationAck(1, 1, WorldRules(sector_size=0.1), 2, 3, 4, 5, 6, 7, 8)
    assert codec.decode(codec.encode(ack)) == ack


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_raise_protocol_error_or_are_a_message(data: bytes):
    try:
        message = codec.decode(data)
    except ProtocolError:
        return
    assert type(message) in codec.MESSAGES.values()


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_damaged_batch_raises_protocol_error_or_still_has_its_shape(at: int, value: int):
    data = bytearray(codec.encode(sm.SectorInitialState((0, 0), 1, 0, entities(20))))
    data[at % len(data)] = value
    try:
        message = codec.decode(bytes(data))
    except ProtocolError:
        return
    if isinstance(message, sm.SectorInitialState):
        rows = message.entities
        assert {len(getattr(rows, name)) for name in rows.LAYOUT} == {len(rows)}
        assert int(rows.lengths.sum()) == len(rows.states)


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 50, -1])
def test_a_cut_batch_is_refused(cut: int):
    rows = entities(4).to_bytes()
    with pytest.raises(ProtocolError, match="EntityRows"):
        EntityRows.from_bytes(rows[:cut])


def test_a_batch_that_claims_a_billion_rows_is_refused_before_memory_is_taken():
    claim = np.array([10**9, 0], "<u4").tobytes()
    with pytest.raises(ProtocolError, match="need"):
        EntityRows.from_bytes(claim + bytes(100))


def damaged(**columns) -> bytes:
    rows = entities(3)
    for name, value in columns.items():
        getattr(rows, name)[1] = value
    return rows.to_bytes()


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("position", np.nan, "finite"),
        ("velocity", np.inf, "finite"),
        ("sector", -(2**31), "none"),
        ("sensor", -1.0, "sensor"),
        ("sensor", np.nan, "sensor"),
        ("ids", 1, "twice"),
    ],
)
def test_values_that_cannot_be_are_refused_at_the_edge(column, value, told):
    with pytest.raises(ProtocolError, match=told):
        EntityRows.from_bytes(damaged(**{column: value}))


def test_another_field_count_or_type_is_refused():
    good = msgspec.msgpack.decode(codec.encode(sm.SectorReady((1, 2), 3)))
    for bad in (good[:-1], [*good, 1], [good[0], "x", 3], [999, 1], {}, 5, None):
        with pytest.raises(ProtocolError):
            codec.decode(msgspec.msgpack.encode(bad))


def test_a_transition_names_its_target():
    rows = entities(2)
    columns = {name: getattr(rows, name) for name in EntityRows.LAYOUT}
    asked = TransitionRows(
        **columns,
        lengths=rows.lengths,
        states=rows.states,
        target=[[1, 1], [-(2**31), 0]],
        epoch=[1, 1],
    )
    with pytest.raises(ProtocolError, match="target"):
        TransitionRows.from_bytes(asked.to_bytes())


def test_what_is_not_a_message_cannot_be_sent():
    with pytest.raises(TypeError, match="cannot be encoded"):
        codec.encode(om.SpawnEntities(1, object()))


def test_parts_of_a_batch_take_their_states_along():
    rows = entities(50, state_bytes=3)
    parts = rows.split(7)
    assert [len(part) for part in parts] == [7] * 7 + [1]
    assert same(EntityRows.concat(parts), rows)
    odd = rows.take(np.arange(1, 50, 2))
    assert (odd.states.reshape(-1, 3) == rows.states.reshape(-1, 3)[1::2]).all()


def test_columns_of_different_length_are_refused():
    with pytest.raises(ValueError, match="differ in length"):
        OutcomeRows(ids=[1], sector=[[0, 0]], asked=[1, 2], version=[1], handle=[1], tick=[1])
    with pytest.raises(TypeError, match="no column 'colour'"):
        OutcomeRows(ids=[], sector=[], asked=[], version=[], handle=[], tick=[], colour=[])
