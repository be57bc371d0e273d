"""Every function that works on many rows lets other Python threads run meanwhile: all that the
module has are called here, but those that only answer at once.

Threads are never switched by force here: the main thread runs during a call only if the call lets
it. A call that is too quick for the main thread to be waken is made again.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from kernel.surface import callables
from sidereal import kernel

ROWS = 200_000
SIZE = 10.0
MOST_S = 20.0  # on a busy machine a call of some microseconds is seldom seen
# What looks at no row: a number, a flag, an object without rows; `cut` makes Python's own bytes.
AT_ONCE = {
    *("isa", "set_threads", "threads", "cut", "UpdateTally"),
    *("Census", "SectorMap", "EntityTable", "Census.__len__", "Snapshot.__len__"),
    *("SectorMap.__len__", "EntityTable.__len__"),
}


def calls() -> dict[str, Callable[[], object]]:
    rng = np.random.default_rng(9)
    pos = rng.uniform(0, 700, (ROWS, 2))
    where = kernel.sectors(pos, SIZE)[0]
    before = where + np.array([1, 0], np.int32)
    ids, slots = np.arange(ROWS, dtype=np.uint64), np.arange(ROWS, dtype=np.uint32)
    census, snapshot = kernel.Census(SIZE), kernel.Snapshot(pos, SIZE)
    census.rebuild(pos)
    table, owners = kernel.EntityTable(SIZE, ROWS), kernel.SectorMap()
    owners_again = kernel.SectorMap()
    table.upsert(ids, pos, pos)
    table.bind(slots, slots)
    owners.set(where, 1, 1)
    shard, lengths = np.ones(ROWS, np.int32), np.full(ROWS, 8, np.uint32)
    narrow, data = pos.astype(np.float32), np.zeros(ROWS * 8, np.uint8)
    table.shard[:] = 1
    updates = kernel.cut(*kernel.pack_updates(table, slots, SIZE, 0, owners, 1, 1200)[:2])
    table.set_states(slots, lengths, data)
    states = kernel.cut(*kernel.pack_states(table, slots, 1, 1200)[:2])
    copies = kernel.cut(
        *kernel.pack_ghosts(ids[:1800], *[pos[:1800]] * 2, slots[:1800], 1, 1, 65535)
    )
    spare = kernel.EntityTable(SIZE, ROWS)

    def fill() -> None:
        spare.upsert(ids[:20_000], pos[:20_000], pos[:20_000])

    PREPARE["EntityTable.remove"] = PREPARE["EntityTable.clear"] = fill
    PREPARE["SectorMap.remove"] = lambda: owners_again.set(where, 1, 1)
    PREPARE["collect_updates"] = lambda: table.dirty.fill(1)
    return {
        "sectors": lambda: kernel.sectors(pos, SIZE),
        "crossings": lambda: kernel.crossings(pos, before, SIZE),
        "near_border": lambda: kernel.near_border(pos, where, SIZE, 1.0),
        "reach": lambda: kernel.reach(pos, pos, 1.0, SIZE, 0.1),
        "counts": lambda: kernel.counts(where),
        "group": lambda: kernel.group(where),
        "flux": lambda: kernel.flux(before, where),
        "hash_ids": lambda: kernel.hash_ids(ids),
        "Census.rebuild": lambda: census.rebuild(pos),
        "Census.move": lambda: census.move(slots, None, where),
        "Census.counts": census.counts,
        "Census.csr": census.csr,
        "Snapshot": lambda: kernel.Snapshot(pos, SIZE),
        "Snapshot.query": lambda: snapshot.query(narrow[:2000], 15.0),
        "EntityTable.upsert": lambda: table.upsert(ids, narrow, narrow),
        "EntityTable.slots": lambda: table.slots(ids),
        "EntityTable.find": lambda: table.find((1, 1)),
        "EntityTable.bind": lambda: table.bind(slots, slots),
        "EntityTable.resolve": lambda: table.resolve(slots),
        "EntityTable.advance": lambda: table.advance(slots, pos, pos),
        "EntityTable.set_states": lambda: table.set_states(slots, lengths, data),
        "EntityTable.states": lambda: table.states(slots),
        "EntityTable.arrange": table.arrange,
        "EntityTable.batch": lambda: table.batch(slots),
        "EntityTable.stamp": lambda: table.stamp(slots, 0),
        "EntityTable.remove": lambda: spare.remove(ids),
        "EntityTable.clear": spare.clear,
        "EntityTable.reserve": lambda: kernel.EntityTable(SIZE).reserve(ROWS),
        "SectorMap.set": lambda: owners.set(where, shard, 1),
        "SectorMap.get": lambda: owners.get(where),
        "SectorMap.sectors": owners.sectors,
        "SectorMap.items": owners.items,
        "SectorMap.remove": lambda: owners_again.remove(where),
        "pack_updates": lambda: kernel.pack_updates(table, slots, SIZE, 0, owners, 1, 1200),
        "pack_states": lambda: kernel.pack_states(table, slots, 1, 1200),
        "collect_updates": lambda: kernel.collect_updates(table, SIZE, 0, owners, 1, 1, 1200),
        "mark_updates": lambda: kernel.mark_updates(table, updates, 2),
        "apply_updates": lambda: kernel.apply_updates(table, updates, 1, owners, SIZE),
        "apply_states": lambda: kernel.apply_states(table, states, 1),
        "ghosts": lambda: kernel.ghosts(pos, where, shard, SIZE, 1.0, owners),
        "pack_ghosts": lambda: kernel.pack_ghosts(ids, pos, pos, slots, 1, 1, 1200),
        "unpack_ghosts": lambda: kernel.unpack_ghosts(copies[0]),
    }


PREPARE: dict[str, Callable[[], object]] = {}  # before each call of that name
CALLS = calls()


def test_no_function_is_forgotten() -> None:
    assert set(CALLS) == callables() - AT_ONCE


@pytest.fixture
def never_switched() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("name", CALLS)
def test_other_threads_run_meanwhile(name: str, never_switched: None) -> None:
    inside, seen = [False], [False]

    def work() -> None:
        until = time.monotonic() + MOST_S
        while not seen[0] and time.monotonic() < until:
            PREPARE.get(name, int)()
            inside[0] = True
            CALLS[name]()
            inside[0] = False

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        seen[0] |= inside[0]
        time.sleep(0)  # lets the thread have the lock, which nothing else does
    assert seen[0]
