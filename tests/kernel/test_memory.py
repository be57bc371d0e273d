"""No function holds more than twice its answer, besides its input and a fixed few megabytes.

Some of those that work on a table may hold a few bytes a row more, as the module's docstring says.

Each call is made in a process of its own, which asks the system for the most that it ever held.
"""

import ctypes
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sidereal import kernel

ROWS = 1_000_000
SIZE = 1000.0
FIXED_BYTES = 4 << 20  # code, stacks, tables of fixed size, pages of 2 MB that are begun
OWNERS = kernel.SectorMap()
OWNERS.set(np.stack(np.divmod(np.arange(160 * 160, dtype=np.int32), 160), axis=1), 2, 1)
STATUS = Path("/proc/self/status")

pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="NOT TESTED: no /proc")

CALLS = {
    "sectors": lambda d: kernel.sectors(d["pos"], SIZE),
    "sectors, all invalid": lambda d: kernel.sectors(d["nowhere"], SIZE),
    "crossings": lambda d: kernel.crossings(d["pos"], d["before"], SIZE),
    "near_border": lambda d: kernel.near_border(d["pos"], d["where"], SIZE, SIZE / 2),
    "reach": lambda d: kernel.reach(d["pos"], d["pos"], SIZE, SIZE, 0.01),
    "counts": lambda d: kernel.counts(d["where"]),
    "counts, far apart": lambda d: kernel.counts(d["apart"]),
    "counts, lone sectors": lambda d: kernel.counts(d["lone"]),
    "counts, crowds": lambda d: kernel.counts(d["crowds"]),
    "group": lambda d: kernel.group(d["where"]),
    "group, far apart": lambda d: kernel.group(d["apart"]),
    "flux": lambda d: kernel.flux(d["before"], d["where"]),
    "flux, a few edges": lambda d: kernel.flux(d["lone"], d["one"]),
    "flux, from one sector": lambda d: kernel.flux(d["one"], d["where"]),
    "flux, far apart": lambda d: kernel.flux(d["apart"], d["where"]),
    "near_border, hardly any": lambda d: kernel.near_border(d["pos"], d["where"], SIZE, 1e-3),
    "ghosts": lambda d: kernel.ghosts(d["pos"], d["where"], d["shard"], SIZE, SIZE, OWNERS),
    "query": lambda d: kernel.Snapshot(d["few"], SIZE).query(d["few"], SIZE * 9),
}

WIDENED = 16
OUT_OF_ORDER = 24
ARRANGED = 48
TABLE_CALLS = {
    "upsert, float64": (0, lambda t, d: t.upsert(d["ids"], d["pos"], d["pos"], d["slots"])),
    "upsert, float32": (
        2 * WIDENED,
        lambda t, d: t.upsert(d["ids"], d["pos32"], d["pos32"], d["slots"]),
    ),
    "advance, float64": (0, lambda t, d: t.advance(d["slots"], d["pos"], d["pos"], 1)),
    "advance, float32": (
        2 * WIDENED,
        lambda t, d: t.advance(d["slots"], d["pos32"], d["pos32"], 1),
    ),
    "batch": (0, lambda t, d: t.batch(d["slots"])),
    "slots": (0, lambda t, d: t.slots(d["ids"])),
    "arrange": (ARRANGED, lambda t, d: t.arrange()),
    "collect_updates": (
        OUT_OF_ORDER,
        lambda t, d: kernel.collect_updates(t, SIZE, 1, OWNERS, 1, 1, 1200),
    ),
    "pack_updates": (
        OUT_OF_ORDER,
        lambda t, d: kernel.pack_updates(t, d["slots"], SIZE, 1, OWNERS, 1, 1200),
    ),
}


