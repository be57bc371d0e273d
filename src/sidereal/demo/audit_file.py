"""The mapped file in which one shard process writes down what it simulated.

The file is sparse and mapped shared, so what was written survives the process,
however it ends. Three parts follow the header, all of fixed capacity:

* per world tick: how many entities were simulated with authority, the sum of
  their id-hashes, and how long the step took;
* `SPAN` rows: ticks of one entity that the columns above do not hold, because
  nobody simulated it (a gap) or because a shadow was adopted afterwards;
* `MOVE` rows: how entities came and went.

A row counts once the number of rows in the header says so, and only if its tick
is not beyond ``last_tick``, which is written last in each tick: what a killed
process left half written is not read.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sidereal.errors import ConfigError

MAGIC: Final = b"SIDAUDIT"
VERSION: Final = 2

HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<u4"),
        ("pid", "<u4"),
        ("name", "S64"),
        ("ticks_max", "<u8"),
        ("spans_max", "<u8"),
        ("moves_max", "<u8"),
        ("first_tick", "<u8"),
        ("last_tick", "<u8"),
        ("ticks_run", "<u8"),
        ("tick_overruns", "<u8"),
        ("spans", "<u8"),
        ("moves", "<u8"),
        ("unwritten", "<u4"),
        ("done", "<u4"),
        ("stop_tick", "<u8"),
        ("finish", "<u4"),
        ("cut_out", "u1"),
        ("cut_in", "u1"),
        ("held", "<u8"),
    ]
)
"""``first_tick`` 0: none yet. ``unwritten``: rows and ticks for which there was no room;
more than 0 fails the audit. ``held``: entities that it holds once the stop tick is over,
without shadows and ended ones. ``stop_tick`` (0: none), ``finish``, and ``cut_out`` and
``cut_in`` (nothing leaves the shard, nothing reaches it) are written by the launcher, all
else by the shard."""

SPAN = np.dtype(
    [("id", "<u8"), ("first", "<u4"), ("last", "<u4"), ("tick", "<u4"), ("cause", "<u4")]
)
"""Ticks ``first..last`` of an entity; ``tick`` is when that was written down."""

MOVE = np.dtype(
    [
        ("id", "<u8"),
        ("time_ns", "<i8"),
        ("version", "<u4"),
        ("tick", "<u4"),
        ("since", "<u4"),
        ("kind", "<u2"),
        ("cause", "<u2"),
    ]
)
"""How an entity came or went.

