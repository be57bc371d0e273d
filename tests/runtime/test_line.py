"""A silent server: one that was killed is found again, one that was slow keeps its links."""

import sidereal
from runtime.table import PSKS, SETTINGS, Table
from sidereal.client import events as ev
from sidereal.runtime.clock import now_ns
from sidereal.runtime.line import SILENT_NS
from sidereal.runtime.replication_process import ReplicationServer


def kill_and_start_again(world: Table) -> None:
    """Another server on the same port; the first said nothing at its end."""
    address = world.server.address
    world.server.channel.socket.close()
    world.server = ReplicationServer(SETTINGS, address, PSKS)
    world.server._next_tick = now_ns()


def test_a_server_started_again_is_found_long_before_the_link_is_given_up(table):
    world = table("one")
    client = world.client()
    world.until(lambda: world.shards[0].registered and client.welcomed)
    kill_and_start_again(world)
    world.until(lambda: world.server.manager.books.shards.find("one", incarnation(world)))
    world.until(lambda: len(world.of(client, ev.Welcomed)) == 2)
    (lost,) = world.of(world.shards[0], sidereal.LinkLost)
    assert "another link was made" in lost.reason


def test_a_server_that_dies_before_it_has_answered_is_found_by_those_who_came_to_it(table):
    world = table("one")
    client, shard = world.client(), world.shards[0]
    world.server.manager.receive = lambda *_: None  # it hears them, and dies before it answers
    world.until(lambda: shard._line.open and client._line.open)
    kill_and_start_again(world)
    world.until(lambda: shard.registered and client.welcomed)
    assert world.of(shard, sidereal.LinkLost), "the game is told"


def incarnation(world: Table) -> int:
    return world.shards[0].core.session.incarnation


def test_a_server_that_was_merely_slow_keeps_its_links(table):
    world = table("one")
    client = world.client()
    world.until(lambda: world.shards[0].registered and client.welcomed)
    stands_still_until = now_ns() + SILENT_NS * 3 // 2
    while now_ns() < stands_still_until:
        world.told[client] += client.poll()
        world.told[world.shards[0]] += world.shards[0].poll()
        world.shards[0].wait(stands_still_until)
    assert world.shards[0]._line._beside is not None, "it has looked for another server"
    world.until(lambda: world.shards[0]._line._beside is None and client._line._beside is None)
    ticked = world.shards[0].last_tick
    world.until(lambda: world.shards[0].last_tick > ticked + 20)
    assert not world.of(world.shards[0], sidereal.LinkLost)
    assert not world.of(client, ev.SessionEnded)


def test_a_shard_without_a_lease_waits_and_does_not_spin(table):
    world = table("one")
    shard = world.shards[0]
    world.until(lambda: shard.last_tick > 0)
    world.server.channel.socket.close()
    world.server.step = lambda: None
    world.until(lambda: world.of(shard, sidereal.LeaseLost))
    polls, until = 0, now_ns() + 500_000_000
    while now_ns() < until:
        shard.wait()
        shard.poll()
        polls += 1
    assert polls < 100
