"""A network that lets heartbeats through and not the answers, over real sockets."""

import sidereal
from runtime.table import PSKS, grown
from sidereal.replication import lifecycle
from sidereal.runtime.clock import now_ns
from sidereal.runtime.network import Network
from sidereal.shard import events as ev
from sidereal.transport.netsim import NetSim


def test_a_shard_made_deaf_is_replaced_and_joins_anew_once_it_hears(table):
    world = table("one")
    cut = [(False, False)]
    network = Network(NetSim(1), lambda: cut[0])
    deaf = sidereal.Shard("two", world.server.address, PSKS["shard:two"], network=network)
    world.shards.append(deaf)
    entity = grown(world)
    books = world.server.manager.books
    world.until(lambda: deaf.registered)
    world.until(lambda: books.sectors[0, 0].state.value == "Active")
    lifecycle.unassign(books, books.sectors[0, 0], 1, "a test moved it", now_ns())
    world.until(lambda: (0, 0) in deaf.sectors() and books.sectors[0, 0].state.value == "Active")

    cut[0] = (False, True)
    world.until(lambda: books.counters["fences"])
    assert not world.of(deaf, ev.LinkLost), "the lease, not the transport, has noticed"
    world.until(lambda: (0, 0) in world.shards[0].sectors())
    slot = books.slot_of(entity)
    assert slot is not None
    assert books.table.shard[slot] == 0
    assert deaf.due() is None, "its lease was over before"

    cut[0] = (False, False)
    world.until(lambda: len(world.of(deaf, ev.Registered)) == 2)
    assert deaf.sectors() == []
    assert world.of(deaf, ev.SessionEnded)
