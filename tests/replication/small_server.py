"""A server with two shards, an operator, a client and a small world, spoken to in bytes."""

import numpy as np

from sidereal.errors import ProtocolError
from sidereal.ids import LinkId
from sidereal.limits import ID_BLOCK
from sidereal.replication.manager import SectorManager
from sidereal.replication.settings import Settings
from sidereal.wire import client_messages as cm
from sidereal.wire import codec
from sidereal.wire import operator_messages as om
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import PROTOCOL_VERSION
from sidereal.world.entities import EntityRows, TransitionRows
from sidereal.world.rules import NS_PER_S, WorldRules
from sidereal.world.sectors import SectorState

SETTINGS = Settings(rules=WorldRules(sector_size=100.0), rebalance_ns=NS_PER_S, cold_load=1.0)
OPERATOR, WEST, EAST, CLIENT = LinkId(1), LinkId(2), LinkId(3), LinkId(4)
TICK_NS = SETTINGS.rules.tick_ns


class Server:
    """A manager with two shards, an operator, a client and a small world."""

    def __init__(self) -> None:
        self.now = 10 * NS_PER_S
        self.manager = SectorManager(SETTINGS, now=0, rng=bytes)
        self.books = self.manager.books
        self.said: dict[LinkId, list] = {}
        self.closed: set[LinkId] = set()
        self.connect()
        grant = self.say(OPERATOR, om.RequestIds(ID_BLOCK))[-1]
        self.spawned = np.arange(grant.first, grant.first + 6, dtype=np.uint64)
        self.say(OPERATOR, om.SpawnEntities(1, rows(self.spawned, x=np.arange(6) * 50.0 - 130)))
        self.turn()
        for link in (WEST, EAST):
            for message in self.said[link]:
                if isinstance(message, sm.AssignSector):
                    self.say(link, sm.SectorReady(message.sector, message.epoch))

    def connect(self) -> None:
        """Make the links that are not there."""
        for link, name in ((OPERATOR, "admin"), (CLIENT, "clients")):
            if link not in self.manager._roles:
                self.manager.connected(link, name)
        if self.books.sessions.by_link(CLIENT) is None:
            self.say(CLIENT, cm.ClientHello(PROTOCOL_VERSION, 0, b""))
        for link, name in ((WEST, "west"), (EAST, "east")):
            if self.books.shards.by_link(link) is None:
                self.manager.connected(link, f"shard:{name}")
                life = self.books.counters["fences"] + self.books.shards.next_id
                hello = sm.RegisterShard(name, life, PROTOCOL_VERSION, 0, self.now, True)
                self.say(link, hello)

    def say(self, link: LinkId, message) -> list:
        """Send a message through its bytes; return what the sender is told."""
        try:
            message = codec.decode(codec.encode(message))
        except ProtocolError:
            return []
        self.manager.receive(link, message, self.now)
        return self.drain().get(link, [])

    def turn(self, ticks: int = 1) -> None:
        for _ in range(ticks):
            self.now += TICK_NS
            self.manager.tick(self.now)
            self.drain()

    def drain(self) -> dict[LinkId, list]:
        heard: dict[LinkId, list] = {}
        for output in self.manager.poll().outputs:
            if hasattr(output, "reason"):
                self.closed.add(output.link)
            elif hasattr(output, "message"):
                codec.decode(codec.encode(output.message))
                heard.setdefault(output.link, []).append(output.message)
        for link, messages in heard.items():
            self.said.setdefault(link, []).extend(messages)
        return heard

    def consistent(self) -> None:
        """What holds of the record, whatever anybody said."""
        books, table = self.books, self.books.table
        counters = books.counters
        assert counters["created"] == len(table) + counters["destroyed"]
        assert len(np.unique(table.handle)) == len(table), "two entities share a handle"
        assert (table.version > 0).all()
        assert np.isfinite(table.position).all()
        assert np.isfinite(table.velocity).all()
        for entry in books.sectors.values():
            assert max(map(abs, entry.coords)) < 2**31
        for coords in books.copies:
            entry = books.sectors[coords]
            assert entry.state in (SectorState.ACTIVE, SectorState.UNLOADING), "it may still move"


def rows(ids, kind=EntityRows, **columns):
    """Return plausible rows for `ids`, but for the columns given."""
    count = len(ids)
    x = columns.pop("x", np.full(count, 50.0))
    position = columns.pop("position", np.column_stack([x, np.full(count, 50.0)]))
    made = {
        "ids": ids,
        "group": np.zeros(count),
        "position": position,
        "velocity": np.ones((count, 2)),
        "sector": np.floor(position / 100).clip(-(2**31) + 1, 2**31 - 1),
        "version": np.zeros(count),
        "handle": np.zeros(count),
        "tick": np.full(count, 190),
        "flags": np.zeros(count),
        "sensor": np.zeros(count),
        "lengths": np.zeros(count),
        "states": np.empty(0),
    }
    if kind is TransitionRows:
        made |= {"target": made["sector"], "epoch": np.ones(count)}
    return kind(**(made | columns))
