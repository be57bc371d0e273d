"""Whatever a peer sends, the server lives: it takes it, ignores it, or ends that one link."""

import typing
from random import Random

import numpy as np
import pytest

from replication.small_server import CLIENT, EAST, OPERATOR, WEST, Server, rows
from sidereal.errors import ProtocolError
from sidereal.ids import LinkId
from sidereal.limits import ID_BLOCK, STATE_BYTES_MAX
from sidereal.wire import client_messages as cm
from sidereal.wire import codec
from sidereal.wire import operator_messages as om
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import PROTOCOL_VERSION
from sidereal.wire.datagrams import ENTITY_STATE, ENTITY_UPDATE
from sidereal.world.columns import Columns
from sidereal.world.entities import (
    ClaimRows,
    EntityRows,
    PlaceRows,
    StateRows,
    TransitionRows,
    gather,
    placed,
)

# --- random messages -------------------------------------------------------------

EDGES = [2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)]
STRANGE = [0.0, -0.0, 100.0, 1e300, -1e300, 2.0**31 * 100, 5e-324, np.nan, np.inf]


class Mouth:
    """Says anything that parses, mostly near what makes sense."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def integer(self) -> int:
        random = self.random
        what = random.random()
        if what < 0.7:
            return random.randint(-1, 8)
        return random.choice(EDGES) if what < 0.85 else random.randint(ID_BLOCK, 4 * ID_BLOCK)

    def number(self) -> float:
        random = self.random
        return random.uniform(-300, 300) if random.random() < 0.8 else random.choice(STRANGE)

    def item(self, dtype: np.dtype) -> float:
        random = self.random
        if dtype.kind == "f":
            with np.errstate(over="ignore"):
                return dtype.type(self.number())
        if random.random() < 0.85:
            return random.choice([0, 1, 1, 2, 3, 5, 190 if dtype.itemsize > 1 else 4])
        least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        return random.choice([least, most, most - 1, least + 1])

    def columns(self, kind: type[Columns]) -> Columns:
        random = self.random
        count = random.choice([0, 1, 1, 2, 3, 7])
        made = {}
        for name, (dtype, width) in kind.LAYOUT.items():
            if name == "ids" and random.random() < 0.8:
                first = random.choice([1, 1, 4, ID_BLOCK + 1, 2 * ID_BLOCK + 1])
                made[name] = random.sample(range(first, first + 8), count)
            elif random.random() < 0.6:
                made[name] = np.full(count * width, self.item(np.dtype(dtype)), dtype)
            else:
                items = [self.item(np.dtype(dtype)) for _ in range(count * width)]
                made[name] = np.array(items, dtype)
        if kind.RAGGED:
            most = [0, 0, 0, 4, 4, STATE_BYTES_MAX + random.randint(0, 1)]
            made["lengths"] = [random.choice(most) for _ in range(count)]
            made["states"] = np.zeros(sum(made["lengths"]), np.uint8)
        return kind(**made)

    def value(self, annotation):
        """Return a value for one field."""
        random, text = self.random, str(annotation)
        if "None" in text and random.random() < 0.2:
            return None
        if isinstance(annotation, type) and issubclass(annotation, Columns):
            return self.columns(annotation)
        if annotation is sm.ShardLoadStats:
            times = [random.choice([None, self.number()]) for _ in range(2)]
            return sm.ShardLoadStats(self.integer(), self.integer(), *times)
        if annotation is str:
            return random.choice(["load", "unload", "migrate", "drain", "undrain", "west"])
        if annotation is bytes:
            return bytes(random.choice([0, 4, 16]))
        if annotation is bool:
            return random.random() < 0.5
        if annotation is float:
            return self.number()
        if "..." in text or "list" in text:
            made = [self.integer() for _ in range(random.randint(0, 4))]
            return tuple(made) if "..." in text else made
        if "tuple" in text:
            near = random.random() < 0.7
            return tuple(random.randint(-2, 2) if near else self.integer() for _ in range(2))
        assert "int" in text, f"no value for {annotation}"
        return self.integer()

    def message(self, server: Server):
        """Return a message that a server takes from somebody, and who says it."""
        random = self.random
        kind = random.choice(TAKEN)
        hints = typing.get_type_hints(kind)
        fields = {name: self.value(hints[name]) for name in kind.__struct_fields__}
        link = random.choice(SENDERS[kind.__module__])
        if random.random() < 0.75:
            fields |= self.plausible(kind, server, link)
        if random.random() < 0.05:
            link = random.choice([OPERATOR, WEST, EAST, CLIENT])
        return link, kind(**fields)

    def plausible(self, kind, server: Server, link: LinkId) -> dict:
        """Return fields as an honest peer would have them, one column now and then wrong."""
        random, books = self.random, server.books
        shard = books.shards.by_link(link)
        if kind is sm.RegisterShard:
            name = "west" if link == WEST else "east"
            return {"name": name, "protocol": PROTOCOL_VERSION, "term_seen": 0}
        if kind is om.Command:
            entry = random.choice([books.sectors[coords] for coords in sorted(books.sectors)])
            others = [info.shard_id for info in books.shards if info.shard_id != entry.shard_id]
            if not others:
                return {}
            return {"verb": "migrate", "sector": entry.coords, "shard": random.choice(others)}
        if kind is sm.SectorReady and shard is not None and shard.sectors:
            entry = books.sectors[random.choice(sorted(shard.sectors))]
            return {"sector": entry.coords, "epoch": entry.epoch}
        if kind in MOVES and shard is not None and shard.sectors:
            return self.move(kind, books, shard)
        if kind is om.SpawnEntities:
            first = ID_BLOCK + random.randrange(3 * ID_BLOCK)
            if books.tool_ids.blocks:
                _, _, highest = random.choice(books.tool_ids.blocks)
                first = highest + 1 + random.randrange(99)
            return {"entities": self.spoilt(rows(np.arange(first, first + 3, dtype=np.uint64)))}
        if shard is None:
            return {}
        mine = books.rows_of(shard.shard_id)
        some = mine[: random.randint(0, len(mine))]
        if kind is sm.DestroyEntities:
            table = books.table
            claims = ClaimRows(ids=table.ids[some[:1]], version=table.version[some[:1]])
            return {"claims": self.spoilt(claims)}
        if kind is sm.EntityStates:
            table, count = books.table, len(some)
            states = StateRows(
                ids=table.ids[some],
                version=table.version[some],
                tick=table.tick[some] + 1,
                lengths=np.full(count, 2),
                states=np.zeros(2 * count),
            )
            return {"states": self.spoilt(states)}
        if kind is sm.EntityPlaces:
            found = gather(books.table, some)
            columns = {name: getattr(found, name) for name in PlaceRows.LAYOUT}
            return {"places": self.spoilt(PlaceRows(**(columns | {"tick": found.tick + 1})))}
        if kind is sm.EntityTransitionRequest:
            return {"entities": self.spoilt(self.requests(books, shard, some))}
        return {}

    def move(self, kind, books, shard) -> dict:
        """Return what the source of a move would say of it, or its target."""
        random = self.random
        mine = [books.sectors[coords] for coords in sorted(shard.sectors)]
        moving = [books.sectors[coords] for coords in books.copies]
        entry = random.choice(moving or mine)
        fields = {"sector": entry.coords, "epoch": entry.epoch, "attempt": entry.attempt}
        if kind is sm.SectorCopied:
            return fields
        rows = gather(books.table, books.rows_in(shard.shard_id, entry.coords))
        if kind is sm.SectorCopy:
            return fields | {"left": random.choice([0, 0, 1]), "entities": self.spoilt(rows)}
        if random.random() < 0.5:
            places = self.spoilt(placed(rows))
            return fields | {"entities": EntityRows.empty(), "places": places}
        return fields | {"entities": self.spoilt(rows), "places": PlaceRows.empty()}

    def requests(self, books, shard, some) -> TransitionRows:
        """Return requests to leave, and to spawn, that the server would take."""
        random = self.random
        leaving = gather(books.table, some)
        serial = max(shard.spawn_serial + 1, shard.grants[-1][0]) if shard.grants else 1
        born = rows(np.arange(serial, serial + random.randint(0, 3), dtype=np.uint64))
        asking = EntityRows.concat([leaving, born])
        _, epoch = books.owners.get(asking.sector)
        step = np.array([random.randint(-1, 1), random.randint(-1, 1)], np.int32)
        columns = {name: getattr(asking, name) for name in EntityRows.LAYOUT}
        columns["position"] = asking.position + 100.0 * step
        if random.random() < 0.3:
            columns["group"] = np.full(len(asking), 7)
            columns["sector"] = np.zeros((len(asking), 2))
        return TransitionRows(
            **columns,
            lengths=asking.lengths,
            states=asking.states,
            target=asking.sector + step,
            epoch=epoch,
        )

    def spoilt(self, found: Columns) -> Columns:
        """Return the rows, half of the time with one item of one column wrong, or a row twice."""
        random = self.random
        if not len(found) or random.random() < 0.5:
            return found
        if random.random() < 0.2:
            return type(found).concat([found, found.take([random.randrange(len(found))])])
        made = {name: getattr(found, name).copy() for name in type(found).LAYOUT}
        name = random.choice(sorted(made))
        item = self.item(np.dtype(type(found).LAYOUT[name][0]))
        made[name][random.randrange(len(found))] = item
        if type(found).RAGGED:
            made |= {"lengths": found.lengths, "states": found.states}
            if random.random() < 0.1:
                made["lengths"] = np.full(len(found), STATE_BYTES_MAX + 1)
                made["states"] = np.zeros(int(made["lengths"].sum()), np.uint8)
        return type(found)(**made)


MOVES = (sm.SectorCopy, sm.SectorCopied, sm.SectorLastStates, sm.SectorRemoved)
TAKEN = [
    sm.RegisterShard,
    sm.Heartbeat,
    sm.ShardLoadUpdate,
    sm.SectorReady,
    *MOVES,
    *MOVES,
    sm.ProposeSectorDeactivation,
    *[sm.EntityTransitionRequest] * 4,
    sm.DestroyEntities,
    sm.EntityStates,
    sm.EntityPlaces,
    sm.SendMail,
    om.RequestIds,
    om.SpawnEntities,
    om.DestroyByOperator,
    *[om.Command] * 3,
    om.StatusRequest,
    om.Why,
    cm.ClientHello,
    cm.Subscribe,
    cm.Unsubscribe,
    cm.Possess,
]
SENDERS = {sm.__name__: [WEST, EAST], om.__name__: [OPERATOR], cm.__name__: [CLIENT]}


@pytest.mark.parametrize("seed", range(40))
def test_no_well_formed_message_stops_the_server(seed):
    server, mouth = Server(), Mouth(seed)
    for _ in range(60):
        link, said = mouth.message(server)
        try:
            server.say(link, said)
            server.turn(mouth.random.choice([0, 0, 0, 1, 12]))
            server.consistent()
        except Exception as error:
            raise AssertionError(f"after {said}") from error
        server.connect()
    server.turn(12)
    server.consistent()


@pytest.mark.parametrize("seed", range(10))
def test_no_malformed_bytes_stop_the_server(seed):
    server, mouth = Server(), Mouth(seed)
    for _ in range(300):
        link, said = mouth.message(server)
        data = bytearray(codec.encode(said))
        for _ in range(mouth.random.randint(0, 4)):
            data[mouth.random.randrange(min(len(data), 120))] = mouth.random.randrange(256)
        try:
            decoded = codec.decode(bytes(data[: len(data) - mouth.random.choice([0, 0, 1])]))
        except ProtocolError:
            continue
        server.manager.receive(link, decoded, server.now)
        server.drain()
        server.consistent()
        server.connect()
    server.turn(12)
    server.consistent()


@pytest.mark.parametrize("seed", range(5))
def test_no_datagram_stops_the_server(seed):
    server, random = Server(), Random(seed)
    for _ in range(200):
        kind = random.choice([ENTITY_UPDATE, ENTITY_STATE, 0, 3])
        payload = bytearray([kind]) + random.randbytes(random.choice([0, 3, 7, 31, 43]))
        for at in range(1, len(payload)):
            payload[at] = random.choice([0, 0, 0, 1, payload[at]])
        link = random.choice([OPERATOR, WEST, CLIENT, LinkId(99)])
        server.manager.receive_datagrams(link, [bytes(payload), b""], server.now)
        server.consistent()
    server.turn(3)
    server.consistent()
