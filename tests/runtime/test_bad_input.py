"""Bad input in a running world: whoever sends it learns why, and the rest of the world lives on."""

import logging
import os

import numpy as np
import pytest

import sidereal
from runtime.table import PSKS, Table, grown
from sidereal.client import core as client_core
from sidereal.client import events as ev
from sidereal.errors import HandshakeError
from sidereal.shard import session as shard_core
from sidereal.wire.base import PROTOCOL_VERSION


def watched(world: Table, entity: int) -> sidereal.Client:
    """A client that follows an entity and has seen it move."""
    client = world.client()
    client.subscribe(200.0, entity=entity)
    world.until(lambda: world.of(client, ev.EntitiesUpdated))
    return client


def goes_on(world: Table, client: sidereal.Client) -> None:
    """The client sees its entity move on, in the session that it had."""
    seen = len(world.of(client, ev.EntitiesUpdated))
    world.until(lambda: len(world.of(client, ev.EntitiesUpdated)) > seen + 5)
    assert not world.of(client, ev.SessionEnded)
    assert not world.of(world.shards[0], sidereal.SessionEnded)


@pytest.mark.parametrize(
    "message", [b"", b"\xff" * 40, os.urandom(300)], ids=["empty", "ones", "random"]
)
def test_a_malformed_message_ends_its_link_with_a_reason_and_only_that(table, caplog, message):
    world = table("one")
    client = watched(world, grown(world))
    rude = world.client()
    world.until(lambda: rude.welcomed)
    with caplog.at_level(logging.WARNING, "sidereal.replication"):
        rude._line.send(message)
        world.until(lambda: world.of(rude, ev.SessionEnded))
    (ended,) = world.of(rude, ev.SessionEnded)
    assert "message" in ended.reason
    assert [record for record in caplog.records if ended.reason in record.getMessage()]
    goes_on(world, client)


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\xff" * 40, bytes(700)])
def test_a_malformed_datagram_is_counted_and_dropped(table, payload):
    world = table("one")
    client = watched(world, grown(world))
    shard = world.shards[0]
    counters = world.server.manager.books.counters
    before = counters["datagrams_malformed"]
    shard._channel.endpoint.send_datagrams(shard._line.link, [payload])
    world.until(lambda: counters["datagrams_malformed"] > before)
    goes_on(world, client)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_an_invalid_position_leaves_the_entity_where_it_was_and_is_named(table, value):
    world = table("one")
    entity = grown(world)
    client = watched(world, entity)
    shard = world.shards[0]
    valid = world.of(client, ev.EntitiesUpdated)[-1].position[0]
    batch = shard.begin(shard.last_tick + 1)
    batch.position[batch.ids == entity] = (value, 5.0)
    shard.end(batch)
    world.until(lambda: world.of(shard, sidereal.PositionsInvalid))
    (named,) = world.of(shard, sidereal.PositionsInvalid)
    assert named.ids.tolist() == [entity]
    goes_on(world, client)
    after = np.concatenate([e.position for e in world.of(client, ev.EntitiesUpdated)])
    assert np.isfinite(after).all()
    assert abs(after[-1] - valid).max() < 100.0


@pytest.mark.parametrize("kind", ["shard", "client"])
def test_another_protocol_version_is_told_with_both_numbers(table, monkeypatch, kind):
    world = table("one")
    client = watched(world, grown(world))
    core = {"shard": shard_core, "client": client_core}[kind]
    monkeypatch.setattr(core, "PROTOCOL_VERSION", 77)
    if kind == "client":
        world.client()
    else:
        world.shards.append(sidereal.Shard("two", world.server.address, PSKS["shard:two"]))
    with pytest.raises(
        HandshakeError, match=rf"cannot join .*77.* {PROTOCOL_VERSION}\b.*same release"
    ):
        world.until(lambda: False)
    stranger = (world.clients if kind == "client" else world.shards).pop()
    stranger.close()
    monkeypatch.undo()
    goes_on(world, client)
