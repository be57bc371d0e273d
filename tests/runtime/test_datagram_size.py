"""Full packets are as large as both ends allow, and the updates of a tick fill them."""

import numpy as np
import pytest

import sidereal
from runtime.table import PSKS, SETTINGS, Table
from sidereal.runtime.address import Address
from sidereal.runtime.clock import now_ns
from sidereal.runtime.replication_process import ReplicationServer
from sidereal.transport import TransportSettings

ENTITIES = 400


@pytest.mark.parametrize(
    ("here", "there", "payload"), [(9000, 9000, 8972), (9000, 1200, 1172), (1200, 9000, 1172)]
)
def test_the_smaller_of_both_ends_holds(here, there, payload):
    settings = TransportSettings(datagram_bytes=there)
    server = ReplicationServer(SETTINGS, Address("127.0.0.1", 0), PSKS, transport=settings)
    shard = sidereal.Shard("one", server.address, PSKS["shard:one"], datagram_bytes=here)
    world = Table.__new__(Table)
    world.server, world.shards, world.clients, world.told = server, [shard], [], {}
    server._next_tick = now_ns()
    try:
        world.until(lambda: shard.last_tick > 0)
        assert shard.core.payload_bytes == payload
        shard.spawn(np.full((ENTITIES, 2), 50.0), np.full((ENTITIES, 2), 0.1))
        seen: list[int] = []
        take = server.manager.receive_datagrams

        def watch(link, payloads, now):
            seen.extend(map(len, payloads))
            take(link, payloads, now)

        server.manager.receive_datagrams = watch
        world.until(lambda: server.manager.books.counters["updates"] > ENTITIES)
        assert payload - 36 < max(seen) <= payload or payload > 20 * ENTITIES
        assert max(seen) > 1172 or payload == 1172
    finally:
        world.close()
