"""The entities at one shard, as columns, and what a tick does with them.

`runnable` says which rows a tick simulates, `move` takes the game's positions,
`crossing` finds who has left its sector. Hysteresis: out of the shard's own
sectors an entity asks only once it is `handoff_margin` beyond the border.
"""

import numpy as np

from sidereal.ids import Sector
from sidereal.kernel import EntityTable, SectorMap, crossings
from sidereal.shard.phase import CHANGED, MOVED, PENDING, SHADOW, STILL, STOPPED
from sidereal.world.columns import F64, U8, U32, U64
from sidereal.world.entities import EntityRows, TransitionRows, gather
from sidereal.world.rules import WorldRules


class Holdings:
    """The kernel's table of this shard's entities, and the map of its own sectors."""

    def __init__(self, rules: WorldRules) -> None:
        self.rules = rules
        self.table = EntityTable(rules.sector_size)
        self.own = SectorMap()

    def rows_in(self, sector: Sector) -> U32:
        """Return the slots of the rows in a sector."""
        return self.table.find(sector)

    def start(self, slots: U32) -> None:
        """Let rows move; all that they are has to be sent."""
        self.table.phase[slots] &= ~np.uint8(STILL)
        self.table.dirty[slots] |= MOVED | CHANGED

    def runnable(self, tick: int) -> U32:
        """Return the rows that `tick` simulates: all but those that stand still or are ahead."""
        table = self.table
        running = (table.phase & STOPPED == 0) & (table.tick < tick)
        return np.flatnonzero(running).astype(np.uint32)

    def move(self, slots: U32, position: F64, velocity: F64) -> U64:
        """Write positions; return the ids of those that are invalid and did not move."""
        refused = self.table.advance(
            slots, np.ascontiguousarray(position), np.ascontiguousarray(velocity), MOVED
        )
        ids: U64 = self.table.ids[slots[refused]]
        return ids

    def set_states(self, slots: U32, lengths: U32, states: U8) -> None:
        """Write state blobs; those that changed are sent when their interval is over."""
        self.table.set_states(slots, lengths, states, CHANGED)

    def crossing(self) -> TransitionRows:
        """Return who asks for another sector now, groups whole; they are pending from here on."""
        table = self.table
        index, target = crossings(
            table.position,
            table.sector,
            self.rules.sector_size,
            self.rules.margin,
            self.own,
        )
        free = table.phase[index] == 0
        group = table.group[index]
        free &= (group == 0) | (group == table.ids[index])
        slots, target = index[free], target[free]
        roots = table.group[slots]
        if roots.any():
            slots, target = self._with_members(slots, target)
        return self.request(slots, target)

    def request(self, slots: U32, target: np.ndarray) -> TransitionRows:
        """Mark rows pending and return their requests."""
        table = self.table
        table.phase[slots] |= PENDING
        table.dirty[slots] = 0
        rows = gather(table, slots)
        _, epoch = self.own.get(rows.sector)
        columns = {name: getattr(rows, name) for name in EntityRows.LAYOUT}
        return TransitionRows(
            **columns, lengths=rows.lengths, states=rows.states, target=target, epoch=epoch
        )

    def _with_members(self, slots: U32, target: np.ndarray) -> tuple[U32, np.ndarray]:
        """Add the members of each root's group; a group of which one is not free stays."""
        table = self.table
        members = np.flatnonzero(np.isin(table.group, table.ids[slots]) & (table.group != 0))
        members = members.astype(np.uint32)
        order = np.argsort(table.group[members], kind="stable")
        members = members[order]
        busy = np.unique(table.group[members][table.phase[members] != 0])
        root_of = table.group[members]
        keep = ~np.isin(root_of, busy)
        members, root_of = members[keep], root_of[keep]
        single = table.group[slots] == 0
        by_root = dict(zip(table.ids[slots].tolist(), target.tolist(), strict=True))
        targets = [by_root[int(root)] for root in root_of]
        return (
            np.concatenate([slots[single], members]),
            np.concatenate([target[single], np.array(targets, np.int32).reshape(-1, 2)]),
        )

    def shadows(self) -> int:
        """Return how many rows await an answer."""
        return int((self.table.phase & SHADOW != 0).sum())