ENTERED: ``tick`` is the first one simulated here, ``since`` that of the state that
came; CROSSED, LEFT and LOST: ``tick`` is the last one simulated with authority;
KEPT: ``tick`` is the next one to be, ``since`` that of the state that is kept.
"""

ENTERED, CROSSED, KEPT, LEFT, LOST = 1, 2, 3, 4, 5
"""Kinds of `MOVE`. CROSSED: asked to hand it over, and shadows it from then on. KEPT:
the shadow is the entity again. LEFT: frozen for a migration, or released. LOST: the
shard was fenced and wiped."""

SHADOW, OTHER, SPAWN, HANDOFF, MIGRATION, ACTIVATION, REHOMED = 0, 1, 2, 3, 4, 5, 6
"""Causes. SHADOW is no gap: ticks of a shadow, adopted later. OTHER: the shard held the
entity and did not simulate it (a lease ran out, a tick was left out)."""

CAUSES: Final = ("shadow", "other", "spawn", "handoff", "migration", "activation", "rehomed")

PAGE: Final = 4096


class AuditFile:
    """One shard's file, mapped.

    Attributes
    ----------
    path : Path
    header : memmap of `HEADER`, shape ()
    count : ndarray, (ticks_max,) int64
    hash : ndarray, (ticks_max,) uint64
    step_ns : ndarray, (ticks_max,) int64
    spans : ndarray, (spans_max,) `SPAN`
    moves : ndarray, (moves_max,) `MOVE`
    """

    def __init__(self, path: Path, mode: str) -> None:
        self.path = path
        try:
            size = path.stat().st_size
            if size < PAGE:
                raise ConfigError(f"{path}: {size} bytes is no audit file")
            memory = np.asarray(np.memmap(path, np.uint8, "r+" if mode == "r+" else "r"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: cannot be mapped: {error}") from error
        self.header: Any = memory[: HEADER.itemsize].view(HEADER)[0:1]
        if self["magic"] != MAGIC or self["version"] != VERSION:
            raise ConfigError(f"{path}: no audit file of version {VERSION}")
        ticks, spans, moves = (int(self[k]) for k in ("ticks_max", "spans_max", "moves_max"))
        if size < _size(ticks, spans, moves):
            raise ConfigError(f"{path}: cut short at {size} bytes")
        at = PAGE
        self.count, at = _part(memory, at, np.dtype(np.int64), ticks)
        self.hash, at = _part(memory, at, np.dtype(np.uint64), ticks)
        self.step_ns, at = _part(memory, at, np.dtype(np.int64), ticks)
        self.spans, at = _part(memory, at, SPAN, spans)
        self.moves, at = _part(memory, at, MOVE, moves)

    @classmethod
    def create(
        cls, path: Path, name: str, pid: int, ticks_max: int, spans_max: int, moves_max: int
    ) -> "AuditFile":
        """Make the file, sparse, and map it. The header appears last, whole or not at all."""
        header = np.zeros(1, HEADER)
        header["magic"], header["version"] = MAGIC, VERSION
        header["pid"], header["name"] = pid, name.encode()[:64]
        header["ticks_max"], header["spans_max"] = ticks_max, spans_max
        header["moves_max"] = moves_max
        unborn = path.with_suffix(".new")
        with unborn.open("wb") as file:
            file.write(header.tobytes())
            file.truncate(_size(ticks_max, spans_max, moves_max))
        unborn.replace(path)
        return cls(path, "r+")

    def __getitem__(self, field: str) -> Any:
        """A header field."""
        return self.header[field][0]

    def __setitem__(self, field: str, value: int) -> None:
        self.header[field][0] = value

    @property
    def name(self) -> str:
        """The shard's name."""
        return bytes(self["name"]).decode(errors="replace")

    @property
    def first_tick(self) -> int:
        """The world tick of the first entry of the columns; 0 before there is one."""
        return int(self["first_tick"])

    @property
    def last_tick(self) -> int:
        """The last world tick that was simulated and written down whole."""
        return int(self["last_tick"])

    def committed_spans(self) -> npt.NDArray[Any]:
        """`SPAN` rows that count, (n,), copied."""
        rows = np.array(self.spans[: int(self["spans"])])
        counting: npt.NDArray[Any] = rows[rows["tick"] <= self.last_tick]
        return counting

    def committed_moves(self) -> npt.NDArray[Any]:
        """`MOVE` rows that count, (n,), copied."""
        rows = np.array(self.moves[: int(self["moves"])])
        counting: npt.NDArray[Any] = rows[
            (rows["kind"] != ENTERED) | (rows["tick"] <= self.last_tick)
        ]
        return counting

    def columns(
        self, first_tick: int, ticks: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
        """Count and id-hash of the ticks from one on, (ticks,) each; 0 where it ran none."""
        count, hashed = np.zeros(ticks, np.int64), np.zeros(ticks, np.uint64)
        if self.first_tick:
            low = max(first_tick, self.first_tick)
            high = min(first_tick + ticks, self.last_tick + 1)
            if low < high:
                here = slice(low - self.first_tick, high - self.first_tick)
                there = slice(low - first_tick, high - first_tick)
                count[there], hashed[there] = self.count[here], self.hash[here]
        return count, hashed


def _size(ticks: int, spans: int, moves: int) -> int:
    return PAGE + 24 * ticks + SPAN.itemsize * spans + MOVE.itemsize * moves


def _part(
    memory: npt.NDArray[np.uint8], at: int, dtype: np.dtype[Any], length: int
) -> tuple[npt.NDArray[Any], int]:
    end = at + length * dtype.itemsize
    part: npt.NDArray[Any] = memory[at:end].view(dtype).view(np.ndarray)
    return part, end
