"""What struck where: a table of faults by the phases that they met."""

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sidereal.testing.faults import BY_NAME, FAULTS, Fault
from sidereal.testing.observer import Observer
from sidereal.testing.phases import PHASES
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import Message
from sidereal.world.columns import U32, U64
from sidereal.world.entities import TransitionRows
from sidereal.world.rules import NS_PER_S

if TYPE_CHECKING:
    from sidereal.testing.shards import SimulatedShard
    from sidereal.testing.simulation import Simulation

ENOUGH = 20
"""Strikes below which a cell proves little."""

DRIFT_PPM = 3000
"""A clock that runs so wrong counts as drifting."""

NEAR = 2.0
"""Units beside a border that count as at it."""


class Coverage:
    """How often each fault met each phase."""

    def __init__(self, counts: Counter[tuple[int, str]] | None = None) -> None:
        self.counts: Counter[tuple[int, str]] = counts or Counter()

    def strike(self, number: int, phases: list[str]) -> None:
        """Count a strike under each phase."""
        for phase in phases:
            self.counts[number, phase] += 1

    def add(self, other: "Coverage") -> None:
        """Take another's counts in."""
        self.counts.update(other.counts)

    def thin(self, *, transport: bool = False) -> list[tuple[Fault, str, int]]:
        """Return the cells that were struck less than `ENOUGH`, but could be."""
        return [
            (fault, phase, self.counts[fault.number, phase])
            for fault in FAULTS
            for phase in fault.phases or PHASES
            if self.counts[fault.number, phase] < ENOUGH
            and (transport or fault.needs != "transport")
        ]

    def shortfall(self, *, transport: bool = False) -> str:
        """Return one line for each fault: the phases in which it struck too seldom."""
        lines: dict[Fault, list[str]] = {}
        for fault, phase, count in self.thin(transport=transport):
            lines.setdefault(fault, []).append(f"{phase} {count}")
        return "\n".join(
            f"struck below {ENOUGH}: {fault.number} {fault.name}: {', '.join(cells)}"
            for fault, cells in lines.items()
        )

    def table(self) -> str:
        """Return the table as text: ``-`` cannot be, ``*`` behind what is below `ENOUGH`."""
        width = max(len(fault.name) for fault in FAULTS) + 4
        head = " " * width + "".join(f"{phase:>11}" for phase in PHASES)
        lines = [head]
        for fault in FAULTS:
            cells = []
            for phase in PHASES:
                count = self.counts[fault.number, phase]
                if fault.phases and phase not in fault.phases:
                    cells.append(f"{count or '-':>11}")
                elif not any(self.counts[fault.number, each] for each in PHASES):
                    cells.append(f"{'':>11}")
                else:
                    cells.append(f"{str(count) + ('*' if count < ENOUGH else ''):>11}")
            name = f"{fault.number:>2} {fault.name}".ljust(width)
            if not "".join(cells).strip(" -"):
                cells = [f"   NOT STRUCK{': needs the ' + fault.needs if fault.needs else ''}"]
            lines.append((name + "".join(cells)).rstrip())
        return "\n".join(lines)


class Traffic(Observer):
    """Counts the faults that lie in the weather and in the game, where they strike."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation
        self._cluster = simulation.cluster
        self._came: dict[int, tuple[tuple[int, int], int]] = {}
        """For each entity, the sector that it left last, and when."""
        self._spot = 0

    def watch(self, shard: "SimulatedShard") -> None:
        """Count what the network does to a shard's datagrams."""
        if self._cluster.wires is not None:
            self._cluster.wires.struck = self._on_the_road
            return
        for pipe in (shard.line.up, shard.line.down):
            pipe.struck = partial(self._weather, shard)

    def _on_the_road(
        self, what: str, source: tuple[object, ...], target: tuple[object, ...]
    ) -> None:
        names = (source[0], target[0])
        for shard in self._cluster.shards:
            if shard.alive and shard.name in names:
                self._weather(shard, what)

    def connected(self, shard: "SimulatedShard") -> None:
        """A session begins."""
        self.watch(shard)

    def _strike(self, number: int, shard: "SimulatedShard") -> None:
        self._simulation.coverage.strike(number, self._simulation.phases.of(shard))

    def _weather(self, shard: "SimulatedShard", what: str) -> None:
        phases = self._simulation.phases
        if what == "old-session" or (
            shard.link in phases.sessions and phases.of(shard) != ["opening"]
        ):
            self._strike(BY_NAME[what].number, shard)

    def stepped(self, shard: "SimulatedShard", tick: int, ids: U64, versions: U32) -> None:
        """Teleports and hot spots."""
        game = self._simulation.game
        if game.jumps >= 2:
            self._strike(43, shard)
        if game.spot != self._spot:
            self._spot = game.spot
            for other in self._simulation.standing():
                self._strike(38, other)

    def shard_said(self, shard: "SimulatedShard", message: Message) -> None:
        """What is special about a request."""
        if not isinstance(message, sm.EntityTransitionRequest):
            return
        rows, strike = message.entities, self._strike
        now = self._cluster.clock.now
        if abs(shard.clock.drift_ppm) >= DRIFT_PPM:
            strike(42, shard)
        born, crossing = rows.version == 0, rows
        if np.count_nonzero(born):
            if self._at_border(rows, born):
                strike(45, shard)
            crossing = rows.take(~born)
        step = crossing.target != crossing.sector
        if np.count_nonzero(step[:, 0] & step[:, 1]):
            strike(35, shard)
        size = self._cluster.settings.rules.sector_size
        if np.count_nonzero(crossing.group):
            where = np.floor(crossing.position / size)
            if ((where != crossing.target).any(axis=1) & (crossing.group != 0)).any():
                strike(44, shard)
        back = chain = False
        sessions = self._simulation.phases.sessions
        for entity, source, target in zip(
            crossing.ids.tolist(), crossing.sector.tolist(), crossing.target.tolist(), strict=True
        ):
            left, when = self._came.get(entity, ((0, 0), 0))
            back |= left == (target[0], target[1]) and now - when < NS_PER_S
            self._came[entity] = ((source[0], source[1]), now)
            chain |= now - when < NS_PER_S and any(
                entity in at.answered or entity in at.heard
                for link, at in sessions.items()
                if link != shard.link
            )
        if back:
            strike(34, shard)
        if chain:
            strike(36, shard)

    def _at_border(self, rows: TransitionRows, born: np.ndarray) -> bool:
        size = self._cluster.settings.rules.sector_size
        off = np.abs(rows.position[born] / size - np.round(rows.position[born] / size)) * size
        owner, _ = self._cluster.manager.books.owners.get(rows.target[born])
        return bool((off < NEAR).any() or (owner < 0).any())
