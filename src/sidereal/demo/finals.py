"""The last question: which entities does each shard hold, and where are they?

All shards stop at the same world tick and answer for themselves. Every entity of
the plan that has not ended must be in exactly one answer, at the plan's position,
with a blob that accounts for every tick of its life.

Who holds an entity is who may simulate it. A copy that stands still (frozen at the source of a
move, which keeps it until it is released, or loading at the target) is nobody's second: it stands
for its entity only where nobody simulates that, because its move is not decided yet.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sidereal.demo.audit_file import AuditFile
from sidereal.demo.plan import Plan
from sidereal.errors import ConfigError

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]


ENDING_S = 1.0
"""How long an entity may be held after its life: what custody is allowed, too."""


@dataclass(frozen=True)
class Final:
    """What shards hold at the end, (n,) each; ``shard`` is the file's index.

    ``still`` are copies that the shard may not simulate.
    """

    shard: I64
    ids: U64
    position: npt.NDArray[np.float64]
    tick: I64
    state: npt.NDArray[Any]
    still: Mask


@dataclass(frozen=True)
class Census:
    """The final answers beside the plan.

    Attributes
    ----------
    created, destroyed, live : int
        ``destroyed``: their life is over, and nobody holds them any more.
    lost : ndarray, uint64
        Planned to be alive; no shard simulates them, or has a copy that stands still.
    duplicated : ndarray, uint64
        More than one shard may simulate them.
    foreign : ndarray, uint64
        Held, but never spawned.
    overdue : ndarray, uint64
        Held, though their life was over `ENDING_S` ago. Until then an end may wait for
        its acknowledgement.
    behind : ndarray, uint64
        Held with a state from before the last tick.
    unaccounted : ndarray, uint64
        Their blob lacks ticks, or has too many.
    compared : bool
        Whether the plan can say where each should be.
    position_error_max : float
        Units; nan where nothing could be compared.
    worst : int
        The entity with that error.
    repeated, skipped : int
        As the blobs of the living have counted them.
    """

    created: int
    destroyed: int
    live: int
    lost: U64
    duplicated: U64
    foreign: U64
    overdue: U64
    behind: U64
    unaccounted: U64
    compared: bool
    position_error_max: float
    worst: int
    repeated: int
    skipped: int


def read_finals(files: list[AuditFile]) -> Final:
    """Read the answers of all shards that gave one.

    Raises
    ------
    ConfigError
        An answer was promised by the file's header and cannot be read.
    """
    columns: dict[str, list[npt.NDArray[Any]]] = {
        name: [] for name in ("ids", "position", "tick", "state", "still")
    }
    shard = []
    for index, file in enumerate(files):
        if not file["done"]:
            continue
        path = final_path(file.path)
        try:
            with np.load(path, allow_pickle=False) as answer:
                for name, parts in columns.items():
                    parts.append(answer[name])
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from error
        shard.append(np.full(len(columns["ids"][-1]), index, np.int64))
    if not shard:
        none = np.empty(0, np.int64)
        nothing = np.empty(0, np.bool_)
        return Final(none, np.empty(0, np.uint64), np.empty((0, 2)), none, np.empty(0), nothing)
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    return Final(
        shard=np.concatenate(shard),
        ids=joined["ids"],
        position=joined["position"],
        tick=joined["tick"].astype(np.int64),
        state=joined["state"],
        still=joined["still"],
    )


def final_path(path: Path) -> Path:
    """Where the shard with this audit file writes its answer."""
    return path.with_name(f"final-{path.stem}.npz")


def census(final: Final, plan: Plan, last_tick: int, spawned_through: int) -> Census:
    """Compare the answers with the plan.

    Parameters
    ----------
    last_tick : int
        The tick at which all shards stopped.
    spawned_through : int
        Generations born up to this tick were spawned; later than ``last_tick`` where
        the launcher was ahead.
    """
    created = int(np.searchsorted(plan.birth, spawned_through, side="right"))
    final = _holders(final)
    generation = plan.generation_of(final.ids)
    ours = (generation >= 0) & (generation < created)
    held = np.unique(generation[ours])
    running, runs = np.unique(generation[ours & ~final.still], return_counts=True)
    due = np.flatnonzero(plan.end[:created] >= last_tick)
    over = held[plan.end[held] < last_tick]
    checked = ours.copy()
    checked[ours] = plan.end[generation[ours]] >= last_tick
    generation, tick = generation[checked], final.tick[checked]
    ids, state = final.ids[checked], final.state[checked]
    behind = tick < np.maximum(last_tick, plan.birth[generation] - 1)
    position = final.position[checked]
    compared = plan.motion.foreseen
    due_at = plan.position(generation, tick) if compared else position
    off = np.abs(position - due_at).max(axis=1, initial=0.0)
    off = np.where(np.isnan(off), np.inf, off)
    worst = int(off.argmax()) if len(off) else -1
    return Census(
        created=created,
        destroyed=created - len(due) - len(over),
        live=len(held),
        lost=plan.ids[np.setdiff1d(due, held)],
        duplicated=plan.ids[running[runs > 1]],
        foreign=np.unique(final.ids[~ours]),
        overdue=plan.ids[over[plan.end[over] < last_tick - ENDING_S * plan.motion.tick_hz]],
        behind=ids[behind],
        unaccounted=ids[_unaccounted(state, plan, generation, tick)],
        compared=compared,
        position_error_max=float(off[worst]) if compared and len(off) else float("nan"),
        worst=int(ids[worst]) if len(off) else 0,
        repeated=int(state["repeated"].sum()) if len(off) else 0,
        skipped=int(state["skipped"].sum()) if len(off) else 0,
    )


def _holders(final: Final) -> Final:
    """All copies that are simulated, and those that stand still of entities that nobody does."""
    running = np.unique(final.ids[~final.still])
    some = ~final.still | ~np.isin(final.ids, running)
    return Final(*(getattr(final, field.name)[some] for field in fields(Final)))


def _unaccounted(
    state: npt.NDArray[Any], plan: Plan, generation: I64, tick: I64
) -> npt.NDArray[np.bool_]:
    if not len(generation):
        return np.empty(0, np.bool_)
    birth = plan.birth[generation]
    lived = np.maximum(np.minimum(tick, plan.end[generation]) - birth + 1, 0)
    counted = state["simulated"].astype(np.int64) + state["skipped"]
    wrong: npt.NDArray[np.bool_] = (
        (counted != lived)
        | (state["last"] != np.maximum(tick, birth - 1))
        | (state["birth"] != birth)
        | (state["copy"] != plan.copy[generation])
        | (state["loop"] != plan.loop[generation])
    )
    return wrong
