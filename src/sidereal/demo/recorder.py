"""What a shard process writes down, tick by tick, for the audit.

The shard tells the recorder what it does, never what the server says about it, and
in this order, so that nothing that others may see is missing from the file of a
process that dies:

1. between ticks, as the server's messages are applied: `entered`, `kept`,
   `released`, `left`;
2. after the step: `tick`, with every row that was simulated, shadows marked;
3. then `crossed`, with the rows that ask to be handed over;
4. only then may anything of that step leave the process.

A *shadow* is simulated without authority. It is not counted in its ticks; when it
turns out that it is the entity after all, `kept` adds them as a span.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sidereal.demo import audit_file as af
from sidereal.demo._eye import look
from sidereal.demo._rowset import RowSet
from sidereal.demo.audit_file import AuditFile
from sidereal.demo.idhash import U64
from sidereal.demo.rowset import Index
from sidereal.simulations.blob import ENDLESS

Ints = npt.NDArray[np.integer]
Mask = npt.NDArray[np.bool_]

TICKS_MAX = 1 << 17
"""Almost two hours at 20 Hz; 3 MB where all are used."""

SPANS_MAX = 1 << 22
MOVES_MAX = 1 << 23
"""With 200,000 entities on four shards a minute writes about a million rows in each file."""

_ENTRANT = np.dtype([("version", "<u4"), ("cause", "<u2")])
_SHADOW = np.dtype([("first", "<u4"), ("last", "<u4"), ("birth", "<u4"), ("end", "<u4")])


class Recorder:
    """Writes one shard's file.

    Parameters
    ----------
    directory : Path
        Where the launcher looks for files; each process adds one.
    name : str
        The shard's name, as people know it.
    pid : int
        Told apart by it: a shard that was started again writes another file.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        pid: int,
        *,
        ticks_max: int = TICKS_MAX,
        spans_max: int = SPANS_MAX,
        moves_max: int = MOVES_MAX,
    ) -> None:
        self._stem = f"{name}-{pid}"
        self.file = AuditFile.create(
            directory / f"{self._stem}.audit", name, pid, ticks_max, spans_max, moves_max
        )
        self._entrants = RowSet(_ENTRANT)
        self._shadows = RowSet(_SHADOW)

    @property
    def stop_tick(self) -> int | None:
        """The last tick to simulate, once the launcher has named it."""
        return int(self.file["stop_tick"]) or None

    @property
    def finish(self) -> bool:
        """Whether the launcher now wants `final`."""
        return bool(self.file["finish"])

    def cuts(self) -> tuple[bool, bool]:
        """Whether nothing may leave this process, and nothing reach it: the launcher's doing."""
        header = self.file.header
        return bool(header["cut_out"][0]), bool(header["cut_in"][0])

    def entered(self, ids: U64, versions: Ints, cause: int) -> None:
        """Entities (n,) came, and will be simulated with authority once their time comes.

        Parameters
        ----------
        cause : int
            `SPAWN`, `HANDOFF`, `MIGRATION`, `ACTIVATION` or `REHOMED` of
            `sidereal.demo.audit_file`.
        """
        rows = np.zeros(len(ids), _ENTRANT)
        rows["version"], rows["cause"] = versions, cause
        self._entrants.put(ids, rows)

    def tick(
        self,
        tick: int,
        ids: U64,
        since: Ints,
        birth: Ints,
        end: Ints,
        *,
        pending: Mask | None = None,
        started_ns: int,
        ended_ns: int,
        next_due_ns: int,
    ) -> None:
        """A step is over; nothing of it has left yet.

        May be called again for the same tick with other rows: those that arrived
        after the last tick of a run and were simulated to catch up.

        Parameters
        ----------
        tick : int
        ids : (n,) uint64
            Every row that was stepped.
        since : (n,) int
            The tick of each row's state before the step.
        birth, end : (n,) int
            First and last tick of each row's life; an end of 0 is none.
        pending : (n,) bool or None
            Rows that are shadows.
        started_ns, ended_ns, next_due_ns : int
            The step's time, and when the next tick is due: ending later is an overrun.
        """
        file = self.file
        if not file.first_tick:
            file["first_tick"] = tick
        slot = tick - file.first_tick
        if not 0 <= slot < len(file.count) or tick < file.last_tick:
            file["unwritten"] += 1
            return
        ids = np.ascontiguousarray(ids)
        since, birth, end = (np.asarray(column, np.uint32) for column in (since, birth, end))
        if pending is None:
            pending = np.zeros(len(ids), np.bool_)
        columns = ids, since, birth, end, pending.view(np.uint8)
        count, total, shadows, late, likely = look(tick, *columns, self._entrants.maybe)
        if len(shadows):
            self._shadow(tick, ids[shadows], since[shadows], birth[shadows], _ends(end[shadows]))
        file.count[slot] += count
        file.hash[slot : slot + 1] += np.uint64(total)
        file.step_ns[slot] += ended_ns - started_ns
        cause = self._arrive(tick, ids, since, pending, late, likely, ended_ns)
        self._gaps(tick, ids[late], since[late], birth[late], _ends(end[late]), cause)
        if tick != file.last_tick:  # else it is the run's last, again, for who arrived since
            file["ticks_run"] += 1
            file["tick_overruns"] += ended_ns > next_due_ns
        file["last_tick"] = tick

    def crossed(self, ids: U64, versions: Ints, now_ns: int) -> None:
        """Entities (n,) ask to be handed over, after the last `tick`: shadows from now on.

        Who came with a state that is ahead of this shard may ask before it was simulated here, and
        has no stay that this could end.
        """
        known = self._simulated(ids)
        self._move(ids[known], af.CROSSED, versions[known], self.file.last_tick, now_ns)

    def kept(self, ids: U64, versions: Ints, ticks: Ints, now_ns: int) -> None:
        """Entities (n,) stay here, as they are now.

        A crossing was acknowledged, refused or given back, and the shadow is the
        entity; or a frozen sector resumes.
        """
        found = self._shadows.find(ids)
        mine, shadow = self._shadows.ids[found], self._shadows.rows[found]
        first = np.maximum(shadow["first"], shadow["birth"])
        last = np.minimum(shadow["last"], shadow["end"])
        self._span(mine, first, last, af.SHADOW)
        row, entrant = self._entrants.match(mine)
        if len(row):  # its stay begins with what it was simulated as a shadow
            began = shadow["first"][row]
            self._enter(mine[row], self._entrants.rows[entrant], began, began - 1, now_ns)
        self._shadows.drop(ids)
        known = self._simulated(ids)
        ids, versions, ticks = ids[known], versions[known], ticks[known]
        self._move(ids, af.KEPT, versions, self.file.last_tick + 1, now_ns, ticks)

    def released(self, ids: U64) -> None:
        """Shadows (n,) are dropped: another shard has the entities."""
        self._shadows.drop(ids)
        self._entrants.drop(ids)

    def left(
        self, ids: U64, versions: Ints, ticks: Ints, now_ns: int, *, lost: bool = False
    ) -> None:
        """Entities (n,) are no longer simulated here: frozen for a migration, or released.

        A pending entity of a frozen sector leaves with the state that its request
        carried; what its shadow did since is void.

        Parameters
        ----------
        ticks : (n,) int
            The world tick of each row's state as it leaves: a pending row's is that of
            its request.
        lost : bool
            The shard was fenced, and wiped them; shadows among them, whose requests may never have
            arrived.
        """
        known = self._simulated(ids)
        if lost:
            self._entrants.drop(ids)
            ticks = self._with_authority(ids, ticks)
        self._shadows.drop(ids)
        # Who was not simulated here yet has no stay that could end; it stays an entrant,
        # since its sector may resume. If it comes again, that replaces it.
        ids, versions, ticks = ids[known], versions[known], ticks[known]
        self._move(ids, af.LOST if lost else af.LEFT, versions, ticks, now_ns)

    def final(
        self,
        ids: U64,
        position: npt.NDArray[np.float64],
        tick: Ints,
        state: npt.NDArray[Any],
        still: Mask,
    ) -> None:
        """Answer the last question: which entities are held, where, and of which tick.

        Parameters
        ----------
        ids : (n,) uint64
        position : (n, 2) float64
        tick : (n,) int
            The world tick of each row's state.
        state : (n,) `sidereal.simulations.blob.STATE`
        still : (n,) bool
            Copies that this shard may not simulate: frozen, or loading.
        """
        path = self.file.path.with_name(f"final-{self._stem}.npz")
        unborn = path.with_suffix(".new")
        with unborn.open("wb") as file:
            np.savez(file, ids=ids, position=position, tick=tick, state=state, still=still)
        unborn.replace(path)
        self.file["done"] = 1

    def _with_authority(self, ids: U64, ticks: Ints) -> Ints:
        """The last ticks (n,) simulated here with authority: a shadow's are those before it."""
        last = ticks.astype(np.int64)
        row, shadow = self._shadows.match(ids)
        last[row] = self._shadows.rows["first"][shadow].astype(np.int64) - 1
        return last

    def _simulated(self, ids: U64) -> Mask:
        """Which of these (n,) were simulated here since they came."""
        known = np.ones(len(ids), np.bool_)
        known[self._entrants.match(ids)[0]] = False
        return known

    def _shadow(self, tick: int, ids: U64, since: Ints, birth: Ints, end: Ints) -> None:
        # Most were shadows in the tick before: only others are sorted in.
        row, known = self._shadows.match(ids)
        self._shadows.rows["last"][known] = tick
        fresh = np.ones(len(ids), np.bool_)
        fresh[row] = False
        rows = np.zeros(int(fresh.sum()), _SHADOW)
        rows["first"], rows["last"] = since[fresh] + np.asarray(1, since.dtype), tick
        rows["birth"], rows["end"] = birth[fresh], end[fresh]
        self._shadows.put(ids[fresh], rows)

    def _arrive(
        self,
        tick: int,
        ids: U64,
        since: Ints,
        pending: Mask,
        late: Index,
        likely: Index,
        now_ns: int,
    ) -> npt.NDArray[np.uint16]:
        """Write down who is simulated here for the first time; why each late row has a gap."""
        cause = np.full(len(late), af.OTHER, np.uint16)
        row, entrant = self._entrants.match_among(ids, likely)
        own = ~pending[row]
        row, entrant = row[own], entrant[own]
        if len(row):
            came = self._entrants.rows[entrant]
            _, among, those = np.intersect1d(late, row, assume_unique=True, return_indices=True)
            cause[among] = came["cause"][those]
            self._enter(ids[row], came, tick, since[row], now_ns)
        return cause

    def _enter(
        self, ids: U64, came: npt.NDArray[Any], tick: Ints | int, since: Ints, now_ns: int
    ) -> None:
        """Entities were simulated here for the first time since they came, in `tick`."""
        self._move(ids, af.ENTERED, came["version"], tick, now_ns, since, came["cause"])
        self._entrants.drop(ids)

    def _gaps(self, tick: int, ids: U64, since: Ints, birth: Ints, end: Ints, cause: Ints) -> None:
        if len(ids):
            first = np.maximum(since.astype(np.int64) + 1, birth)
            last = np.minimum(tick - 1, end.astype(np.int64))
            self._span(ids, first, last, cause, tick)

    def _span(
        self, ids: U64, first: Ints, last: Ints, cause: Ints | int, tick: int | None = None
    ) -> None:
        some = np.flatnonzero(first <= last)
        rows = np.zeros(len(some), af.SPAN)
        rows["id"], rows["first"], rows["last"] = ids[some], first[some], last[some]
        rows["tick"] = self.file.last_tick if tick is None else tick
        rows["cause"] = cause if isinstance(cause, int) else cause[some]
        self._append("spans", self.file.spans, rows)

    def _move(
        self,
        ids: U64,
        kind: int,
        versions: Ints,
        tick: Ints | int,
        now_ns: int,
        since: Ints | int = 0,
        cause: Ints | int = 0,
    ) -> None:
        rows = np.zeros(len(ids), af.MOVE)
        rows["id"], rows["kind"], rows["version"] = ids, kind, versions
        rows["tick"], rows["time_ns"] = tick, now_ns
        rows["since"], rows["cause"] = since, cause
        self._append("moves", self.file.moves, rows)

    def _append(self, part: str, log: npt.NDArray[Any], rows: npt.NDArray[Any]) -> None:
        """Rows first, then their number; a full log is said, and fails the audit."""
        start = int(self.file[part])
        if start + len(rows) > len(log):
            self.file["unwritten"] += len(rows)
            return
        log[start : start + len(rows)] = rows
        self.file[part] = start + len(rows)


def _ends(end: Ints) -> Ints:
    """The last ticks of lives, of those too that have none."""
    return np.where(end == 0, ENDLESS, end)
