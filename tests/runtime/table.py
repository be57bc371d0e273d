"""A server, shards and clients on real sockets, all turned by the test in one thread."""

import os
import threading
import time
from collections.abc import Callable

import numpy as np

import sidereal
from sidereal.replication.settings import Settings
from sidereal.runtime.address import Address
from sidereal.runtime.clock import now_ns
from sidereal.runtime.replication_process import ReplicationServer
from sidereal.store import Store
from sidereal.world.rules import WorldRules

PSKS = {name: os.urandom(32) for name in ("clients", "shard:one", "shard:two", "admin")}
SETTINGS = Settings(rules=WorldRules(sector_size=100.0, tick_hz=50.0))
PATIENCE_S = 15.0


class Thread(threading.Thread):
    """A thread whose failure is the test's."""

    error: BaseException | None = None

    def run(self) -> None:
        try:
            super().run()
        except BaseException as error:
            self.error = error

    def finish(self) -> None:
        self.join(PATIENCE_S)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error


class Table:
    """A server, a few shards and clients, all turned by the test itself."""

    def __init__(self, *shards: str, store: Callable[[], Store] | None = None) -> None:
        self.server = ReplicationServer(SETTINGS, Address("127.0.0.1", 0), PSKS, store)
        self.server._next_tick = now_ns()
        self.shards = [
            sidereal.Shard(name, self.server.address, PSKS[f"shard:{name}"], ghosts=True)
            for name in shards
        ]
        self.clients: list[sidereal.Client] = []
        self.told: dict[object, list[object]] = {}

    def client(self, key: bytes = PSKS["clients"]) -> sidereal.Client:
        client = sidereal.Client(self.server.address, key)
        self.clients.append(client)
        return client

    def turn(self) -> None:
        self.server.step()
        for client in self.clients:
            self.told.setdefault(client, []).extend(client.poll())
        for shard in self.shards:
            self.told.setdefault(shard, []).extend(shard.poll())
            tick = shard.due()
            if tick is not None:
                world = shard.begin(tick)
                elapsed = (world.tick - world.since.astype(np.int64)) / world.tick_hz
                world.position += world.velocity * elapsed[:, None]
                shard.end(world)

    def until(self, done: Callable[[], object]) -> None:
        """Turn until something is so; fail where it is not so in good time."""
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline, "it never came to be"
            self.turn()

    def of(self, who: object, kind: type) -> list:
        return [event for event in self.told.get(who, []) if isinstance(event, kind)]

    def close(self) -> None:
        for each in [*self.clients, *self.shards, self.server]:
            each.close()


def grown(world: Table) -> int:
    """An entity that walks, spawned by the first shard, once it exists."""
    shard = world.shards[0]
    world.until(lambda: shard.last_tick > 0)
    (entity,) = shard.spawn(np.array([[10.0, 50.0]]), np.array([[5.0, 0.0]])).tolist()
    world.until(lambda: world.server.manager.books.slot_of(entity) is not None)
    return entity
