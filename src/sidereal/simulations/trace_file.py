"""Recorded movement, read from a file into tracks.

A trace has the columns ``id, t, x, y`` (others are ignored), in any row order and
with gaps, as CSV (also ``.gz``), Parquet or ``.npz``. The order of the rows and
the format leave no mark: the same samples give the same `Trace`.

A row that repeats another exactly (same id, time and place) counts once, because
exports that are joined from pieces contain such rows. One id at one time in two
places is an error.
"""

import csv
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sidereal.errors import TraceError

DEFAULT_TRACE = Path(__file__).parent / "data" / "football_skillcorner_10min.csv.gz"
"""Ten minutes of a football match at 10 Hz (SkillCorner open data, MIT; see NOTICE)."""

COLUMNS = ("id", "t", "x", "y")
CSV_CHUNK_ROWS = 200_000

SECTORS_MAX = 2**30
"""How many sectors from the origin a sample may lie: turned and moved, a copy is in the world."""

SECONDS_MAX = 1e15
"""How far from zero a sample's time may lie: a microsecond still counts there."""


@dataclass(frozen=True)
class Trace:
    """Tracks, one after another, each sorted by time.

    Attributes
    ----------
    t : ndarray, (samples,) float64, seconds
    x, y : ndarray, (samples,) float64, the recording's units
    offsets : ndarray, (tracks + 1,) int64
        Track ``i`` is ``t[offsets[i]:offsets[i + 1]]``: at least one sample, and
        strictly rising.
    names : tuple of str
        The id of each track; whole numbers in numeric order, then the others.
    """

    t: npt.NDArray[np.float64]
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    offsets: npt.NDArray[np.int64]
    names: tuple[str, ...]

    @property
    def first(self) -> npt.NDArray[np.float64]:
        """Each track's first time, (tracks,) seconds."""
        return self.t[self.offsets[:-1]]

    @cached_property
    def duration(self) -> npt.NDArray[np.float64]:
        """Each track's seconds from first to last sample; 0 where there is one sample."""
        return self.t[self.offsets[1:] - 1] - self.first


@dataclass(frozen=True)
class _Rows:
    """Columns as read: ``code`` (n,) indexes ``names``."""

    code: npt.NDArray[np.int64]
    names: list[str]
    t: npt.NDArray[np.float64]
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]


def load_trace(path: str | Path | None = None, sector_size: float = 1000.0) -> Trace:
    """Read a trace; the format follows from the name.

    Parameters
    ----------
    path : str, Path or None
        ``.csv``, ``.csv.gz``, ``.parquet`` or ``.npz``; None is `DEFAULT_TRACE`.
    sector_size : float
        Of the world that it is played in: what lies outside is refused.

    Raises
    ------
    TraceError
        One line with the file, the row and what is wrong.
    """
    file = DEFAULT_TRACE if path is None else Path(path)
    name = file.name.lower()
    if not file.exists():
        raise TraceError(f"{file}: no such file")
    try:
        if name.endswith((".csv", ".csv.gz")):
            rows = _read_csv(file)
        elif name.endswith(".parquet"):
            rows = _read_parquet(file)
        elif name.endswith(".npz"):
            rows = _read_npz(file)
        else:
            raise TraceError(f"{file}: a trace is .csv, .csv.gz, .parquet or .npz")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, zipfile.BadZipFile) as error:
        raise TraceError(f"{file}: cannot be read: {_one_line(error)}") from error
    return _tracks(file, rows, sector_size)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _tracks(file: Path, rows: _Rows, sector_size: float) -> Trace:
    """Check the samples, sort them by track and time, join exact repeats."""
    if len(rows.t) == 0:
        raise TraceError(f"{file}: has no rows; a trace needs at least one sample")
    for column, values in (("t", rows.t), ("x", rows.x), ("y", rows.y)):
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            value = values[bad[0]]
            raise TraceError(f"{_at(file, int(bad[0]))}: {column} is {value}, not a finite number")
        bound = SECONDS_MAX if column == "t" else SECTORS_MAX * sector_size
        far = np.flatnonzero(np.abs(values) > bound)
        if len(far):
            what = (
                f"at most {bound:g} s from zero"
                if column == "t"
                else f"outside the world: at most {bound:g}, which is {SECTORS_MAX} sectors of"
                f" {sector_size:g}; play it in larger sectors"
            )
            raise TraceError(f"{_at(file, int(far[0]))}: {column} is {values[far[0]]}, {what}")
    order_of_code, names = _name_order(rows.names)
    track = order_of_code[rows.code]
    order = np.lexsort((rows.t, track))
    track, t, x, y = track[order], rows.t[order], rows.x[order], rows.y[order]
    same = (track[1:] == track[:-1]) & (t[1:] == t[:-1])
    torn = np.flatnonzero(same & ((x[1:] != x[:-1]) | (y[1:] != y[:-1])))
    if len(torn):
        k = int(torn[0])
        early, late = sorted((int(order[k]), int(order[k + 1])))
        raise TraceError(
            f"{_at(file, late)}: id {names[track[k]]} is at two places at t={t[k]:g}:"
            f" ({rows.x[early]:g}, {rows.y[early]:g}) in row {early + 1},"
            f" ({rows.x[late]:g}, {rows.y[late]:g}) here"
        )
    keep = np.concatenate(([True], ~same))
    track, t, x, y = track[keep], t[keep], x[keep], y[keep]
    offsets = np.searchsorted(track, np.arange(len(names) + 1)).astype(np.int64)
    return Trace(t=t, x=x, y=y, offsets=offsets, names=tuple(names))


