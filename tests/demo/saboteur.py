"""A shard process that harms one entity in mid-run, and tells nobody but a note.

Started in place of the demo's own: ``saboteur.py KIND NOTE CONFIG AUDIT_DIRECTORY``.
"""

import sys
from pathlib import Path

import numpy as np

from sidereal.demo import shard_main
from sidereal.shard import events as ev
from sidereal.world.entities import EntityRows, gather, install

KIND, NOTE = sys.argv[1], Path(sys.argv[2])
TICKS_BEFORE = 40
ROLLED_BACK_TICKS = 10


class Saboteur(shard_main.AuditedShard):
    """Does its duty as an eye of the audit, and its worst once."""

    busy_since = 0
    done = False
    kept: EntityRows | None = None

    def turn(self) -> None:
        super().turn()
        shard = self.shard
        if self.done or not shard.registered or self.recorder.file.name != "shard-0":
            return
        if not self.busy_since and self.recorder.file.columns(shard.last_tick, 1)[0][0]:
            self.busy_since = shard.last_tick
        age = shard.last_tick - self.busy_since
        if not self.busy_since or age < TICKS_BEFORE:
            return
        table = shard.core.holdings.table
        if KIND == "drop":
            slots = self.settled_slots(table)
            self.note(int(table.ids[slots[0]]), shard.last_tick)
            table.remove(table.ids[slots[:1]])
        elif KIND == "roll-back":
            if self.kept is None:
                self.kept = gather(table, self.settled_slots(table))
            elif age >= TICKS_BEFORE + ROLLED_BACK_TICKS:
                self.roll_back(table)

    def settled_slots(self, table):
        """Entities that will live on, in the middle of their sectors."""
        slots = np.flatnonzero(table.phase == 0).astype(np.uint32)
        _, states = table.states(slots)
        state = states.view(self._dtype)
        inside = np.abs(table.position[slots] % table.size - table.size / 2).max(axis=1)
        good = (state["end"] > self.shard.last_tick + 1000) & (state["simulated"] > 15)
        slots = slots[good & (inside < table.size / 4)]
        return slots[np.argsort(table.ids[slots])]

    def roll_back(self, table):
        """Give an entity the state that it had a while ago."""
        slots = table.slots(self.kept.ids)
        here = (slots != 2**32 - 1) & (self.kept.version > 0)
        still = np.flatnonzero(here)
        same = table.version[slots[still]] == self.kept.version[still]
        free = table.phase[slots[still]] == 0
        chosen = still[same & free][:1]
        self.note(int(self.kept.ids[chosen[0]]), self.shard.last_tick)
        install(table, self.kept.take(chosen), int(table.shard[slots[chosen[0]]]))

    def wished(self, events):
        super().wished(events)
        table = self.shard.core.holdings.table
        if KIND == "double" and not self.done and self.busy_since:
            for event in events:
                if isinstance(event, ev.EntitiesCrossing):
                    self.kept = gather(table, table.slots(event.ids))

    def happened(self, events):
        super().happened(events)
        if KIND != "double" or self.done or self.kept is None:
            return
        if self.shard.last_tick - self.busy_since < TICKS_BEFORE:
            return
        for event in events:
            if isinstance(event, ev.EntitiesExited):
                gone = np.flatnonzero(np.isin(self.kept.ids, event.ids))[:1]
                if len(gone) and not self.done:
                    # It goes on with what it should have let go of.
                    table = self.shard.core.holdings.table
                    install(table, self.kept.take(gone), -1)
                    self.note(int(self.kept.ids[gone[0]]), int(self.kept.tick[gone[0]]))

    def note(self, entity, tick):
        self.done = True
        NOTE.write_text(f"{entity} {tick}")


shard_main.AuditedShard = Saboteur
sys.exit(shard_main.main(Path(sys.argv[3]), Path(sys.argv[4])))
