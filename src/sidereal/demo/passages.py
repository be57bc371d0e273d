"""Handoffs and migrations, timed by the two shards that lived them.

Each passage is a row of the shard that gave the entity up beside the row of the
shard that first simulated it again. The replication server is not asked. Both
rows carry the machine's monotonic clock, so their difference is real time.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidereal.demo import audit_file as af
from sidereal.demo.audit_file import AuditFile
from sidereal.demo.plan import Plan

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Passages:
    """Passages between shards, (n,) each, and crossings within one.

    Attributes
    ----------
    handoff_ns : ndarray, int64
        From the crossing to the end of the first step elsewhere; without those that a
        shard's death came between.
    skipped : ndarray, int64
        Ticks of the entity's life that nobody simulated, for each handoff.
    migration_ns : ndarray, int64
        From the freeze at the source to the first step at the target, for each entity
        that moved with its sector.
    crossings_kept : int
        Crossings after which the entity stayed where it was.
    pending : int
        Crossings that no entrance followed: a fault came between, or the end.
    """

    handoff_ns: I64
    skipped: I64
    migration_ns: I64
    crossings_kept: int
    pending: int


def passages(files: list[AuditFile], plan: Plan) -> Passages:
    """Join what the shards wrote, entity by entity, in the order of the clock."""
    parts = [file.committed_moves() for file in files]
    moves = np.concatenate(parts) if parts else np.empty(0, af.MOVE)
    shard = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    order = np.lexsort((moves["time_ns"], moves["id"]))
    moves, shard = moves[order], shard[order]
    before, after = moves[:-1], moves[1:]
    elsewhere = (before["id"] == after["id"]) & (shard[:-1] != shard[1:])
    came = elsewhere & (after["kind"] == af.ENTERED)
    handed = came & (before["kind"] == af.CROSSED) & (after["cause"] != af.REHOMED)
    # A sector that was given up and soon loaded again elsewhere did not migrate.
    moved = came & (before["kind"] == af.LEFT) & (after["cause"] == af.MIGRATION)
    took_ns = after["time_ns"] - before["time_ns"]
    arrived = after[handed]
    generation = plan.generation_of(arrived["id"])
    end = np.where(generation >= 0, plan.end[generation], np.iinfo(np.int64).max)
    skipped = np.minimum(arrived["tick"].astype(np.int64) - 1, end) - arrived["since"]
    crossed = int((moves["kind"] == af.CROSSED).sum())
    kept = int((moves["kind"] == af.KEPT).sum())
    return Passages(
        handoff_ns=took_ns[handed],
        skipped=np.maximum(skipped, 0),
        migration_ns=took_ns[moved],
        crossings_kept=kept,
        pending=max(crossed - kept - int(handed.sum()), 0),
    )
