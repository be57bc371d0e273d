"""Columns: rows of one kind, held as NumPy arrays and carried as one run of bytes.

A subclass names its columns and their dtypes; everything that carries entities
on the wire or through the cores is one of these. Reading checks every length
against the count before a single array is made, so that what comes out cannot
be wrong in shape.

The bytes are: the row count (u32), the total of the ragged bytes (u32), each
column in turn, widest items first so that each is aligned, then the ragged
bytes. Little-endian.
"""

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

_HEADER = np.dtype("<u4")


class Columns:
    """Rows as columns. Subclasses set `LAYOUT`: name → (dtype, items a row), widest first."""

    LAYOUT: ClassVar[dict[str, tuple[str, int]]] = {}
    RAGGED: ClassVar[bool] = False
    _FIRST: ClassVar[str] = ""
    _ROW_BYTES: ClassVar[int] = 0

    __slots__ = ("lengths", "states")

    lengths: U32
    states: U8

    def __init__(self, **columns: Any) -> None:
        for name, (dtype, width) in self.LAYOUT.items():
            value = np.ascontiguousarray(columns.pop(name), dtype=dtype)
            setattr(self, name, value.reshape(-1, width) if width > 1 else value)
        if self.RAGGED:
            self.lengths = np.ascontiguousarray(columns.pop("lengths"), dtype="<u4")
            self.states = np.ascontiguousarray(columns.pop("states"), dtype="u1")
        if columns:
            raise TypeError(f"{type(self).__name__} has no column {sorted(columns)[0]!r}")
        counts = {len(getattr(self, name)) for name in self.LAYOUT}
        if len(counts) > 1:
            raise ValueError(f"columns of {type(self).__name__} differ in length: {sorted(counts)}")

    def __len__(self) -> int:
        return len(getattr(self, self._FIRST))

    def __init_subclass__(cls) -> None:
        """Note what reading needs of a layout."""
        cls._FIRST = next(iter(cls.LAYOUT), "")
        row_bytes = sum(np.dtype(dtype).itemsize * width for dtype, width in cls.LAYOUT.values())
        cls._ROW_BYTES = row_bytes + (4 if cls.RAGGED else 0)

    @classmethod
    def of(cls, columns: dict[str, Any]) -> Self:
        """Return rows of columns whose dtypes, shapes and lengths are right already."""
        rows = object.__new__(cls)
        for name, value in columns.items():
            setattr(rows, name, value)
        return rows

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

    def take(self, index: Any) -> Self:
        """Return the rows that `index` (a mask or integers) selects, in its order."""
        columns: dict[str, Any] = {name: getattr(self, name)[index] for name in self.LAYOUT}
        if self.RAGGED:
            columns["lengths"] = self.lengths[index]
            columns["states"] = self.states[ragged_index(self.lengths, index)]
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
        return [
            self.take(np.arange(start, min(start + rows_max, len(self))))
            for start in range(0, len(self), rows_max)
        ]

    def to_bytes(self) -> bytes:
        """Return the rows as bytes, in the layout that the module's docstring gives."""
        total = len(self.states) if self.RAGGED else 0
        parts = [np.array([len(self), total], _HEADER).tobytes()]
        parts += [getattr(self, name).tobytes() for name in self.LAYOUT]
        if self.RAGGED:
            parts += [self.lengths.tobytes(), self.states.tobytes()]
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read rows; raise `ProtocolError` where a length does not fit."""
        name = cls.__name__
        if len(data) < 8:
            raise ProtocolError(f"{name}: {len(data)} bytes, too short for its header of 8")
        count, total = (int(v) for v in np.frombuffer(data, _HEADER, 2))
        wanted = 8 + count * cls._ROW_BYTES + total
        if len(data) != wanted or (total and not cls.RAGGED):
            raise ProtocolError(f"{name}: {count} rows need {wanted} bytes, not {len(data)}")
        columns: dict[str, Any] = {}
        offset = 8
        for column, (dtype, width) in cls.LAYOUT.items():
            values = np.frombuffer(data, dtype, count * width, offset)
            offset += values.nbytes
            columns[column] = values.reshape(-1, width) if width > 1 else values
        if cls.RAGGED:
            lengths = np.frombuffer(data, "<u4", count, offset)
            if int(lengths.sum(dtype=np.uint64)) != total:
                raise ProtocolError(f"{name}: state lengths do not add up to {total} bytes")
            columns["lengths"] = lengths
            columns["states"] = np.frombuffer(data, "u1", total, offset + 4 * count)
        rows = cls.of(columns)
        rows.check()
        return rows

    def check(self) -> None:
        """Raise `ProtocolError` where a value cannot be right. Subclasses extend it."""


def ragged_index(lengths: U32, index: Any) -> NDArray[np.int64]:
    """Return the byte positions of the ragged rows that `index` selects, in its order."""
    ends = np.cumsum(lengths, dtype=np.int64)
    starts = (ends - lengths)[index]
    taken = lengths[index].astype(np.int64)
    out_ends = np.cumsum(taken)
    total = int(out_ends[-1]) if len(out_ends) else 0
    positions: NDArray[np.int64] = np.arange(total) + np.repeat(starts - (out_ends - taken), taken)
    return positions
