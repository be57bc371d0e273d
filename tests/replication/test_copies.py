"""A sector is copied before it moves: the freeze carries little, and the copy gives no rights."""

import numpy as np
import pytest

from replication.small_server import EAST, WEST, Server, rows
from sidereal.errors import ProtocolError
from sidereal.limits import COPY_BYTES_MAX, COPY_PARTS_MAX
from sidereal.replication import copies, lifecycle
from sidereal.replication.settings import MS, Settings
from sidereal.shard.copies import HeardCopies, HeardCopy, SaidCopy
from sidereal.shard.phase import STILL
from sidereal.testing import checks
from sidereal.testing.cluster import Cluster
from sidereal.testing.links import Weather
from sidereal.testing.observer import Observer
from sidereal.wire import operator_messages as om
from sidereal.wire import shard_messages as sm
from sidereal.world.entities import EntityRows, PlaceRows, placed
from sidereal.world.rules import NS_PER_S, WorldRules

SETTINGS = Settings(
    rules=WorldRules(sector_size=100.0),
    lease_ns=2 * NS_PER_S,
    idle_unload_ns=20 * NS_PER_S,
    cold_load=1e9,
)
STATE = np.dtype([("count", "u4"), ("rest", "u1", 60)])
HOME = (0, 0)


class Freezes(Observer):
    """What crossed the links in freezes and for copies."""

    def __init__(self) -> None:
        self.whole = self.placed = self.copied = 0

    def server_heard(self, shard, link, message):
        if isinstance(message, sm.SectorRemoved | sm.SectorLastStates):
            self.whole += len(message.entities)
            self.placed += len(message.places)
        elif isinstance(message, sm.SectorCopy):
            self.copied += len(message.entities)


class Remembering:
    """A game in which nobody crosses: each step must find what the last one left."""

    def __init__(self) -> None:
        self.left: dict[int, tuple] = {}
        self.last_tick: dict[int, int] = {}

    def step(self, world, dt):
        for row, entity in enumerate(world.ids.tolist()):
            if world.shadow[row]:
                continue
            found = self.seen(world, row)
            before = self.left.get(entity)
            assert before is None or found == before, f"{entity} is not as its last step left it"
            assert world.tick > self.last_tick.get(entity, 0)
            self.last_tick[entity] = world.tick
        odd = world.ids % np.uint64(5)
        world.position += (
            np.where(odd == 0, 0.0, 0.01)[:, None] * np.sin(world.tick + world.ids)[:, None]
        )
        world.state["count"] += odd == 1
        world.state["rest"][odd == 2] = world.tick // 7 % 2  # to and fro: as it was before last
        world.state["count"] += (odd == 3) & (world.tick % 31 == 0)
        for row, entity in enumerate(world.ids.tolist()):
            self.left[entity] = self.seen(world, row)

    @staticmethod
    def seen(world, row) -> tuple:
        return (*world.position[row], *world.velocity[row], world.state[row].tobytes())


def crowd(game, count: int, spread: float, weather: Weather | None = None) -> Cluster:
    cluster = Cluster(
        5, settings=SETTINGS, step=game, state_dtype=STATE, weather=weather, comes_back=True
    )
    cluster.run(0.5)
    draw = np.random.default_rng(count)
    centre = np.full((count, 2), 50.0)
    cluster.spawn(centre + draw.uniform(-spread, spread, (count, 2)), np.zeros((count, 2)))
    cluster.run(1.5)
    return cluster


def move(cluster: Cluster, coords=HOME) -> None:
    entry = cluster.manager.books.sectors[coords]
    cluster.command(om.Command(1, "migrate", coords, 1 - entry.shard_id))


def no_copies_left(cluster: Cluster) -> None:
    assert not cluster.manager.books.copies
    for shard in cluster.alive():
        assert not len(shard.core.sectors.copies)
        assert all(h.said is None and h.heard is None for h in shard.core.sectors.held.values())


