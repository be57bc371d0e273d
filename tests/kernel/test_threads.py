"""Threads change nothing but the time: not the answers, not a fork, not each other."""

import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sidereal import kernel

ROWS = 300_000


@pytest.fixture
def threads() -> Iterator[None]:
    kernel.set_threads(3)
    yield
    kernel.set_threads(1)


def answers() -> list[bytes]:
    rng = np.random.default_rng(81)
    pos = rng.normal(0, 300.0, (ROWS, 2))
    pos[ROWS - 5] = np.nan
    where, invalid = kernel.sectors(pos, 10.0)
    prev = np.roll(where, 1, axis=0)
    found = kernel.Snapshot(pos, 10.0).query(pos[:1000], 12.0)
    moved = kernel.crossings(pos, prev, 10.0)
    near = kernel.near_border(pos, where, 10.0, 1.0)
    table = kernel.EntityTable(10.0)
    ids = rng.permutation(ROWS).astype(np.uint64)
    table.upsert(ids, pos, np.zeros_like(pos))
    shuffle = rng.permutation(ROWS)
    movers = table.upsert(ids[shuffle], pos[shuffle] + 3.0, pos[shuffle])
    census = kernel.Census(10.0)
    census.rebuild(pos)
    arrays = [where, invalid, *moved, near, *kernel.group(where), *kernel.counts(where), *found]
    arrays += [movers, table.invalid, table.position, table.sector, *census.csr()]
    arrays += [kernel.reach(pos, pos, 1.0, 10.0, 0.1), *kernel.flux(prev, where)]
    return [array.tobytes() for array in arrays]


def test_answers_are_the_same(threads: None) -> None:
    many = answers()
    kernel.set_threads(1)
    assert many == answers()


def test_a_query_may_find_most_where_least_was_foretold(threads: None) -> None:
    pos = np.random.default_rng(82).uniform(0, 100.0, (4000, 2))
    radius = np.zeros(len(pos))
    radius[2000:2020] = 200.0
    snapshot = kernel.Snapshot(pos, 10.0)
    many = snapshot.query(pos, radius)
    kernel.set_threads(1)
    assert len(many[0]) == 20 * 4000 + 3980
    for got, want in zip(many, snapshot.query(pos, radius), strict=True):
        np.testing.assert_array_equal(got, want)


def test_callers_may_be_threads_too(threads: None) -> None:
    want = answers()
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: answers(), range(4)):
            assert got == want


def test_one_table_used_from_many_threads() -> None:
    table = kernel.EntityTable(10.0, 40_000)
    batches = [
        np.arange(start, start + 10_000, dtype=np.uint64) for start in range(0, 40_000, 10_000)
    ]

    def work(ids: np.ndarray) -> None:
        pos = np.repeat(ids.astype(float)[:, None], 2, axis=1)
        for _ in range(20):
            table.upsert(ids, pos, pos)
            table.remove(ids[:5000])
        table.upsert(ids, pos, pos)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, batches))
    assert len(table) == 40_000
    np.testing.assert_array_equal(table.position[:, 0], table.ids.astype(float))


def _child(queue: "multiprocessing.Queue[int]", want: int) -> None:
    queue.put(int(hash(tuple(answers())) == want))


@pytest.mark.processes
def test_a_forked_child_has_threads_of_its_own(threads: None) -> None:
    want = hash(tuple(answers()))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_child, args=(queue, want))
    child.start()
    assert queue.get(timeout=60) == 1
    child.join(timeout=60)
    assert child.exitcode == 0


WITHOUT_ROOM_FOR_A_STACK = """
import resource
import numpy as np
from sidereal import kernel

pos = np.random.default_rng(83).uniform(0, 1000.0, (20_000, 2))
snapshot = kernel.Snapshot(pos, 10.0)
want = snapshot.query(pos, 3.0)
status = open("/proc/self/status").read()
used = int(status.split("VmSize:")[1].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + (6 << 20),) * 2)
kernel.set_threads(3)
for got, wanted in zip(snapshot.query(pos[:2000], 3.0), (want[0][:want[1][2000]], want[1][:2001])):
    np.testing.assert_array_equal(got, wanted)
print("found")
"""


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: no /proc")
def test_where_the_system_grants_no_thread_the_caller_does_the_work() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ROOM_FOR_A_STACK],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "found\n", done.stderr
