"""The entities at one shard, as columns, and what a tick does with them.

`runnable` says which rows a tick simulates, `move` takes the game's positions,
`crossing` finds who has left its sector. Hysteresis: out of the shard's own
sectors an entity asks only once it is `handoff_margin` beyond the border.
"""

import numpy as np

from sidereal.ids import Sector
from sidereal.kernel import ABSENT, EntityTable, SectorMap, crossings
from sidereal.shard.phase import CHANGED, MOVED, PENDING, SHADOW, STILL, STOPPED
from sidereal.world.columns import F64, U8, U32, U64, among
from sidereal.world.entities import TransitionRows, gather
from sidereal.world.order import Order
from sidereal.world.rules import WorldRules

_NOBODY = TransitionRows.empty()


class Holdings:
    """The kernel's table of this shard's entities, and the map of its own sectors."""

    def __init__(self, rules: WorldRules) -> None:
        self.rules = rules
        self.table = EntityTable(rules.sector_size)
        self.own = SectorMap()
        self.order = Order(self.table)

    def rows_in(self, sector: Sector) -> U32:
        """Return the slots of the rows in a sector."""
        return self.table.find(sector)

    def start(self, slots: U32, *, news: int = MOVED | CHANGED) -> None:
        """Let rows move; of what they are, `news` has to be sent."""
        self.table.phase[slots] &= ~np.uint8(STILL)
        self.table.dirty[slots] |= news

    def runnable(self, tick: int) -> U32:
        """Return the rows that `tick` simulates: all but those that stand still or are ahead."""
        table = self.table
        running = (table.phase & STOPPED == 0) & (table.tick < tick)
        slots: U32 = running.nonzero()[0].astype(np.uint32)
        return slots

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
        if not len(index):
            return _NOBODY
        rows = index.astype(np.intp)  # once, and not for each column
        free = table.phase[rows] == 0
        group = table.group[rows]
        if np.count_nonzero(group):
            # Without its root a member is on its own.
            left = index[(group != 0) & (table.slots(group) == ABSENT)]
            table.group[left] = 0
            group = table.group[rows]
        free &= (group == 0) | (group == table.ids[rows])
        slots, target = index[free], target[free]
        if not len(slots):
            return _NOBODY
        if np.count_nonzero(table.group):
            slots, target = self._with_members(slots, target)
        return self.request(slots, target)

    def sectors_of_roots(self, roots: U64) -> np.ndarray:
        """Return the sectors i32 (n, 2) of the roots; `ValueError` where one may not be joined."""
        slots = self.table.slots(roots)
        held = slots != ABSENT
        held[held] = self.table.phase[slots[held]] == 0
        if not held.all():
            raise ValueError(
                f"spawn: entity {int(roots[~held][0])} does not run here, or its next sector is"
                " not decided: a group is joined where its root is held"
            )
        return np.asarray(self.table.sector[slots])

    def request(self, slots: U32, target: np.ndarray) -> TransitionRows:
        """Mark rows pending and return their requests."""
        table = self.table
        table.phase[slots] |= PENDING
        table.dirty[slots] = 0
        rows = gather(table, slots)
        _, epoch = self.own.get(rows.sector)
        return TransitionRows.grown(rows, target=target, epoch=epoch)

    def _with_members(self, slots: U32, target: np.ndarray) -> tuple[U32, np.ndarray]:
        """Add the members of each root's group; a group of which one is not free stays."""
        table = self.table
        members = np.flatnonzero((table.group != 0) & (table.group != table.ids))
        if not len(members):
            return slots, target
        roots = table.ids[slots]
        members = members[among(table.group[members], roots)].astype(np.uint32)
        if not len(members):
            return slots, target
        busy = table.group[members[table.phase[members] != 0]]
        members = members[~among(table.group[members], busy)]
        free = ~among(roots, busy)
        slots, target, roots = slots[free], target[free], roots[free]
        leads = among(roots, table.group[members])
        table.group[slots[leads]] = roots[leads]
        order = np.argsort(roots)
        at = order[np.searchsorted(roots, table.group[members], sorter=order)]
        return np.concatenate([slots, members]), np.concatenate([target, target[at]])

    def shadows(self) -> int:
        """Return how many rows await an answer."""
        return int((self.table.phase & SHADOW != 0).sum())
