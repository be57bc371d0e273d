"""What counts as a handoff and what as a migration, by the two shards that lived it."""

from types import SimpleNamespace

import numpy as np
import pytest

from sidereal.demo import audit_file as af
from sidereal.demo.passages import Passages, passages

MS = 1_000_000


class File:
    """The moves of one shard."""

    def __init__(self, *rows: tuple) -> None:
        self.rows = np.zeros(len(rows), af.MOVE)
        for row, (time_ms, kind, cause) in zip(self.rows, rows, strict=True):
            row["id"], row["time_ns"], row["kind"], row["cause"] = 1, time_ms * MS, kind, cause
            row["tick"], row["since"] = time_ms // 50 + 1, time_ms // 50

    def committed_moves(self) -> np.ndarray:
        return self.rows


def judged(source: File, target: File) -> Passages:
    """What is made of one entity that went from one shard to another."""
    plan = SimpleNamespace(
        generation_of=lambda ids: np.zeros(len(ids), np.int64), end=np.array([10**6])
    )
    return passages([source, target], plan)


@pytest.mark.parametrize(
    ("left", "cause", "handoffs", "migrations"),
    [
        (af.CROSSED, af.HANDOFF, 1, 0),
        (af.CROSSED, af.ACTIVATION, 1, 0),
        (af.CROSSED, af.REHOMED, 0, 0),
        (af.LEFT, af.MIGRATION, 0, 1),
        (af.LEFT, af.ACTIVATION, 0, 0),
        (af.LEFT, af.REHOMED, 0, 0),
        (af.LOST, af.REHOMED, 0, 0),
    ],
)
def test_only_a_sector_that_was_moved_migrates_and_only_who_crossed_is_handed_off(
    left, cause, handoffs, migrations
):
    found = judged(File((1000, left, af.OTHER)), File((1040, af.ENTERED, cause)))
    assert found.handoff_ns.tolist() == [40 * MS] * handoffs
    assert found.migration_ns.tolist() == [40 * MS] * migrations
    assert len(found.skipped) == handoffs


def test_who_comes_back_to_the_shard_that_it_left_was_neither():
    kept = File((1000, af.CROSSED, af.OTHER), (1040, af.KEPT, af.OTHER))
    again = File((1000, af.LEFT, af.OTHER), (1040, af.ENTERED, af.MIGRATION))
    for file in (kept, again):
        found = judged(file, File())
        assert (len(found.handoff_ns), len(found.migration_ns)) == (0, 0)
    assert judged(kept, File()).crossings_kept == 1
    assert judged(kept, File()).pending == 0
    assert judged(File((1000, af.CROSSED, af.OTHER)), File()).pending == 1
