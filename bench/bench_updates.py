"""What a tick sends: rows packed as datagrams and datagrams written to a table, against NumPy.

The peer writes the same bytes' worth with structured arrays, and checks nothing that arrives.
"""

import itertools
from typing import Any

import numpy as np
import pytest

import ratios
from sidereal import kernel

N = min(ratios.ROWS, 200_000)
SIZE = 1000.0
SIDE = 70
PAYLOAD_BYTES = 1200
CELLS = 2.0**30
ROW = np.dtype([("handle", "<u4"), ("qx", "<i4"), ("qy", "<i4"), ("vx", "<f4"), ("vy", "<f4")])
GROUP = np.dtype([("x", "<i4"), ("y", "<i4"), ("epoch", "<u4"), ("rows", "<u2"), ("zero", "<u2")])
HEADER_BYTES = 8


@pytest.fixture(scope="module")
def world() -> Any:
    """A table whose rows all are one shard's, its owners, and the peer's plain columns."""
    rng = np.random.default_rng(17)
    table, owners = kernel.EntityTable(SIZE, N), kernel.SectorMap()
    table.upsert(
        np.arange(N, dtype=np.uint64),
        rng.uniform(0, SIDE * SIZE, (N, 2)),
        rng.normal(0, 10, (N, 2)),
    )
    slots = np.arange(N, dtype=np.uint32)
    table.bind(slots, slots + (1 << 24))
    table.tick[...] = 7
    table.shard[...] = 1
    owners.set(kernel.counts(table.sector)[0], 1, 5)
    return table, owners, slots


def split(packed: Any) -> list[bytes]:
    data, offsets = packed[0].tobytes(), packed[1].tolist()
    return [data[a:b] for a, b in itertools.pairwise(offsets)]


def numpy_rows(position: Any, velocity: Any, sector: Any, handle: Any) -> tuple[Any, Any]:
    """Rows as they travel, by sector, and the order."""
    order = np.lexsort((sector[:, 0], sector[:, 1]))
    rows = np.empty(len(order), ROW)
    cells = np.floor((position[order] - sector[order] * SIZE) / (SIZE / CELLS)).astype(np.int32)
    rows["handle"] = handle[order]
    rows["qx"], rows["qy"] = cells.T
    rows["vx"], rows["vy"] = velocity[order].T
    return rows, order


def numpy_apply(payloads: list[bytes], position: Any, velocity: Any) -> int:
    """Each payload's groups, and their rows, to the columns; handles are slots and a constant."""
    applied = 0
    for payload in payloads:
        at = HEADER_BYTES
        while at < len(payload):
            group = np.frombuffer(payload, GROUP, 1, at)[0]
            rows = np.frombuffer(payload, ROW, int(group["rows"]), at + GROUP.itemsize)
            slots = rows["handle"] & 0xFFFFFF
            position[slots, 0] = group["x"] * SIZE + rows["qx"] * (SIZE / CELLS)
            position[slots, 1] = group["y"] * SIZE + rows["qy"] * (SIZE / CELLS)
            velocity[slots, 0], velocity[slots, 1] = rows["vx"], rows["vy"]
            applied += len(rows)
            at += GROUP.itemsize + rows.nbytes
    return applied


def test_packing(benchmark: Any, world: Any) -> None:
    table, owners, slots = world
    columns = [c.copy() for c in (table.position, table.velocity, table.sector, table.handle)]
    packed = kernel.pack_updates(table, slots, SIZE, 7, owners, 9, PAYLOAD_BYTES)
    np.testing.assert_array_equal(packed[2], numpy_rows(*columns)[1])
    own = lambda: kernel.pack_updates(table, slots, SIZE, 7, owners, 9, PAYLOAD_BYTES)  # noqa: E731
    others = {"numpy": lambda: numpy_rows(*columns)[0].tobytes()}
    ratios.compare(benchmark, "pack_updates", own, others, N)


def test_applying(benchmark: Any, world: Any) -> None:
    table, owners, slots = world
    payloads = split(kernel.pack_updates(table, slots, SIZE, 7, owners, 9, PAYLOAD_BYTES))
    sent = table.position.copy()
    position, velocity = np.zeros_like(sent), np.zeros_like(sent)
    assert numpy_apply(payloads, position, velocity) == N

    def own() -> int:
        table.tick[...] = 6
        return kernel.apply_updates(table, payloads, 1, owners, SIZE).applied

    assert own() == N
    np.testing.assert_allclose(table.position, position, rtol=0, atol=2 * SIZE / CELLS)
    np.testing.assert_allclose(table.position, sent, rtol=0, atol=2 * SIZE / CELLS)
    others = {"numpy": lambda: numpy_apply(payloads, position, velocity)}
    ratios.compare(benchmark, "apply_updates", own, others, N)
