"""Positions for the benchmarks: spread evenly, or in crowds; 40 rows a sector on average."""

import math
from typing import Any

import numpy as np

import ratios

SIZE = 1000.0
SIDE = int(500 * math.sqrt(ratios.ROWS / 1e7)) + 1
KINDS = ["float32", "float64", "clustered"]


def positions(kind: str, count: int = ratios.ROWS) -> Any:
    """Within [0, SIDE) sectors on each axis; `clustered` are 64 crowds of float32."""
    rng = np.random.default_rng(1)
    if kind == "clustered":
        centres = rng.uniform(0.1 * SIDE, 0.9 * SIDE, (64, 2)) * SIZE
        spread = 0.02 * SIDE * SIZE
        pos = centres[rng.integers(0, 64, count)] + rng.normal(0, spread, (count, 2))
    else:
        pos = rng.uniform(0, SIDE * SIZE, (count, 2))
    real = np.float64 if kind == "float64" else np.float32
    last = np.nextafter(real(SIDE * SIZE), real(0))
    return np.ascontiguousarray(np.clip(pos, 0, last).astype(real))


def name(work: str, kind: str) -> str:
    """The work's name in the table; gates are for evenly spread float32."""
    return work if kind == "float32" else f"{work}_{kind}"
