"""What a game asks to exist comes to exist: in `fill`, in a step, and from an operator's tool."""

import numpy as np
import pytest

import sidereal
from runtime.table import PSKS, Table
from sidereal.errors import LimitError, SimulationError
from sidereal.ids import LinkId
from sidereal.limits import ID_BLOCK, SPAWNS_WAITING_MAX
from sidereal.replication import lifecycle
from sidereal.runtime.clock import now_ns
from sidereal.runtime.host import Host
from sidereal.runtime.operator import Operator, OperatorError, entity_rows
from sidereal.runtime.wishes import Wishes
from sidereal.wire.operator_messages import RequestIds, SpawnEntities
from sidereal.world.rules import NS_PER_S
from sidereal.world.sectors import SectorState

BORN = np.dtype([("number", "<u4")])


def rows(count: int, where: float = 50.0) -> sidereal.Spawn:
    return sidereal.Spawn(np.full((count, 2), where), np.zeros((count, 2)))


class Garden:
    """Fills sectors around the origin, and stands still."""

    state_dtype = BORN

    def __init__(self, options: object = None) -> None:
        self.filled: list[tuple[int, int]] = []
        self.waits: list[int] = []
        self.flags: set[int] = set()
        self.numbers: set[int] = set()

    def fill(self, sector, rules):
        self.filled.append(sector)
        if sector != (0, 0):
            return None
        state = np.arange(3, dtype="<u4").view(BORN)
        place = np.full((3, 2), rules.sector_size / 2)
        return sidereal.Spawn(place, np.zeros((3, 2)), state, flags=np.full(3, 256))

    def step(self, world, dt):
        self.waits += (world.tick - world.since.astype(int)).tolist()
        self.flags |= set(world.flags.tolist())
        self.numbers |= set(world.state["number"].tolist())


def hosted(world: Table, simulation: object) -> Host:
    """A simulation on a shard of its own."""
    shard = sidereal.Shard("one", world.server.address, PSKS["shard:one"], state_dtype=BORN)
    host = Host(shard, simulation)

    def turn() -> None:
        world.server.step()
        host.turn()

    world.turn = turn
    world.shards.append(shard)
    return host


def wanted(world: Table, *sectors: tuple[int, int]) -> None:
    """Have sectors loaded, and wait until they are."""
    books = world.server.manager.books
    for sector in sectors:
        books.wanted.setdefault(sector)
    world.until(lambda: all(books.entry(sector).state is SectorState.ACTIVE for sector in sectors))


def test_a_step_class_fills_each_sector_once_however_often_it_is_loaded(table):
    world, garden = table(), Garden()
    books = world.server.manager.books
    hosted(world, garden)
    wanted(world, (0, 0), (7, 7))
    world.until(lambda: len(books.table) == 3)
    entry = books.sectors[7, 7]
    lifecycle.unassign(books, entry, None, "the test", now_ns())
    world.until(lambda: entry.state is SectorState.UNLOADED)
    wanted(world, (7, 7))
    assert sorted(garden.filled) == [(0, 0), (7, 7)]
    world.until(lambda: len(garden.waits) > 6)
    assert garden.numbers == {0, 1, 2}
    assert garden.flags == {256}


def test_a_simulation_that_spawns_outside_the_world_is_told_in_one_line(table):
    class Careless(Garden):
        def fill(self, sector, rules):
            return rows(1, 1e300)

    world = table()
    hosted(world, Careless())
    world.until(lambda: len(world.server.manager.books.shards))
    with pytest.raises(SimulationError, match=r"outside the world, the first \(1e\+300"):
        wanted(world, (0, 0))


def test_a_fill_that_raises_is_told_by_its_name_and_sector(table):
    class Broken(Garden):
        def fill(self, sector, rules):
            raise KeyError("no such rule")

    world = table()
    hosted(world, Broken())
    world.until(lambda: len(world.server.manager.books.shards))
    with pytest.raises(SimulationError, match=r"Broken\.fill raised KeyError.*sector \(0, 0\)"):
        wanted(world, (0, 0))


def running(world: Table) -> tuple[sidereal.Shard, object]:
    """The first shard, once it simulates, and the server's table of entities."""
    shard = world.shards[0]
    world.until(lambda: shard.last_tick > 0)
    return shard, world.server.manager.books.table


def test_what_is_spawned_before_the_first_tick_has_not_waited_since_the_world_began(table):
    world = table()
    books = world.server.manager.books
    books.origin_ns -= 1000 * NS_PER_S
    shard = sidereal.Shard("one", world.server.address, PSKS["shard:one"])
    world.shards.append(shard)

    def greet() -> None:
        world.server.step()
        shard.poll()

    world.turn = greet
    world.until(lambda: shard.registered and len(shard.core._ids))
    shard.spawn(np.zeros((1, 2)), np.zeros((1, 2)))
    batch = shard.begin(shard.due())
    assert batch.tick - batch.since.tolist()[0] <= 2