def _name_order(names: list[str]) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Where each code stands once the names are in order, and the names in order."""

    def key(code: int) -> tuple[int, int, str]:
        name = names[code]
        digits = name[1:] if name.startswith("-") else name
        whole = digits.isascii() and digits.isdigit() and len(digits) <= 18
        return (0, int(name), name) if whole else (1, 0, name)

    order = sorted(range(len(names)), key=key)
    place = np.empty(len(names), np.int64)
    place[order] = np.arange(len(names))
    return place, [names[code] for code in order]


def _at(file: Path, row: int) -> str:
    """``file, row N`` of a 0-based row; for CSV also the line, where an editor finds it."""
    place = f"{file}, row {row + 1}"
    if not file.name.lower().endswith((".csv", ".csv.gz")):
        return place
    with _open_text(file) as text:
        reader = csv.reader(text)
        filled = (reader.line_num for cells in reader if cells)
        line = next(islice(filled, row + 1, None), None)
    return f"{place} (line {line})" if line is not None else place


def _open_text(file: Path) -> Any:
    if file.name.lower().endswith(".gz"):
        return gzip.open(file, "rt", encoding="utf-8-sig", newline="")
    return file.open("r", encoding="utf-8-sig", newline="")


def _read_csv(file: Path) -> _Rows:
    codes: dict[str, int] = {}
    parts: list[tuple[npt.NDArray[Any], ...]] = []
    done = 0
    with _open_text(file) as text:
        reader = csv.reader(text)
        filled: Iterator[list[str]] = filter(None, reader)
        header = [cell.strip() for cell in next(filled, [])]
        if not header:
            raise TraceError(f"{file}: is empty; its first line must name the columns id,t,x,y")
        index = [_column_index(file, header, column) for column in COLUMNS]
        try:
            while chunk := list(islice(filled, CSV_CHUNK_ROWS)):
                parts.append(_csv_chunk(file, chunk, index, len(header), codes, done))
                done += len(chunk)
        except csv.Error as error:
            raise TraceError(f"{file}, line {reader.line_num}: {error}") from error
    if not parts:
        return _Rows(np.empty(0, np.int64), [], *(np.empty(0) for _ in range(3)))
    code, t, x, y = (np.concatenate(column) for column in zip(*parts, strict=True))
    return _Rows(code, list(codes), t, x, y)


def _column_index(file: Path, header: list[str], column: str) -> int:
    if column not in header:
        raise TraceError(
            f"{file}, row 0 (the header): no column '{column}' among {', '.join(header)};"
            " a trace needs id, t, x, y"
        )
    return header.index(column)


def _csv_chunk(
    file: Path,
    chunk: list[list[str]],
    index: list[int],
    width: int,
    codes: dict[str, int],
    done: int,
) -> tuple[npt.NDArray[Any], ...]:
    """Columns of some rows; ``done`` rows came before."""
    for row, cells in enumerate(chunk):
        if len(cells) != width:
            raise TraceError(
                f"{_at(file, done + row)}: has {len(cells)} cells, the header has {width}"
            )
    ids = [cells[index[0]].strip() for cells in chunk]
    if "" in ids:
        raise TraceError(f"{_at(file, done + ids.index(''))}: id is empty")
    numbers = []
    for column, k in zip(COLUMNS[1:], index[1:], strict=True):
        texts = [cells[k] for cells in chunk]
        try:
            numbers.append(np.array(list(map(float, texts)), np.float64))
        except ValueError:
            row = next(row for row, value in enumerate(texts) if not _is_number(value))
            raise TraceError(
                f"{_at(file, done + row)}: {column} is '{texts[row][:40]}', not a number"
            ) from None
    code = np.array([codes.setdefault(name, len(codes)) for name in ids], np.int64)
    return (code, *numbers)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_npz(file: Path) -> _Rows:
    if not zipfile.is_zipfile(file):
        raise TraceError(f"{file}: cannot be read: no .npz archive: write one with numpy.savez")
    try:
        with np.load(file, allow_pickle=False) as arrays:
            missing = [column for column in COLUMNS if column not in arrays.files]
            if missing:
                have = ", ".join(arrays.files) or "none"
                raise TraceError(f"{file}: no array '{missing[0]}' among {have}")
            columns = {column: arrays[column] for column in COLUMNS}
    except ValueError as error:  # NumPy's refusal to unpickle, or an array cut short
        raise TraceError(
            f"{file}: cannot be read: id, t, x, y must be arrays of numbers or strings,"
            f" not of objects ({_one_line(error)})"
        ) from error
    return _from_arrays(file, columns)


def _read_parquet(file: Path) -> _Rows:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise TraceError(
            f"{file}: Parquet needs pyarrow: pip install 'sidereal-sectors[parquet]'"
        ) from error
    try:
        names = pyarrow.parquet.read_schema(file).names
        missing = [column for column in COLUMNS if column not in names]
        if missing:
            raise TraceError(f"{file}: no column '{missing[0]}' among {', '.join(names)}")
        table = pyarrow.parquet.read_table(file, columns=list(COLUMNS))
    except pyarrow.ArrowException as error:
        raise TraceError(f"{file}: cannot be read: {_one_line(error)}") from error
    columns = {}
    for column in COLUMNS:
        values = table.column(column)
        if values.null_count:
            row = int(np.flatnonzero(values.is_null().to_numpy())[0])
            raise TraceError(f"{_at(file, row)}: {column} is missing")
        columns[column] = values.to_numpy()
    return _from_arrays(file, columns)


def _from_arrays(file: Path, columns: dict[str, npt.NDArray[Any]]) -> _Rows:
    shapes = {column: values.shape for column, values in columns.items()}
    if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        listed = ", ".join(f"{column} {shape}" for column, shape in shapes.items())
        raise TraceError(f"{file}: id, t, x, y must be columns of one length, not {listed}")
    numbers = []
    for column in COLUMNS[1:]:
        values = columns[column]
        if values.dtype.kind not in "iuf":
            bad = next((k for k, value in enumerate(values) if not _is_number(str(value))), 0)
            value = values[bad] if len(values) else values.dtype
            raise TraceError(f"{_at(file, bad)}: {column} is '{value}', not a number")
        numbers.append(values.astype(np.float64))
    ids = columns["id"]
    if ids.dtype.kind == "f":
        bad_ids = np.flatnonzero(~np.isfinite(ids) | (ids != np.floor(ids)))
        if len(bad_ids):
            raise TraceError(
                f"{_at(file, int(bad_ids[0]))}: id is {ids[bad_ids[0]]}, not a whole number or name"
            )
        ids = ids.astype(np.int64)
    if ids.dtype.kind in "iu":
        unique, code = np.unique(ids, return_inverse=True)
        return _Rows(code.reshape(-1).astype(np.int64), [str(name) for name in unique], *numbers)
    codes: dict[str, int] = {}
    names = [_text(name) for name in ids.tolist()]
    if "" in names:
        raise TraceError(f"{_at(file, names.index(''))}: id is empty")
    code = np.array([codes.setdefault(name, len(codes)) for name in names], np.int64)
    return _Rows(code, list(codes), *numbers)


def _text(name: Any) -> str:
    text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    return text.strip()
