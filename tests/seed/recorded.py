"""A simulated cluster that writes down every message, with the state its sector had by then."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sidereal.replication.settings import Settings
from sidereal.testing.cluster import Cluster, SimulatedShard
from sidereal.testing.links import Weather
from sidereal.wire import operator_messages as om
from sidereal.wire.base import Message
from sidereal.world.rules import NS_PER_S, WorldRules
from sidereal.world.sectors import SectorState

SIZE = 100.0
SERVER = "server"
SETTINGS = Settings(
    rules=WorldRules(sector_size=SIZE),
    idle_unload_ns=2 * NS_PER_S,
    rebalance_ns=1000 * NS_PER_S,
)


@dataclass(frozen=True)
class Entry:
    """One message that arrived."""

    at_ns: int
    sender: str
    receiver: str
    message: Message
    state: SectorState | None
    """Of the sector that the message names, at the server, once it was taken."""

    @property
    def kind(self) -> str:
        return type(self.message).__name__


class Recorded(Cluster):
    """A cluster on a calm network, with a transcript."""

    def __init__(self, *, shards: int = 2, settings: Settings = SETTINGS, **more) -> None:
        self.transcript: list[Entry] = []
        calm = Weather(jitter_ns=0, datagram_loss=0.0)
        super().__init__(1, shards=shards, settings=settings, weather=calm, **more)
        self._recording_manager()
        self.run(0.5)

    def add_shard(self, name: str) -> SimulatedShard:
        shard = super().add_shard(name)
        listen(shard, lambda message: self._note(SERVER, name, message))
        return shard

    def _recording_manager(self) -> None:
        take = self.manager.receive

        def receive(link, message: Message, now: int) -> None:
            take(link, message, now)
            sender = [shard.name for shard in self.shards if shard.link == link]
            if sender:
                self._note(sender[0], SERVER, message)

        self.manager.receive = receive

    def _note(self, sender: str, receiver: str, message: Message) -> None:
        sector = getattr(message, "sector", None)
        state = self.state(sector) if isinstance(sector, tuple) else None
        self.transcript.append(Entry(self.clock.now, sender, receiver, message, state))

    # --- what a test asks ----------------------------------------------------

    def said(self, *kinds: type[Message], sector=None, entity=None) -> list[Entry]:
        """Entries of these kinds; those about a sector or an entity, where one is named."""
        return [
            entry
            for entry in self.transcript
            if isinstance(entry.message, kinds)
            and (sector is None or entry.message.sector == sector)
            and (entity is None or entity in named_by(entry.message))
        ]

    def state(self, sector) -> SectorState:
        """What the sector map says of a sector."""
        entry = self.manager.books.sectors.get(sector)
        return SectorState.UNLOADED if entry is None else entry.state

    def owner(self, sector) -> int:
        return self.manager.books.entry(sector).shard_id

    def put(self, sector, shard: int) -> None:
        """Have a sector simulated by the shard of this number."""
        shard_id = self.shards[shard].core.shard_id
        self.command(om.Command(1, "load", sector, None))
        self.run(0.2)
        if self.owner(sector) != shard_id:
            self.command(om.Command(1, "migrate", sector, shard_id))
            self.run(0.2)
        assert (self.owner(sector), self.state(sector)) == (shard_id, SectorState.ACTIVE)

    def one(self, x: float, y: float, *, velocity=(0.0, 0.0), **more) -> int:
        """Spawn one entity; returns its id."""
        return int(self.spawn(np.array([[x, y]]), np.array([velocity], float), **more)[0])

    def sector_of(self, entity: int) -> list[int]:
        """Where the server's record has an entity."""
        return row(self.manager.books.table, entity, "sector")


def listen(shard: SimulatedShard, told: Callable[[Message], None]) -> None:
    """Be told of every message that a shard receives, once it has taken it."""
    take = shard.core.receive

    def receive(message: Message, now: int) -> None:
        take(message, now)
        told(message)

    shard.core.receive = receive


def named_by(message: Message) -> set[int]:
    """The ids of all entities in a message."""
    rows = [getattr(message, name) for name in message.__struct_fields__]
    return {int(i) for each in rows if hasattr(each, "ids") for i in each.ids}


def row(table, entity: int, column: str) -> list:
    """One column of one entity of a table."""
    slot = table.slots(np.array([entity], np.uint64))
    return getattr(table, column)[slot].tolist()[0]


def holds(shard: SimulatedShard, entity: int) -> bool:
    """Whether an entity is in a shard's table, in whatever phase."""
    return entity in shard.core.holdings.table.ids.tolist()
