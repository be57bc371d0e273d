"""Disjoint ranges of stream offsets, sorted: what was acknowledged, what must go again."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class RangeSet:
    """A set of half-open integer ranges; touching ranges merge.

    ``starts`` is for those who ask very often whether it is empty; it is changed in place.
    """

    __slots__ = ("_ends", "starts")

    def __init__(self) -> None:
        self.starts: list[int] = []
        self._ends: list[int] = []

    def __bool__(self) -> bool:
        return bool(self.starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(list(zip(self.starts, self._ends, strict=True)))

    def first(self) -> tuple[int, int]:
        """Return the lowest range."""
        return self.starts[0], self._ends[0]

    def add(self, start: int, end: int) -> None:
        """Add ``[start, end)``."""
        if start >= end:
            return
        low = bisect_left(self._ends, start)
        high = bisect_right(self.starts, end)
        if low < high:
            start = min(start, self.starts[low])
            end = max(end, self._ends[high - 1])
        self.starts[low:high] = [start]
        self._ends[low:high] = [end]

    def remove(self, start: int, end: int) -> None:
        """Remove ``[start, end)`` wherever it is in the set."""
        low = bisect_right(self._ends, start)
        high = bisect_left(self.starts, end)
        if low >= high or start >= end:
            return
        starts, ends = [], []
        if self.starts[low] < start:
            starts.append(self.starts[low])
            ends.append(start)
        if self._ends[high - 1] > end:
            starts.append(end)
            ends.append(self._ends[high - 1])
        self.starts[low:high] = starts
        self._ends[low:high] = ends

    def missing(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the parts of ``[start, end)`` that are not in the set."""
        parts = []
        index = bisect_right(self._ends, start)
        while start < end and index < len(self.starts) and self.starts[index] < end:
            if start < self.starts[index]:
                parts.append((start, self.starts[index]))
            start = max(start, self._ends[index])
            index += 1
        if start < end:
            parts.append((start, end))
        return parts
