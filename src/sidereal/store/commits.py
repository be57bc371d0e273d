"""One commit as bytes, and the chain of checksums that holds the commits together.

A body is the lengths of its records, little-endian u32, and then the records. A commit's
checksum covers the checksum before it, its position, its term and its body: so a commit
that is damaged, missing or out of place shows, wherever it is kept.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sidereal.errors import LimitError
from sidereal.limits import COMMIT_BYTES_MAX

_HEADER = struct.Struct("<IQQI")


class Mark(NamedTuple):
    """Where the chain stands after a commit; at its start, by default."""

    position: int = 0
    checksum: int = 0


@dataclass(frozen=True, slots=True)
class Commit:
    """Records that became durable together."""

    position: int
    """The journal's position after it."""

    term: int
    count: int
    checksum: int
    body: bytes

    @property
    def mark(self) -> Mark:
        """Where the chain stands after it."""
        return Mark(self.position, self.checksum)


def _checksum(before: Mark, position: int, term: int, count: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_HEADER.pack(before.checksum, position, term, count)))


def seal(before: Mark, term: int, records: Sequence[bytes]) -> Commit:
    """Make the commit of `records` that follows `before`.

    Raises
    ------
    LimitError
        More bytes than one commit may have.
    """
    lengths = [len(record) for record in records]
    total = sum(lengths) + 4 * len(lengths)
    if total > COMMIT_BYTES_MAX:
        raise LimitError(
            f"a commit of {total:,} bytes is beyond {COMMIT_BYTES_MAX:,}: commit fewer at once"
        )
    body = b"".join([struct.pack(f"<{len(lengths)}I", *lengths), *records])
    position = before.position + len(records)
    checksum = _checksum(before, position, term, len(records), body)
    return Commit(position, term, len(records), checksum, body)


def flaw(before: Mark, commit: Commit) -> str | None:
    """Return what is wrong with a commit that should follow `before`; None where nothing is."""
    expected = _checksum(before, commit.position, commit.term, commit.count, commit.body)
    if commit.position != before.position + commit.count:
        return (
            f"the commit after position {before.position} says that it ends at "
            f"{commit.position} with {commit.count} records"
        )
    if commit.checksum != expected:
        return (
            f"the commit after position {before.position} has checksum {expected:08x}, "
            f"not {commit.checksum:08x}"
        )
    return None


def unpack(commit: Commit) -> list[bytes]:
    """Return the records of a commit without a `flaw`."""
    return list(_cut(commit.body, commit.count))


def _cut(body: bytes, count: int) -> Iterator[bytes]:
    at = 4 * count
    for length in struct.unpack_from(f"<{count}I", body):
        yield body[at : at + length]
        at += length


def after(position: int, commits: Iterable[Commit]) -> tuple[bytes, ...]:
    """Return the records of flawless commits that come after a position."""
    records: list[bytes] = []
    for commit in commits:
        if commit.position > position:
            first = commit.position - commit.count
            records += unpack(commit)[max(0, position - first) :]
    return tuple(records)
