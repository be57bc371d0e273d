"""Columns: rows of one kind, held as NumPy arrays and carried as one run of bytes.

A subclass names its columns and their dtypes; everything that carries entities
on the wire or through the cores is one of these. Reading checks every length
against the count before a single array is made, so that what comes out cannot
be wrong in shape.

The bytes are: the row count (u32), the total of the ragged bytes (u32), each
column in turn, widest items first so that each is aligned, then the ragged
bytes. Little-endian.
"""

import struct
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sidereal.errors import ProtocolError

U8 = NDArray[np.uint8]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

SMALL = 64
"""Rows below which a Python set is quicker than a sort."""

_HEADER = struct.Struct("<II")
_LENGTH, _BYTE = np.dtype("<u4"), np.dtype("u1")


class Columns:
    """Rows as columns. Subclasses set `LAYOUT`: name → (dtype, items a row), widest first."""

    LAYOUT: ClassVar[dict[str, tuple[str, int]]] = {}
    RAGGED: ClassVar[bool] = False
    _FIRST: ClassVar[str] = ""
    _ROW_BYTES: ClassVar[int] = 0
    _READ: ClassVar[tuple[tuple[str, np.dtype[Any], int, int], ...]] = ()
    """Name, dtype, items and bytes a row of each column: what reading needs, made once."""
    _NOTHING: ClassVar[Any] = None

    lengths: U32
    states: U8

    def __init__(self, **columns: Any) -> None:
        own, counts = self.__dict__, set()
        for name, dtype, width, _ in self._READ:
            value = np.ascontiguousarray(columns.pop(name), dtype)
            own[name] = value = value.reshape(-1, width) if width > 1 else value
            counts.add(len(value))
        if self.RAGGED:
            self.lengths = np.ascontiguousarray(columns.pop("lengths"), _LENGTH)
            self.states = np.ascontiguousarray(columns.pop("states"), _BYTE)
        if columns:
            raise TypeError(f"{type(self).__name__} has no column {sorted(columns)[0]!r}")
        if len(counts) > 1:
            raise ValueError(f"columns of {type(self).__name__} differ in length: {sorted(counts)}")

    def __len__(self) -> int:
        return len(self.__dict__[self._FIRST])

    def __init_subclass__(cls) -> None:
        """Note what reading needs of a layout."""
        cls._FIRST = next(iter(cls.LAYOUT), "")
        cls._NOTHING = None
        cls._READ = tuple(
            (name, np.dtype(dtype), width, np.dtype(dtype).itemsize * width)
            for name, (dtype, width) in cls.LAYOUT.items()
        )
        cls._ROW_BYTES = sum(item[3] for item in cls._READ) + (4 if cls.RAGGED else 0)

    @classmethod
    def of(cls, columns: dict[str, Any]) -> Self:
        """Return rows of columns whose dtypes, shapes and lengths are right already."""
        rows = object.__new__(cls)
        rows.__dict__.update(columns)
        return rows

    @classmethod
    def grown(cls, rows: "Columns", **more: Any) -> Self:
        """Return `rows` of another kind with these columns more, right in all as for `of`."""
        return cls.of({**rows.__dict__, **more})

    @classmethod
    def empty(cls) -> Self:
        """Return no rows."""
        columns: dict[str, Any] = {
            name: np.empty((0, width) if width > 1 else 0, dtype)
            for name, (dtype, width) in cls.LAYOUT.items()
        }
        if cls.RAGGED:
            columns["lengths"] = np.empty(0, "<u4")
            columns["states"] = np.empty(0, "u1")
        return cls(**columns)

    @classmethod
    def _none(cls) -> Self:
        """Return no rows, always the same ones."""
        if cls._NOTHING is None:
            cls._NOTHING = cls.empty()
        nothing: Self = cls._NOTHING
        return nothing

    def take(self, index: Any) -> Self:
        """Return the rows that `index` (a mask or integers) selects, in its order.

        Rows are values that nobody writes into: a mask that selects all gives these rows.
        """
        if isinstance(index, np.ndarray) and index.dtype == bool and all_of(index):
            return self
        own = self.__dict__
        columns: dict[str, Any] = {name: own[name][index] for name in self.LAYOUT}
        if self.RAGGED:
            columns["lengths"] = self.lengths[index]
            columns["states"] = self._states_of(index)
        return self.of(columns)

    def _states_of(self, index: Any) -> U8:
        """Return the bytes of the rows that `index` selects; quickly, where all have as many."""
        lengths, states = self.lengths, self.states
        if not len(states):
            return states
        first = int(lengths[0])
        if len(states) == first * len(lengths) and all_of(lengths == first):
            even: U8 = states.reshape(len(lengths), first)[index].reshape(-1)
            return even
        chosen: U8 = states[ragged_index(lengths, index)]
        return chosen

    def cut(self, start: int, stop: int) -> Self:
        """Return the rows from `start` up to `stop`, as views of these."""
        own = self.__dict__
        columns: dict[str, Any] = {name: own[name][start:stop] for name in self.LAYOUT}
        if self.RAGGED:
            columns["lengths"] = self.lengths[start:stop]
            before = int(self.lengths[:start].sum(dtype=np.int64))
            there = int(columns["lengths"].sum(dtype=np.int64))
            columns["states"] = self.states[before : before + there]
        return self.of(columns)

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of `parts`, one after the other."""
        if not parts:
            return cls.empty()
        if len(parts) == 1:
            return parts[0]
        names = [*cls.LAYOUT, *(("lengths", "states") if cls.RAGGED else ())]
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})

    def split(self, rows_max: int) -> list[Self]:
        """Return the rows in parts of at most `rows_max`, in order."""
        if len(self) <= rows_max:
            return [self]
        starts = range(0, len(self), rows_max)
        return [self.cut(start, min(start + rows_max, len(self))) for start in starts]

    def to_bytes(self) -> bytes:
        """Return the rows as bytes, in the layout that the module's docstring gives."""
        own = self.__dict__
        total = len(self.states) if self.RAGGED else 0
        parts = [_HEADER.pack(len(self), total)]
        parts += [own[name].tobytes() for name in self.LAYOUT]
        if self.RAGGED:
            parts += [self.lengths.tobytes(), self.states.tobytes()]
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read rows; raise `ProtocolError` where a length does not fit."""
        name = cls.__name__
        if len(data) < 8:
            raise ProtocolError(f"{name}: {len(data)} bytes, too short for its header of 8")
        count, total = _HEADER.unpack_from(data)
        wanted = 8 + count * cls._ROW_BYTES + total
        if len(data) != wanted or (total and not cls.RAGGED):
            raise ProtocolError(f"{name}: {count} rows need {wanted} bytes, not {len(data)}")
        if wanted == 8:
            return cls._none()
        columns: dict[str, Any] = {}
        offset = 8
        for column, dtype, width, row_bytes in cls._READ:
            shape = (count, width) if width > 1 else count
            columns[column] = np.ndarray(shape, dtype, data, offset)
            offset += count * row_bytes
        if cls.RAGGED:
            lengths = columns["lengths"] = np.ndarray(count, _LENGTH, data, offset)
            if int(np.add.reduce(lengths, dtype=np.uint64)) != total:
                raise ProtocolError(f"{name}: state lengths do not add up to {total} bytes")
            columns["states"] = np.ndarray(total, _BYTE, data, offset + 4 * count)
        rows = cls.of(columns)
        rows.check()
        return rows

    def check(self) -> None:
        """Raise `ProtocolError` where a value cannot be right. Subclasses extend it."""


def all_of(mask: NDArray[np.bool_]) -> bool:
    """Return whether all of a mask is true. Counting is several times as quick as `all` on few."""
    return bool(np.count_nonzero(mask) == mask.size)


def ragged_index(lengths: U32, index: Any) -> NDArray[np.int64]:
    """Return the byte positions of the ragged rows that `index` selects, in its order."""
    ends = np.cumsum(lengths, dtype=np.int64)
    starts = (ends - lengths)[index]
    taken = lengths[index].astype(np.int64)
    out_ends = np.cumsum(taken)
    total = int(out_ends[-1]) if len(out_ends) else 0
    positions: NDArray[np.int64] = np.arange(total) + np.repeat(starts - (out_ends - taken), taken)
    return positions


def search(ordered: U64, ids: U64) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return where each of `ids` is in `ordered`, u64 (n,) rising, and whether it is there."""
    if not len(ordered):
        return np.zeros(len(ids), np.intp), np.zeros(len(ids), bool)
    at = np.searchsorted(ordered, ids)
    at[at == len(ordered)] = 0
    return at, ordered[at] == ids


def among(values: NDArray[Any], others: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which of `values` (n,) occur in `others` (m,).

    As `np.isin`, which takes five times as long where both are few.
    """
    if len(values) * len(others) <= SMALL * SMALL:
        found: NDArray[np.bool_] = np.logical_or.reduce(values[:, None] == others, axis=1)
        return found
    return np.isin(values, others)


def rising(values: NDArray[Any]) -> list[int]:
    """Return the different integers of `values` (n,), rising. As `np.unique`, but quick on few."""
    if len(values) <= SMALL:
        return sorted(set(values.tolist()))
    several: list[int] = np.unique(values).tolist()
    return several


def distinct(ids: U64) -> bool:
    """Return whether no id occurs twice."""
    count = len(ids)
    if count <= SMALL:
        return count < 2 or len(set(ids.tolist())) == count
    ordered = np.sort(ids)  # `np.unique` takes four times as long over a batch's
    return not np.count_nonzero(ordered[1:] == ordered[:-1])
