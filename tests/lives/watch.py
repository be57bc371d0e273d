"""Watches entities live in simulated worlds, at the server and at shards, step by step."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from sidereal.replication.books import CUSTODY
from sidereal.replication.lives import ENTITY, Holder
from sidereal.replication.manager import SectorManager
from sidereal.shard.core import ShardCore
from sidereal.shard.lives import ENTITY_HERE, Copy
from sidereal.shard.phase import DESTROYING, PENDING, SPAWNING

COPIES = {PENDING: Copy.PENDING, SPAWNING: Copy.SPAWNING, DESTROYING: Copy.DESTROYING, 0: Copy.HELD}


def copies(core: ShardCore) -> dict[int, Copy]:
    """What a shard's copy of each entity is."""
    table = core.holdings.table
    phases = (table.phase & (PENDING | SPAWNING | DESTROYING)).tolist()
    return {i: COPIES[phase] for i, phase in zip(table.ids.tolist(), phases, strict=True)}


def holders(manager: SectorManager) -> dict[int, Holder]:
    """Who has each entity in the record."""
    table = manager.books.table
    held = (table.shard != CUSTODY).tolist()
    return {
        i: Holder.SHARD if here else Holder.CUSTODY
        for i, here in zip(table.ids.tolist(), held, strict=True)
    }


class Watch:
    """Counts the steps of all lives, and keeps those that no table holds."""

    def __init__(self) -> None:
        self.copies: Counter[tuple[Copy, Copy]] = Counter()
        self.holders: Counter[tuple[Holder, Holder]] = Counter()

    def over(self, patch: pytest.MonkeyPatch) -> None:
        """Look on at every step of every core from here on."""
        for name in ("receive", "complete", "spawn", "destroy", "tick"):
            self._wrap(patch, ShardCore, name, copies, self.copies, Copy.ABSENT)
        for name in ("receive", "tick", "disconnected"):
            self._wrap(patch, SectorManager, name, holders, self.holders, Holder.NOBODY)

    @staticmethod
    def _wrap(
        patch: pytest.MonkeyPatch,
        kind: type,
        name: str,
        look: Callable[[Any], dict[int, Any]],
        seen: Counter[Any],
        absent: Any,
    ) -> None:
        inner = getattr(kind, name)

        def outer(self: Any, *args: Any, **more: Any) -> Any:
            before = look(self)
            try:
                return inner(self, *args, **more)
            finally:
                after = look(self)
                for entity in before.keys() | after.keys():
                    step = before.get(entity, absent), after.get(entity, absent)
                    if step[0] is not step[1]:
                        seen[step] += 1

        patch.setattr(kind, name, outer)


def allowed(life: Any) -> set[tuple[Any, Any]]:
    """The steps that a table holds, but for those that change nothing."""
    return {(state, after) for (state, _), after in life.transitions.items() if state is not after}


COPY_STEPS, HOLDER_STEPS = allowed(ENTITY_HERE), allowed(ENTITY)