@pytest.mark.parametrize("delay_ms", [0, 15, 70])
def test_a_move_loses_nothing_of_what_changes_while_it_is_copied(delay_ms):
    game, count = Remembering(), 80
    weather = Weather(delay_ns=delay_ms * MS, jitter_ns=delay_ms * MS // 2, datagram_loss=0.2)
    cluster = crowd(game.step, count, 40.0, weather)
    freezes = Freezes()
    cluster.observers.append(freezes)
    for _ in range(12):
        before = cluster.manager.books.counters["migrations"]
        move(cluster)
        cluster.run(1.1)
        assert cluster.manager.books.counters["migrations"] == before + 1
    assert freezes.copied == freezes.whole + freezes.placed == 12 * count
    assert freezes.whole < freezes.placed, "most states were as copied"
    assert freezes.whole > 0 or not delay_ms, "and some were not"
    checks.settled(cluster)
    no_copies_left(cluster)


def test_transitions_go_on_while_a_sector_is_copied():
    def swing(world, dt):
        turned = (world.tick // 5 + world.ids) % 2 == 0
        world.position[:, 0] = np.where(turned, 95.0, 105.0)
        world.state["count"] += 1

    cluster = crowd(swing, 40, 5.0, Weather(delay_ns=25 * MS, jitter_ns=10 * MS))
    books = cluster.manager.books

    def inside(coords) -> set[int]:
        return set(books.table.ids[(books.table.sector == coords).all(axis=1)].tolist())

    came, left = set(), set()
    for turn in range(16):
        before, coords = books.counters["migrations"], (turn % 2, 0)
        source = cluster.shards[books.sectors[coords].shard_id].core.holdings
        move(cluster, coords)
        while lifecycle.moves(books, books.sectors[coords]):
            there, waiting = inside(coords), books.counters["transitions_into_custody"]
            cluster.run(0.002)
            if not lifecycle.moves(books, books.sectors[coords]):
                break  # it is frozen now: what comes waits
            assert books.counters["transitions_into_custody"] == waiting
            assert not (source.table.phase[source.rows_in(coords)] & STILL).any()
            came |= inside(coords) - there
            left |= there - inside(coords)
        cluster.run(0.5)
        assert books.counters["migrations"] == before + 1
    assert len(came) > 5, "they came into a sector while it was copied"
    assert len(left) > 5, "and they left it"
    assert len(books.table) == 40
    cluster.step = lambda world, dt: None
    cluster.run(3)
    checks.at_rest(cluster)
    no_copies_left(cluster)


@pytest.mark.parametrize("after_ms", range(0, 260, 13))
@pytest.mark.parametrize("victim", ["source", "target"])
def test_a_copy_ends_with_either_session_and_nothing_with_it(after_ms, victim):
    game = Remembering()
    cluster = crowd(game.step, 20, 40.0, Weather(delay_ns=20 * MS, jitter_ns=0, datagram_loss=0.0))
    source = cluster.manager.books.sectors[HOME].shard_id
    move(cluster)
    cluster.run(after_ms / 1000)
    number = source if victim == "source" else 1 - source
    shard = next(shard for shard in cluster.shards if shard.core.shard_id == number)
    cluster.link_broke(shard.link)
    shard.relink()
    cluster.run(2)
    assert cluster.manager.books.counters["fences"] == 0
    assert len(game.left) == len(cluster.manager.books.table) == 20
    checks.settled(cluster)
    no_copies_left(cluster)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_death_while_a_sector_is_copied_leaves_no_copy(victim):
    cluster = crowd(lambda world, dt: None, 20, 40.0, Weather(delay_ns=40 * MS))
    source = cluster.manager.books.sectors[HOME].shard_id
    move(cluster)
    cluster.run(0.1)
    assert HOME in cluster.manager.books.copies
    number = source if victim == 0 else 1 - source
    cluster.kill(next(s for s in cluster.shards if s.core.shard_id == number))
    cluster.run(4)
    assert len(cluster.manager.books.table) == 20
    checks.settled(cluster)
    no_copies_left(cluster)


def test_a_sector_that_is_unloaded_while_it_is_copied_gives_its_copy_up():
    cluster = crowd(lambda world, dt: None, 20, 40.0, Weather(delay_ns=40 * MS))
    move(cluster)
    cluster.run(0.1)
    cluster.command(om.Command(2, "unload", HOME, None))
    cluster.run(2)
    books = cluster.manager.books
    assert books.counters["migrations"] == 0
    assert books.counters["deactivations"] == 1
    checks.settled(cluster)
    no_copies_left(cluster)


@pytest.mark.parametrize("room", [0, 5_000])
def test_a_copy_that_finds_no_room_is_not_made_and_the_sector_moves_all_the_same(room, monkeypatch):
    game = Remembering()
    cluster = crowd(game.step, 60, 40.0)
    if room:  # expected to fit, and it does not
        monkeypatch.setattr(copies, "ROW_BYTES", 1)
        monkeypatch.setattr(copies, "COPY_BYTES_MAX", room)
    else:
        monkeypatch.setattr(copies, "COPY_BYTES_MAX", 0)
    freezes = Freezes()
    cluster.observers.append(freezes)
    move(cluster)
    cluster.run(1)
    assert cluster.manager.books.counters["migrations"] == 1
    assert (freezes.whole, freezes.placed) == (60, 0)
    checks.settled(cluster)
    no_copies_left(cluster)


def some_rows(draw: np.random.Generator, ids: np.ndarray) -> EntityRows:
    lengths = draw.integers(0, 4, len(ids))
    return rows(
        ids, version=draw.integers(1, 3, len(ids)), lengths=lengths, states=np.zeros(lengths.sum())
    )


@pytest.mark.parametrize("seed", range(60))
def test_what_is_said_whole_and_what_the_copy_has_make_the_frozen_sector(seed):
    draw = np.random.default_rng(seed)
    ids = draw.permutation(30).astype(np.uint64)
    said = some_rows(draw, ids[: draw.integers(0, 30)])
    sent = draw.integers(0, 9, len(said)).astype(np.uint32)
    index = draw.permutation(len(said))[: draw.integers(0, len(said) + 1)] if len(said) else []
    if seed % 3 == 0:
        index = np.arange(len(said))
    stayed = said.take(np.asarray(index, np.int64))
    now = EntityRows.concat([stayed, some_rows(draw, ids[29:])])
    now_sent = np.concatenate([sent[np.asarray(index, np.int64)], [0]]).astype(np.uint32)
    columns = {name: getattr(now, name).copy() for name in EntityRows.LAYOUT}
    columns["position"] = draw.uniform(0, 100, (len(now), 2))
    columns["version"][draw.random(len(now)) < 0.2] += 1
    states = now.states.copy()
    states[draw.random(len(states)) < 0.2] = 1
    again = draw.random(len(now)) < 0.2
    now_sent[again] += 10
    now = EntityRows(**columns, lengths=now.lengths, states=states)
    whole, places = SaidCopy(1, said, sent).split(now, now_sent)
    assert not np.isin(places.ids, now.ids[again]).any(), "sent since: the server has another"
    heard = HeardCopy(1, 1, [said.cut(0, len(said) // 2), said.cut(len(said) // 2, len(said))])
    heard.close()
    made = EntityRows.concat([whole, heard.moved(places)])
    in_order = made.take(np.argsort(made.ids)), now.take(np.argsort(now.ids))
    assert in_order[0].to_bytes() == in_order[1].to_bytes()


def test_a_place_that_no_copy_has_is_an_error():
    heard = HeardCopy(1, 1, [rows(np.arange(5, dtype=np.uint64), version=np.ones(5))])
    heard.close()
    other = rows(np.array([3], np.uint64), version=np.full(1, 2))
    for strange in (other, rows(np.array([9], np.uint64), version=np.ones(1))):
        with pytest.raises(ProtocolError, match="no copy has it"):
            heard.moved(placed(strange))


def test_all_copies_together_are_bounded_whatever_becomes_of_them():
    heard, empty = HeardCopies(), EntityRows.empty()
    ids = np.arange(16_384, dtype=np.uint64)
    part = rows(ids, version=np.ones(len(ids)))
    each = copies.nbytes(part)
    for attempt in range(3 * COPY_BYTES_MAX // each):  # ousted, dropped, claimed: never too many
        heard.take(sm.SectorCopy((0, 0), 1, attempt, 1, part))
        heard.take(sm.SectorCopy((0, 1), 1, attempt, 0, part))
        if attempt % 2:
            heard.drop(sm.DropCopy((0, 1), 1, attempt))
        else:
            assert heard.claim((0, 1), 2) is not None
    most = COPY_BYTES_MAX // each
    heard.clear()
    for n in range(most):
        heard.take(sm.SectorCopy((0, 2), 1, 1, most - n, part))
    with pytest.raises(ProtocolError, match="copies of more than"):
        heard.take(sm.SectorCopy((0, 3), 1, 1, 0, part))
    with pytest.raises(ProtocolError, match="were to follow"):
        heard.take(sm.SectorCopy((0, 2), 1, 1, 5, empty))


def test_a_copy_that_turns_out_too_large_is_given_up_and_the_target_blames_nobody(monkeypatch):
    """What it takes was estimated by the states of all: those of this sector are larger."""
    for where in ("replication", "shard"):
        monkeypatch.setattr(f"sidereal.{where}.copies.COPY_BYTES_MAX", 40_000)
    cluster = Cluster(1, shards=2)
    cluster.run(0.5)
    cluster.spawn(np.full((20, 2), 50.0), np.zeros((20, 2)), states=np.zeros((20, 3000), np.uint8))
    cluster.spawn(np.full((400, 2), 5050.0), np.zeros((400, 2)))
    cluster.run(1)
    books = cluster.manager.books
    target = {0: 1, 1: 0}[books.sectors[(0, 0)].shard_id]
    assert cluster.command(om.Command(1, "migrate", (0, 0), target)).ok
    assert books.copies
    cluster.run(1)
    assert cluster.accusations == []
    assert books.sectors[(0, 0)].shard_id == target
    checks.settled(cluster)


@pytest.mark.parametrize(("first", "second"), [(7, 7), (7, 8), (7, 5), (COPY_PARTS_MAX, None)])
def test_the_parts_of_a_copy_are_counted_down(first, second):
    """Else a shard could send parts without an end, empty ones, that cost two others time."""
    server = Server()
    asked, mine, source, target = copying(server)
    fence = asked.sector, asked.epoch, asked.attempt
    server.say(source, sm.SectorCopy(*fence, first, EntityRows.empty()))
    if second is not None:
        assert source not in server.closed
        server.say(source, sm.SectorCopy(*fence, second, mine))
    assert source in server.closed
    assert target not in server.closed
    server.consistent()


def copying(server: Server) -> tuple[sm.CopySector, EntityRows, int, int]:
    """A server that has asked for a copy, and all that the source has."""
    books = server.books
    entry = max(books.sectors.values(), key=lambda e: (e.entities, len(e.coords)))
    source = WEST if books.shards.by_link(WEST).shard_id == entry.shard_id else EAST
    target = EAST if source == WEST else WEST
    copies.begin(books, entry, books.shards.by_link(target).shard_id, "a test")
    (asked,) = [m for m in server.drain()[source] if isinstance(m, sm.CopySector)]
    slots = books.rows_in(entry.shard_id, entry.coords)
    return asked, copies.gather(books.table, slots), source, target


@pytest.mark.parametrize("wrong", ["no copy", "another id", "another version", "more", "early"])
def test_a_shard_that_says_what_its_copy_had_not_loses_its_link(wrong):
    server = Server()
    asked, mine, source, target = copying(server)
    fence = asked.sector, asked.epoch, asked.attempt
    removed = sm.SectorRemoved(*fence, EntityRows.empty(), places=placed(mine))
    if wrong == "early":  # it was not asked to freeze: that has no effect but a counted reason
        server.say(source, removed)
        assert source not in server.closed
        assert server.books.counters["stale_sector_messages"] == 1
        return
    had = mine.take(np.arange(0 if wrong == "no copy" else len(mine) - 1))
    server.say(source, sm.SectorCopy(*fence, 0, had))
    if wrong == "more":
        server.say(source, sm.SectorCopy(*fence, 0, had))
    else:
        server.say(target, sm.SectorCopied(*fence))
        places = placed(mine)
        if wrong == "another version":
            columns = {name: getattr(places, name) for name in PlaceRows.LAYOUT}
            places = PlaceRows(**(columns | {"version": places.version + 1}))
            server.say(source, sm.SectorRemoved(*fence, EntityRows.empty(), places=places))
            assert source not in server.closed, "as any row that is out of date"
            return
        server.say(source, removed)
    assert source in server.closed
    server.consistent()


def test_who_is_not_asked_for_a_copy_says_nothing_with_one():
    server = Server()
    asked, mine, source, target = copying(server)
    fence = asked.sector, asked.epoch, asked.attempt
    for link, message in (
        (target, sm.SectorCopy(*fence, 0, mine)),
        (source, sm.SectorCopy(asked.sector, asked.epoch, asked.attempt + 1, 0, mine)),
        (source, sm.SectorCopied(*fence)),
        (target, sm.SectorCopied(*fence)),
        (target, sm.SectorCopied((99, 99), 1, 1)),
    ):
        before = server.books.counters["stale_sector_messages"]
        server.say(link, message)
        assert server.books.counters["stale_sector_messages"] == before + 1
    assert not server.closed
    server.say(source, sm.SectorCopy(*fence, 0, mine))
    server.say(target, sm.SectorCopied(*fence))
    assert server.books.sectors[asked.sector].state.value == "Unloading"
