"""Arguments out of a fuzzer's bytes: mostly right, now and then wrong in a way that has a name."""

from typing import Any

import numpy as np

SIZES = (1000.0, 1.0, 0.1, 1 / 3, 4096.0, 1e-3, 1e6, 1e-320, 1e300, 7.0)
ODD = (0.0, -0.0, 5e-324, 1e-45, 1.0, -1.0, 1e300, 3.4e38, np.inf, -np.inf, np.nan)
ROWS_MAX = 40


class Feed:
    """Takes values off the bytes. ``spoiled`` says that some argument is not as it should be."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self.spoiled = False
        self._given: list[tuple[Any, bytes]] = []

    def whole(self, most: int) -> int:
        """A whole number from 0 to ``most``; 0 where the bytes are used up."""
        taken = self._data[self._at : self._at + (1 if most < 256 else 4)]
        self._at += len(taken)
        return int.from_bytes(taken, "little") % (most + 1)

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def one_of(self, values: Any) -> Any:
        """One of some values."""
        return values[self.whole(len(values) - 1)]

    def now_and_then(self) -> bool:
        """True for one byte in sixteen."""
        return self.whole(255) >= 240

    def size(self) -> float:
        """A sector size; now and then one that there cannot be."""
        if self.now_and_then():
            self.spoiled = True
            return float(self.one_of((0.0, -1.0, np.inf, np.nan)))
        return float(self.one_of(SIZES))

    def bytes(self, count: int) -> bytes:
        """So many bytes; zeros where they are used up."""
        taken = self._data[self._at : self._at + count]
        self._at += len(taken)
        return taken.ljust(count, b"\0")

    def random(self) -> np.random.Generator:
        """Values that need not be found byte by byte."""
        return np.random.default_rng(self.whole(2**32 - 1))

    def points(self, rows: int, size: float, dtype: Any = None) -> Any:
        """Positions near borders, at the ends of the range, odd, or any bits at all."""
        dtype = dtype or self.one_of((np.float32, np.float64))
        how, rng = self.whole(3), self.random()
        count = rows * 2
        if how == 0:
            bits = np.frombuffer(self.bytes(count * np.dtype(dtype).itemsize), dtype)
            return self.given(bits.reshape(-1, 2))
        with np.errstate(over="ignore", invalid="ignore"):
            k = rng.integers(-3, 4, count) * 2.0 ** rng.integers(0, 32 if how == 1 else 2, count)
            values = (k * size).astype(dtype)
            for _ in range(2):
                to = np.array([-np.inf, np.inf, 0.0])[rng.integers(0, 3, count)].astype(dtype)
                values = np.nextafter(values, to)
            if how == 3:
                odd = np.array(ODD)[rng.integers(0, len(ODD), count)].astype(dtype)
                values = np.where(rng.random(count) < 0.3, odd, values)
        return self.given(values.reshape(-1, 2).astype(dtype))

    def sectors(self, rows: int) -> Any:
        """Sectors: a crowd, a crowd and some far away, or any at all, those that are none too."""
        how, rng = self.whole(3), self.random()
        if how == 0:
            return self.given(np.frombuffer(self.bytes(rows * 8), np.int32).reshape(-1, 2))
        found = rng.integers(-3, 4, (rows, 2)).astype(np.int64)
        far = rng.random(rows) < (0.0, 0.0, 0.1, 0.5)[how]
        found[far] = rng.choice([-(2**31), 2**31 - 1, 2**30, 0], (int(far.sum()), 2))
        return self.given(found.astype(np.int32))

    def column(self, rows: int, dtype: Any, most: int) -> Any:
        """Whole numbers up to ``most``."""
        values = self.random().integers(0, most, rows, endpoint=True, dtype=np.uint64)
        return self.given(values.astype(dtype))

    def room(self, shape: Any, dtype: Any) -> Any:
        """Memory for a result."""
        return self.given(np.full(shape, 77, dtype))

    def given(self, array: Any) -> Any:
        """The array, now and then spoiled; what it holds is kept for `untouched`."""
        if self.now_and_then():
            array = self._spoil(array)
        elif not array.flags.writeable:
            array = array.copy()
        if isinstance(array, np.ndarray):
            self._given.append((array, array.tobytes()))
        return array

    def _spoil(self, array: Any) -> Any:
        self.spoiled = True
        how = self.whole(7)
        if how == 0:
            return array.astype(self.one_of(("<f2", ">f4", ">i4", "i8", "u1", "O", "S3", "c8")))
        if how == 1:
            return array.repeat(2, axis=0)[::2] if len(array) > 1 else array.tolist()
        if how == 2:
            return array.repeat(2, axis=0)
        if how == 3:
            return array.reshape(-1) if array.ndim > 1 else array.reshape(-1, 1)
        if how == 4:
            return np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)
        if how == 5:
            padded = np.frombuffer(b"\0" + array.tobytes(), np.uint8)[1:]
            return padded.view(array.dtype).reshape(array.shape) if len(padded) else None
        return self.one_of((None, [], "x", 3, 2.5, np.float32(1.0), b"", object()))

    def settled(self) -> None:
        """A call has done what it may do to arrays: forget what they held."""
        self._given.clear()

    def untouched(self) -> bool:
        """Whether all arrays hold what they held when they were made."""
        return all(array.tobytes() == before for array, before in self._given)