def data(name: str) -> dict[str, np.ndarray]:
    """What the call of that name reads, and no more: forty rows a sector, or one."""
    rng = np.random.default_rng(6)
    side = int((ROWS / 40) ** 0.5)
    pos = rng.uniform(0, side * SIZE, (ROWS, 2))
    where = np.floor(pos / SIZE).astype(np.int32)  # the kernel would keep memory of its own
    made = {
        "pos": pos,
        "where": where,
        "before": where + np.array([1, 0], np.int32),
        "nowhere": np.full((ROWS, 2), np.nan),
        "apart": rng.integers(-(2**31) + 1, 2**31, (ROWS, 2)).astype(np.int32),
        "lone": (rng.integers(-450, 450, (ROWS, 1)) * 90_000).repeat(2, axis=1).astype(np.int32),
        "crowds": (where % 64 + where // 64 * 1_000_000).astype(np.int32),
        "one": np.full((ROWS, 2), 7, np.int32),
        "shard": np.ones(ROWS, np.int32),
        "few": rng.uniform(0, 60 * SIZE, (20_000, 2)),
    }
    names = CALLS[name].__code__.co_consts
    return {key: made[key] for key in names if key in made}


def now(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", STATUS.read_text())
    assert found
    return int(found[1]) * 1024


def measure(name: str) -> tuple[int, int]:
    """The most that the call held beyond what there was, and the bytes of its answer."""
    call, arrays = CALLS[name], data(name)
    small = {key: array[:100].copy() for key, array in arrays.items()}
    call(small)
    return held(lambda: call(arrays))


def measure_table(name: str) -> tuple[int, int]:
    """The same of a table's call: rows in no order, all of which have news."""
    rng = np.random.default_rng(6)
    pos = rng.uniform(0, 150 * SIZE, (ROWS, 2))
    ids = np.arange(1, ROWS + 1, dtype=np.uint64)
    slots = np.arange(ROWS, dtype=np.uint32)
    table = kernel.EntityTable(SIZE, ROWS)
    for at in range(0, ROWS, 10_000):
        table.upsert(ids[at : at + 10_000], pos[at : at + 10_000], pos[at : at + 10_000])
    table.bind(slots, slots)
    table.tick[:] = 1
    table.dirty[:] = 1
    arrays = {"ids": ids, "pos": pos, "pos32": pos.astype(np.float32), "slots": slots}
    return held(lambda: TABLE_CALLS[name][1](table, arrays))


def measure_query(case: str) -> tuple[int, int]:
    """The same of a query by two threads."""
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 60 * SIZE, (20_000, 2))
    centres, radius = points, np.zeros(20_000)
    match case:
        case "all see much":
            radius[:] = SIZE * 9
        case "a few in the middle see all":
            radius[9_850:10_150] = 100 * SIZE
        case "few of those looked at are seen":  # by one in 257; the first sees all
            points = rng.uniform(0.0, SIZE, (ROWS, 2))
            centres = centres + 100 * SIZE
            centres[64::257], radius[64::257] = SIZE / 2, 1.0
            centres[0], radius[0] = SIZE / 2, 2 * SIZE
    kernel.set_threads(2)
    snapshot = kernel.Snapshot(points, SIZE)
    snapshot.query(centres[:1], 0.0)
    return held(lambda: snapshot.query(centres, radius))


def room_for_one_who_sees_all() -> tuple[int, int]:
    """How many a million centres find that see nothing, but for one; in 2 GB of addresses."""
    rng = np.random.default_rng(1)
    snapshot = kernel.Snapshot(rng.uniform(0, 1000 * SIZE, (300_000, 2)), SIZE)
    centres = rng.uniform(0, 1000 * SIZE, (ROWS, 2))
    kernel.set_threads(2)
    resource.setrlimit(resource.RLIMIT_AS, (now("VmSize") + (2 << 30),) * 2)
    found = 0
    for seer in range(0, ROWS, ROWS // 16):
        radius = np.zeros(ROWS)
        radius[seer] = 2000 * SIZE
        found += len(snapshot.query(centres, radius)[0])
    return found, 16 * 300_000


def held(call: Callable[[], object]) -> tuple[int, int]:
    """The most that a call held beyond what there was, and the bytes of its answer."""
    ctypes.CDLL(None).malloc_trim(0)  # what the arrays above left free is not there to be used
    Path("/proc/self/clear_refs").write_text("5")  # the most held so far is forgotten
    before = now("VmRSS")
    answer = call()
    most = now("VmHWM") - before
    parts = answer if isinstance(answer, tuple) else (answer,)
    return most, sum(part.nbytes for part in parts if part is not None)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_holds_at_most_twice_its_answer(name: str) -> None:
    most, answer = run_alone(f"measure({name!r})")
    assert answer <= most <= 2 * answer + FIXED_BYTES, f"{most / answer:.2f} times {answer:,} bytes"


@pytest.mark.parametrize("name", TABLE_CALLS)
def test_a_call_of_a_table_holds_what_the_docstring_says(name: str) -> None:
    most, answer = run_alone(f"measure_table({name!r})")
    bound = 2 * answer + FIXED_BYTES + ROWS * TABLE_CALLS[name][0]
    assert most <= bound, f"{most:,} bytes, {bound:,} are allowed"


@pytest.mark.parametrize(
    "case",
    ["all see much", "a few in the middle see all", "few of those looked at are seen"],
)
def test_a_query_by_two_threads_holds_at_most_twice_its_answer(case: str) -> None:
    most, answer = run_alone(f"measure_query({case!r})")
    assert answer <= most <= 2 * answer + FIXED_BYTES, f"{most / answer:.2f} times {answer:,} bytes"


def test_one_who_sees_all_makes_a_query_ask_for_no_room_for_all_the_others() -> None:
    found, there = run_alone("room_for_one_who_sees_all()")
    assert found == there


def run_alone(call: str) -> tuple[int, int]:
    """What the call says in a process of its own."""
    code = f"from kernel.test_memory import *; print(*{call})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    most, answer = map(int, done.stdout.split())
    return most, answer