def test_a_spawn_of_a_step_whose_lease_ended_waits_for_the_next_lease(table):
    world = table("one")
    shard, record = running(world)
    batch = shard.begin(shard.last_tick + 1)
    batch.spawn(np.array([[50.0, 50.0]]), np.zeros((1, 2)))
    shard.core.session._lease_until = 0
    assert not shard.end(batch)
    assert not len(shard.core.holdings.table), "nothing of that step leaves"
    world.until(lambda: len(record) == 1)
    assert not len(shard._wishes)


def test_a_spawn_that_has_not_left_when_the_link_breaks_is_asked_for_when_it_is_made_anew(table):
    world = table("one")
    shard, record = running(world)
    batch = shard.begin(shard.last_tick + 1)
    batch.spawn(np.array([[50.0, 50.0]]), np.zeros((1, 2)))
    shard.core.session._lease_until = 0
    shard.end(batch)
    (info,) = world.server.manager.books.shards
    world.server.channel.endpoint.close(info.link, "the test cut it", now_ns())
    world.until(lambda: world.of(shard, sidereal.LinkLost))
    world.until(lambda: len(record) == 1)


def test_a_spawn_for_which_no_ids_are_left_waits_for_the_grant_and_costs_none(table):
    world = table("one")
    shard, record = running(world)
    core = shard.core
    core._ids._blocks = [(core._ids._blocks[0][0], 3)]
    with pytest.raises(LimitError, match="5 ids wanted, 3 left"):
        shard.spawn(np.full((5, 2), 50.0), np.zeros((5, 2)))
    assert len(core._ids) == 3
    shard.wish(rows(5))
    world.until(lambda: len(record) == 5)


def test_the_queue_of_spawns_has_a_bound_and_refuses_what_is_more():
    wishes = Wishes()
    with pytest.raises(LimitError, match="at once"):
        wishes.add(rows(ID_BLOCK + 1))
    for _ in range(SPAWNS_WAITING_MAX // ID_BLOCK):
        wishes.add(rows(ID_BLOCK))
    with pytest.raises(LimitError, match="wait"):
        wishes.add(rows(1))
    assert len(wishes) == SPAWNS_WAITING_MAX


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"velocity": np.zeros((2, 2))}, "3 positions, but 2 of velocity"),
        ({"flags": [1]}, "3 positions, but 1 of flags"),
        ({"position": np.full((3, 2), np.nan)}, "position .*nan.* of row 0"),
    ],
)
def test_columns_of_a_spawn_that_do_not_fit_are_refused_at_once(columns, reason):
    usual = {"position": np.zeros((3, 2)), "velocity": np.zeros((3, 2))}
    with pytest.raises(ValueError, match=reason):
        sidereal.Spawn(**(usual | columns))


def test_an_operator_spawns_plain_columns_wherever_they_lie(world):
    address, keys = world
    with Operator(address, keys["admin"]) as operator:
        ids = operator.spawn(
            np.array([[-1e6, 5.0], [7.0, 8.0]]),
            np.zeros((2, 2)),
            state=np.array([(4,), (5,)], BORN),
            flags=np.array([256, 0]),
            sensor=np.array([0.0, 10.0]),
        )
        more = operator.spawn(np.zeros((20_000, 2)), np.zeros((20_000, 2)))
        assert len(np.unique(np.concatenate([ids, more]))) == 20_002
        assert operator.status()["entities"] == 20_002
        with pytest.raises(OperatorError, match=r"1 of 2 .* outside the world"):
            operator.spawn(np.array([[0.0, 0.0], [1e300, 0.0]]), np.zeros((2, 2)))
        assert operator.status()["entities"] == 20_003
        assert operator.destroy(ids) == 2


def test_what_an_operator_spawns_without_a_tick_begins_in_the_present_one(table):
    world = table("one")
    shard, record = running(world)
    manager, link = world.server.manager, LinkId(-5)
    manager.connected(link, "admin")
    manager.receive(link, RequestIds(1), now_ns())
    (granted,) = [out.message for out in manager.poll().outputs if out.link == link]
    tick = manager.books.tick_at(now_ns())
    spawned = entity_rows(rows(1), slice(0, 1), np.array([granted.first], np.uint64))
    manager.receive(link, SpawnEntities(1, spawned), now_ns())
    assert tick <= record.tick[record.slots(spawned.ids)][0] <= tick + 5
    assert tick > 0
    world.until(lambda: len(shard.core.holdings.table))
