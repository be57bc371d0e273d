"""A shard's key is replaced while it and the server run on."""

import sidereal
from runtime.table import SETTINGS, Table
from sidereal.runtime import keys
from sidereal.runtime.address import Address
from sidereal.runtime.clock import now_ns
from sidereal.runtime.replication_process import ReplicationServer


def test_a_shards_key_is_replaced_without_downtime(tmp_path):
    (file,) = keys.create(tmp_path, ["shard:one"])
    world = Table()
    world.server.close()
    world.server = ReplicationServer(SETTINGS, Address("127.0.0.1", 0), keys.Keyring(tmp_path))
    world.server._next_tick = now_ns()
    shard = sidereal.Shard("one", world.server.address, keys.KeyFile(file))
    world.shards.append(shard)
    world.until(lambda: shard.registered)
    old = keys.read(file)

    def reconnects():
        """The link breaks; another is made."""
        resumed = len(world.of(shard, sidereal.SessionResumed))
        shard._line.end("broken by the test", now_ns())
        shard._closed("broken by the test")
        world.until(lambda: len(world.of(shard, sidereal.SessionResumed)) > resumed)

    ticked = shard.last_tick
    keys.rotate(tmp_path, ["shard:one"])
    world.until(lambda: shard.last_tick > ticked + 5)
    assert not world.of(shard, sidereal.LinkLost), "a link that is open does not notice"
    reconnects()
    with_old = sidereal.Shard("one", world.server.address, old)
    with_old._line.pump(now_ns())
    keys.retire(tmp_path, ["shard:one"])
    ticked = shard.last_tick
    world.until(lambda: shard.last_tick > ticked + 5)
    reconnects()
    assert world.server.channel.endpoint.endpoint_stats().rejects_sent == 0
    with_old.close()
    world.close()
