"""The audit's eye on one tick of a shard, in readable passes: the compiled one is ``_eye.pyx``."""

import numpy as np
import numpy.typing as npt

from sidereal.demo.idhash import U64, hash_ids

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
Index = npt.NDArray[np.int64]

LOW_HALVES = 1 << 16
"""Values that the low 16 bits of an id may have."""


def look(
    tick: int, ids: U64, since: U32, birth: U32, end: U32, pending: U8, maybe: U8
) -> tuple[int, int, Index, Index, Index]:
    """Count the rows of a tick, and find those that something is to be said of.

    Parameters
    ----------
    ids : (n,) uint64
    since, birth, end : (n,) uint32
        The tick of each row's state, the first and the last tick of its life; an end of 0 is none.
    pending : (n,) uint8
        1 for shadows.
    maybe : (65536,) uint8
        Which low halves of ids may be looked for.

    Returns
    -------
    count, hash : int
        Rows alive that are no shadows, and the sum of their ids' hashes mod 2^64.
    shadows, late, likely : (m,) int64
        Shadows; rows, not shadows, of an earlier tick than the one before; rows whose ids may be
        looked for. Each rising.

    Raises
    ------
    ValueError
        The columns differ in length.
    """
    if len({len(column) for column in (ids, since, birth, end, pending)}) > 1:
        raise ValueError("the columns differ in length")
    if len(maybe) != LOW_HALVES:
        raise ValueError(f"maybe has not {LOW_HALVES} entries")
    counted = (birth <= tick) & ((tick <= end) | (end == 0)) & (pending == 0)
    late = (since.astype(np.int64) + 1 < tick) & (pending == 0)
    likely = maybe[ids & np.uint64(LOW_HALVES - 1)] != 0
    return (
        int(counted.sum()),
        hash_ids(ids[counted]),
        np.flatnonzero(pending),
        np.flatnonzero(late),
        np.flatnonzero(likely),
    )
