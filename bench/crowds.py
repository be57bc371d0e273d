"""Positions for the benchmarks: spread evenly, or in crowds; 40 rows a sector on average."""

import math
from typing import Any

import numpy as np

import ratios

SIZE = 1000.0
KINDS = ["float32", "float64", "clustered", "clustered64"]


def side_of(count: int) -> int:
    """The side of the world, in sectors."""
    return int(500 * math.sqrt(count / 1e7)) + 1


SIDE = side_of(ratios.ROWS)


def positions(kind: str, count: int = ratios.ROWS) -> Any:
    """Within `side_of` sectors on each axis; `clustered` are 64 crowds."""
    rng = np.random.default_rng(1)
    side = side_of(count)
    if kind.startswith("clustered"):
        centres = rng.uniform(0.1 * side, 0.9 * side, (64, 2)) * SIZE
        spread = 0.02 * side * SIZE
        pos = centres[rng.integers(0, 64, count)] + rng.normal(0, spread, (count, 2))
    else:
        pos = rng.uniform(0, side * SIZE, (count, 2))
    real = np.float64 if kind.endswith("64") else np.float32
    last = np.nextafter(real(side * SIZE), real(0))
    return np.ascontiguousarray(np.clip(pos, 0, last).astype(real))


def name(work: str, kind: str) -> str:
    """The work's name in the table; gates are for evenly spread float32."""
    return work if kind == "float32" else f"{work}_{kind}"
