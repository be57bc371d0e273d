"""What every store can do, and what it promises. Nothing above it knows which one it has.

A *record* is bytes. A *position* is how many records the journal has ever held. A *term*
is one leadership: whoever acquires a higher one silences all that came before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a store holds: the newest snapshot, and the records that came after it."""

    term: int
    """The highest term that was ever acquired; 0 where none was."""

    snapshot: tuple[bytes, ...] | None
    """The parts of the newest snapshot, or None where there is none."""

    position: int
    """What the snapshot is of: the records before this position are in it. 0 without one."""

    records: tuple[bytes, ...]
    """The records after it, in the order in which they were committed."""

    @property
    def end(self) -> int:
        """The journal's position after all of it."""
        return self.position + len(self.records)


class Store(Protocol):
    """A journal of records, snapshots of what they amount to, and one leader at a time.

    Every method but `load` and `close` is durable when it returns and raises:

    Deposed
        A higher term was acquired. Nothing was written; this process leads no more.
    StoreFailed
        It failed, or nobody knows whether it did. Nothing more can be done with this
        store: the process stops, and what it finds when it starts again is the truth.
    """

    def acquire_term(self) -> int:
        """Take the leadership: one higher than any term before."""
        ...

    def commit(self, term: int, records: Sequence[bytes]) -> int:
        """Append records, all or nothing; return the journal's position after them.

        No records at all is a check that `term` still leads, begun after the call was.

        Raises
        ------
        LimitError
            More than `limits.COMMIT_BYTES_MAX` at once.
        """
        ...

    def snapshot(self, term: int, position: int, parts: Sequence[bytes]) -> None:
        """Keep the whole state as of `position`, in place of an older one, all or nothing.

        Raises
        ------
        ValueError
            `position` is beyond the journal's end, or before that of the newest snapshot.
        """
        ...

    def compact(self, term: int) -> None:
        """Drop the records that the newest snapshot covers."""
        ...

    def load(self) -> Loaded:
        """Return all that is kept; for use after `acquire_term`.

        Raises
        ------
        StoreError
            What is kept is damaged: where, and what to do.
        """
        ...

    def close(self) -> None:
        """Let go of the store. To close twice is no error."""
        ...
