"""The audit's hash of ids: SplitMix64, which is a bijection.

The sum of the hashes of a set of ids, mod 2^64, tells two sets apart that have
the same size. And because the hash can be undone, the difference of two sums that
differ by one entity *is* that entity.

Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014).
"""

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]

_GAMMA = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def mixed_ids(ids: U64) -> U64:
    """SplitMix64 of each id, (n,) uint64."""
    z = ids + np.uint64(_GAMMA)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_MIX_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_MIX_2)
    return z ^ (z >> np.uint64(31))


def hash_ids(ids: U64) -> int:
    """Sum of the hashes of a set of ids, mod 2^64."""
    return int(mixed_ids(ids).sum(dtype=np.uint64))


def id_of_hash(value: int) -> int:
    """The one id with this hash."""
    z = _unshift(value & _MASK, 31) * pow(_MIX_2, -1, 1 << 64) & _MASK
    z = _unshift(z, 27) * pow(_MIX_1, -1, 1 << 64) & _MASK
    return (_unshift(z, 30) - _GAMMA) & _MASK


def _unshift(value: int, bits: int) -> int:
    """Undo ``z ^ (z >> bits)``."""
    z = value
    for _ in range(64 // bits):
        z = value ^ (z >> bits)
    return z
