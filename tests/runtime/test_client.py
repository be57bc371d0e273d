"""`Client` and `Shard` on real sockets, in one process with the server: a player in a world."""

import os

import pytest

import sidereal
from runtime.table import PSKS, Table, grown
from sidereal.client import events as ev
from sidereal.errors import HandshakeError
from sidereal.replication import lifecycle
from sidereal.runtime.clock import now_ns
from sidereal.world.sectors import SectorState


def test_a_player_sees_steers_and_speaks_to_its_entity_through_two_shards(table):
    world = table("one", "two")
    entity = grown(world)
    client = world.client()
    client.subscribe(200.0, entity=entity)
    client.possess(entity)
    client.send(entity, b"hello")
    world.until(lambda: client.welcomed)
    world.until(lambda: len(world.of(client, ev.EntitiesUpdated)) > 5)
    ticks = [e.tick for e in world.of(client, ev.EntitiesUpdated)]
    assert ticks == sorted(set(ticks))
    places = [e.position[0, 0] for e in world.of(client, ev.EntitiesUpdated)]
    assert places == sorted(places)
    (answer,) = world.of(client, ev.PossessionAnswered)
    assert answer == ev.PossessionAnswered(entity, True, "")
    heard = [e for s in world.shards for e in world.of(s, sidereal.MailReceived)]
    assert [(e.sender, e.payload) for e in heard] == [(f"client:{client.session}", b"hello")]
    steered = [e for s in world.shards for e in world.of(s, sidereal.PossessionChanged)]
    assert (steered[0].session, steered[0].held) == (client.session, True)
    # Whoever simulates it, the player notices nothing.
    books = world.server.manager.books
    sector = tuple(books.table.sector[0].tolist())
    holder = books.table.shard[0]
    world.until(lambda: books.sectors[sector].state is SectorState.ACTIVE)
    target = next(info for info in books.shards if info.shard_id != holder)
    lifecycle.unassign(books, books.sectors[sector], target.shard_id, "the test", now_ns())
    world.until(lambda: books.table.shard[0] != holder)
    seen = len(world.of(client, ev.EntitiesUpdated))
    world.until(lambda: len(world.of(client, ev.EntitiesUpdated)) > seen + 5)
    assert not world.of(client, ev.EntitiesLeft)
    tick = client.tick()
    assert tick is not None
    assert abs(tick - books.tick_at(now_ns())) <= 2


def test_a_broken_link_is_made_anew_and_the_session_resumed(table):
    world = table("one")
    entity = grown(world)
    client = world.client()
    client.subscribe(500.0, entity=entity)
    client.possess(entity)
    world.until(lambda: world.of(client, ev.PossessionAnswered))
    session = client.session
    world.server.channel.endpoint.close(client_link(world), "the test cut it", now_ns())
    world.until(lambda: world.of(client, ev.SessionEnded))
    world.until(lambda: len(world.of(client, ev.Welcomed)) == 2)
    assert world.of(client, ev.Welcomed)[1] == ev.Welcomed(session, resumed=True)
    entered = len(world.of(client, ev.EntitiesEntered))
    world.until(lambda: len(world.of(client, ev.EntitiesEntered)) > entered - 1 + 1 or entered > 1)
    world.until(
        lambda: (
            [e.held for e in world.of(world.shards[0], sidereal.PossessionChanged)][-1:] == [True]
        )
    )


def test_letters_written_while_a_link_breaks_arrive_once_each_and_in_order(table):
    world = table("one")
    entity = grown(world)
    client = world.client()
    world.until(lambda: client.welcomed)
    written = [bytes([number]) for number in range(30)]
    for payload in written:
        client.send(entity, payload)
        if payload == written[15]:  # some have come, some lie in the server's socket
            world.server.step()
        if payload == written[25]:
            world.server.channel.endpoint.close(client_link(world), "the test cut it", now_ns())

    def heard() -> list[bytes]:
        return [event.payload for event in world.of(world.shards[0], sidereal.MailReceived)]

    world.until(lambda: len(heard()) >= len(written))
    assert heard() == written
    world.until(lambda: not client._core.letters_unsettled)
    assert len(world.of(client, ev.Welcomed)) == 2
    assert not world.of(client, ev.MailRefused)


def client_link(world: Table):
    (session,) = world.server.manager.books.sessions
    return session.link


def test_the_clients_key_does_not_open_a_shards_place(table):
    world = table("one")
    imposter = sidereal.Shard("two", world.server.address, PSKS["clients"])
    world.shards.append(imposter)
    with pytest.raises(HandshakeError, match="two"):
        world.until(lambda: False)
    world.shards.remove(imposter)
    imposter.close()


def test_a_wrong_key_is_told_at_once_and_by_name(table):
    world = table()
    world.client(os.urandom(32))
    with pytest.raises(HandshakeError, match="cannot join"):
        world.until(lambda: False)
