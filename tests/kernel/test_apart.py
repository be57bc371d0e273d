"""Columns of a table may be given to its own calls: the answer is that of copies of them."""

from collections.abc import Callable

import numpy as np
import pytest

from sidereal.kernel import EntityTable

ROWS = 1000
COLUMNS = (
    *("ids", "position", "velocity", "sector", "tick", "handle", "flags", "group", "dirty"),
    "state_tick",
)


def some_table() -> EntityTable:
    rng = np.random.default_rng(1)
    table = EntityTable(100.0)
    ids = np.arange(1, ROWS + 1, dtype=np.uint64)
    table.upsert(ids, rng.uniform(-5000, 5000, (ROWS, 2)), rng.uniform(-9, 9, (ROWS, 2)))
    table.bind(np.arange(ROWS, dtype=np.uint32), np.arange(ROWS, dtype=np.uint32))
    table.tick[:] = rng.permutation(ROWS)
    table.dirty[:] = rng.integers(0, 5, ROWS)
    table.state_tick[:] = 1
    return table


BACKWARDS = np.arange(ROWS, dtype=np.uint32)[::-1].copy()
Given = Callable[[np.ndarray], np.ndarray]
CALLS: dict[str, Callable[[EntityTable, Given], object]] = {
    "upsert, places": lambda t, of: t.upsert(t.ids[::-1].copy(), of(t.position), of(t.velocity)),
    "upsert, places and speeds changed": lambda t, of: t.upsert(
        t.ids[::-1].copy(), of(t.velocity), of(t.position)
    ),
    "advance": lambda t, of: t.advance(BACKWARDS, of(t.position), of(t.velocity), 1),
    "advance, slots": lambda t, of: t.advance(of(t.tick), t.position.copy(), t.velocity.copy(), 1),
    "bind": lambda t, of: t.bind(BACKWARDS, of(t.handle)),
    "stamp": lambda t, of: t.stamp(of(t.tick), 4_000_000_000),
    "remove": lambda t, of: t.remove(of(t.ids)[: ROWS // 2]),
    "set_states": lambda t, of: t.set_states(of(t.tick), of(t.state_tick), of(t.dirty), 1),
}


def same(column: np.ndarray) -> np.ndarray:
    return column


@pytest.mark.parametrize("name", CALLS)
def test_a_call_on_columns_is_one_on_copies(name: str) -> None:
    one, other = some_table(), some_table()
    CALLS[name](one, same)
    CALLS[name](other, np.copy)
    for column in COLUMNS:
        assert np.array_equal(getattr(one, column), getattr(other, column)), column
    rows = np.arange(len(one), dtype=np.uint32)
    for mine, its in zip(one.states(rows), other.states(rows), strict=True):
        assert np.array_equal(mine, its)
    assert np.array_equal(one.slots(other.ids), np.arange(len(one)))


def test_what_is_written_must_not_be_a_column() -> None:
    table = some_table()
    before = table.tick.copy()
    with pytest.raises(ValueError, match="slots are a column"):
        table.upsert(table.ids.copy(), table.position.copy(), table.velocity.copy(), table.tick)
    assert np.array_equal(table.tick, before)
