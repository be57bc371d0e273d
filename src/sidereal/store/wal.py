"""SQLite's write-ahead log, read without SQLite: what of it holds, and how it ends.

At a frame that does not hold, SQLite ends the log and says nothing: right for a commit that
was never finished, wrong for one that was durable and has been damaged since. Only the last
transaction can be unfinished, as each is durable before the next begins. So behind the last
frame that holds there may be what one transaction leaves: frames of this log with no page
twice, one that commits at most, and that one last; in between, frames of an older log or
zeros where a write did not come through. All else is damage.

The form is that of https://sqlite.org/fileformat2.html, section 4. A frame's checksum adds
up 32-bit words, and each sum adds the other: the weights of the words are the Fibonacci
numbers, and a whole page is two inner products.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_HEADER = struct.Struct(">8I")
_MAGIC = 0x377F0682
_VERSION = 3_007_000
_FRAME_HEADER_BYTES = 24
_WORD = 0xFFFFFFFF

_AGE_MAX = 1 << 20
"""A log that begins again has a first salt one higher and a second drawn anew. One process does
not begin it again so often."""


@dataclass(frozen=True, slots=True)
class Log:
    """What a write-ahead log's bytes amount to."""

    frames: int
    """Pages of finished transactions."""

    held_bytes: int
    """Up to where it holds: the end of the last finished transaction."""

    torn_bytes: int
    """What there is after that of one unfinished transaction; 0 where the end is clean."""

    problem: str | None
    """Why it cannot be the work of a crash; None where nothing is wrong."""


def survey(data: bytes) -> Log:
    """Say what the bytes of a write-ahead log amount to."""
    if len(data) < _HEADER.size:
        return Log(0, 0, len(data), None)
    magic, version, page_bytes, _, salt1, salt2, sum0, sum1 = _HEADER.unpack_from(data)
    order = ">" if magic & 1 else "<"
    words = np.frombuffer(data, f"{order}u4", 6)
    sums = _sums(words[np.newaxis], 0, 0)[0]
    if magic & ~1 != _MAGIC or version != _VERSION or sums != (sum0, sum1):
        return Log(0, 0, 0, "the header of the write-ahead log does not have its checksum")
    frame_bytes = _FRAME_HEADER_BYTES + page_bytes
    count = (len(data) - _HEADER.size) // frame_bytes
    rows = np.frombuffer(data, np.uint8, count * frame_bytes, _HEADER.size)
    frames = rows.reshape(count, frame_bytes)
    page, commit, frame_salt1, frame_salt2, *found = (
        frames[:, at : at + 4].copy().view(">u4")[:, 0] for at in range(0, 24, 4)
    )
    ours = (frame_salt1 == salt1) & (frame_salt2 == salt2)
    covered = np.concatenate([frames[:, :8], frames[:, _FRAME_HEADER_BYTES:]], axis=1)
    expected = _sums(covered.view(f"{order}u4"), sum0, sum1)
    holds = 0
    while holds < count and ours[holds]:
        if expected[holds] != (int(found[0][holds]), int(found[1][holds])):
            break
        holds += 1
    finished = int(np.flatnonzero(commit[:holds])[-1]) + 1 if commit[:holds].any() else 0
    held_bytes = _HEADER.size + finished * frame_bytes
    age = (salt1 - frame_salt1.astype(np.int64)) & _WORD
    older = (age > 0) & (age < _AGE_MAX) & (frame_salt2 != salt2)
    never = (frame_salt1 == 0) & (frame_salt2 == 0)
    if not (ours | older | never)[finished:].all() or not _one(page, commit, ours, finished):
        return Log(
            finished,
            held_bytes,
            0,
            f"the write-ahead log does not hold from byte {held_bytes:,} on, and what follows "
            "is more than one commit that was never finished",
        )
    torn_bytes = 0
    if ours[finished:].any():
        torn_bytes = (int(np.flatnonzero(ours)[-1]) + 1 - finished) * frame_bytes
    if (len(data) - _HEADER.size) % frame_bytes:
        torn_bytes = len(data) - held_bytes
    return Log(finished, held_bytes, torn_bytes, None)


def _one(
    page: NDArray[np.uint32], commit: NDArray[np.uint32], ours: NDArray[np.bool_], finished: int
) -> bool:
    """Whether the frames of this log after those that hold can be of a single transaction."""
    later = finished + np.flatnonzero(ours[finished:])
    ends = later[commit[later] != 0]
    twice = len(np.unique(page[later])) < len(later)
    return not twice and (len(ends) == 0 or (len(ends) == 1 and ends[0] == later[-1]))


def _sums(words: NDArray[np.uint32], sum0: int, sum1: int) -> list[tuple[int, int]]:
    """The running pair of sums after each row, begun with a pair."""
    count = words.shape[1]
    fibonacci = [0, 1]
    while len(fibonacci) < count + 2:
        fibonacci.append((fibonacci[-1] + fibonacci[-2]) & _WORD)
    weights = np.array(fibonacci, np.uint32)[::-1]
    native = words.astype(np.uint32, copy=False)
    add0 = (native @ weights[2:]).tolist()
    add1 = (native @ weights[1:-1]).tolist()
    # What went before counts as if its two sums were a row of their own, `count` words ago.
    below, at, above = fibonacci[count - 1], fibonacci[count], fibonacci[count + 1]
    sums = []
    for row0, row1 in zip(add0, add1, strict=True):
        sum0, sum1 = (
            (below * sum0 + at * sum1 + row0) & _WORD,
            (at * sum0 + above * sum1 + row1) & _WORD,
        )
        sums.append((sum0, sum1))
    return sums
