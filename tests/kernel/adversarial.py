"""Values that rounding gets wrong: borders of sectors and their neighbours, at every distance."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZES = (1000.0, 1.0, 0.1, 1 / 3, 4096.0, 1e-3, 1e6)
DTYPES = (np.float32, np.float64)
ULPS = 3


def coordinates(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Sector coordinates, small, of every magnitude, and at both ends of the range."""
    small = rng.integers(-100, 101, count // 4)
    magnitude = rng.integers(0, 31, count // 2)
    wide = np.sign(rng.normal(size=count // 2)) * (2.0**magnitude + rng.integers(-2, 3, count // 2))
    ends = rng.choice([-1, 1], count // 4) * (2**31 - 1 + rng.integers(-3, 4, count // 4))
    return np.concatenate([small, wide, ends]).astype(np.float64)


def borders(
    rng: np.random.Generator, size: float, dtype: type[Any], count: int
) -> NDArray[np.floating[Any]]:
    """Values within ``ULPS`` of borders, shuffled."""
    values = (coordinates(rng, count) * size).astype(dtype)
    steps = rng.integers(-ULPS, ULPS + 1, len(values))
    for _ in range(ULPS):
        values = np.where(steps > 0, np.nextafter(values, dtype(np.inf)), values)
        values = np.where(steps < 0, np.nextafter(values, dtype(-np.inf)), values)
        steps -= np.sign(steps)
    return rng.permutation(values.astype(dtype))


def specials(dtype: type[Any]) -> NDArray[np.floating[Any]]:
    """Zeros, denormals, infinities, NaN, the largest."""
    info = np.finfo(dtype)
    positive = [0.0, info.smallest_subnormal, info.tiny, info.eps, 1.0, info.max, np.inf]
    return np.array([*positive, *(-v for v in positive), np.nan], dtype=dtype)


def positions(
    rng: np.random.Generator, size: float, dtype: type[Any], count: int
) -> NDArray[np.floating[Any]]:
    """Adversarial positions of shape (about count, 2), specials on either axis included."""
    x, y = (borders(rng, size, dtype, count) for _ in range(2))
    odd = np.stack(np.meshgrid(specials(dtype), specials(dtype)), axis=-1).reshape(-1, 2)
    inside = rng.uniform(-5 * size, 5 * size, (count // 8, 2)).astype(dtype)
    return np.ascontiguousarray(np.concatenate([np.stack([x, y], axis=1), odd, inside]))
