"""What is in each sector, in few bytes: a count and a digest of ids and versions.

A shard and the record make it from their own columns. Equal rows give equal
digests in any order; two sets that differ give the same one with a chance of
one in 2^64.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sidereal.kernel import EntityTable, group
from sidereal.world.columns import I32, U32, U64, Columns

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


class SectorDigests(Columns):
    """Sectors: ``digest`` u64, ``sector`` i32 (n, 2), by y, then x; ``count`` u32 of rows."""

    LAYOUT: ClassVar[dict[str, tuple[str, int]]] = {
        "digest": ("<u8", 1),
        "sector": ("<i4", 2),
        "count": ("<u4", 1),
    }

    digest: U64
    sector: I32
    count: U32


class VersionRows(Columns):
    """Entities by ``ids`` u64, ``sector`` i32 (n, 2), ``version`` u32."""

    LAYOUT: ClassVar[dict[str, tuple[str, int]]] = {
        "ids": ("<u8", 1),
        "sector": ("<i4", 2),
        "version": ("<u4", 1),
    }

    ids: U64
    sector: I32
    version: U32


def versions(table: EntityTable, slots: U32) -> VersionRows:
    """Return what the rows `slots` of `table` are."""
    return VersionRows(
        ids=table.ids[slots], sector=table.sector[slots], version=table.version[slots]
    )


def digests(rows: VersionRows) -> SectorDigests:
    """Return the digests of the sectors that the rows lie in.

    The mixing is that of SplitMix64 (Steele, Lea and Flood, 2014).
    """
    order, offsets, sectors = group(rows.sector)
    if not len(sectors):
        return SectorDigests.empty()
    mixed = _mix(rows.ids * _GOLDEN + rows.version.astype(np.uint64))
    return SectorDigests(
        digest=np.add.reduceat(mixed[order], offsets[:-1].astype(np.int64)),
        sector=sectors,
        count=np.diff(offsets),
    )


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(30))) * _FIRST
    value = (value ^ (value >> np.uint64(27))) * _SECOND
    return value ^ (value >> np.uint64(31))
