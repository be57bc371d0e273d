"""Sectors are exact: more than a million adversarial values on each instruction set.

The truth is `fractions.Fraction`; the vectorised twin is held against it on a sample, and the
kernel against the twin on all values.
"""

import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from kernel import adversarial
from kernel.test_isa import ISAS
from sidereal import kernel
from sidereal.kernel import reference

ROWS = 45_000
SAMPLE = 400
CASES = [(size, dtype) for size in adversarial.SIZES for dtype in adversarial.DTYPES]


def name(size: float, dtype: type) -> str:
    return f"{size!r} {dtype.__name__}"


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Positions and their sectors, in a file."""
    rng = np.random.default_rng(2718)
    arrays, values = {}, 0
    for size, dtype in CASES:
        pos = adversarial.positions(rng, size, dtype, ROWS)
        arrays[f"pos {name(size, dtype)}"] = pos
        arrays[f"sectors {name(size, dtype)}"] = reference.sectors(pos, size)[0]
        values += pos.size
    assert values >= 1_000_000
    path = tmp_path_factory.mktemp("exactness") / "truth.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(("size", "dtype"), CASES)
def test_the_vectorised_twin_is_what_fractions_say(size: float, dtype: type, truth: Path) -> None:
    with np.load(truth) as arrays:
        values = arrays[f"pos {name(size, dtype)}"].ravel()
    values = np.random.default_rng(1).choice(values, SAMPLE)
    for value, got in zip(
        values.tolist(), reference.space.coordinates(values, size).tolist(), strict=True
    ):
        k = math.floor(Fraction(value) / Fraction(size)) if math.isfinite(value) else None
        there = k is not None and abs(k) <= 2**31 - 1
        assert got == (k if there else -(2**31)), (value, size)


def wrong(path: str) -> int:
    """How many rows the kernel gets wrong: by sectors, and by crossings from right and wrong."""
    count = 0
    with np.load(path) as arrays:
        for size, dtype in CASES:
            pos = arrays[f"pos {name(size, dtype)}"]
            want = arrays[f"sectors {name(size, dtype)}"]
            got, invalid = kernel.sectors(pos, size)
            count += int((got != want).any(axis=1).sum())
            count += len(np.setxor1d(invalid, np.flatnonzero(want[:, 0] == -(2**31))))
            count += len(kernel.crossings(pos, want, size)[0])
            for step in (-1, 1):
                beside = want.copy()
                beside[:, 0] = np.clip(beside[:, 0].astype(np.int64) + step, -(2**31), 2**31 - 1)
                moved = np.flatnonzero((beside != want).any(axis=1))
                index, new = kernel.crossings(pos, beside, size)
                count += len(np.setxor1d(index, moved))
                count += int((new != want[index]).any(axis=1).sum())
    return count


@pytest.mark.parametrize("isa", ISAS)
def test_none_of_a_million_values_is_wrong(isa: str, truth: Path) -> None:
    code = (
        "import sys; from kernel.test_exactness import *; print(kernel.isa(), wrong(sys.argv[1]))"
    )
    environment = os.environ | {
        "SIDEREAL_ISA": isa,
        "PYTHONPATH": os.path.dirname(os.path.dirname(__file__)),
    }
    done = subprocess.run(
        [sys.executable, "-c", code, str(truth)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    used, count = done.stdout.split()
    if used != isa:
        pytest.skip(f"NOT TESTED: this machine lacks {isa}")
    assert int(count) == 0


def test_large_answers_past_the_caches_are_the_same() -> None:
    rows = 6_300_000  # more than 48 MB of sectors
    rng = np.random.default_rng(5)
    memory = np.empty(rows * 2 + 1, np.int32)
    for dtype in adversarial.DTYPES:
        pos = adversarial.positions(rng, 1000.0, dtype, ROWS)
        pos = pos[rng.integers(0, len(pos), 1_000)]
        pos = np.resize(pos, (rows, 2))
        where, invalid = kernel.sectors(pos, 1000.0, memory[1:].reshape(-1, 2))
        want, none = kernel.sectors(pos[:1_000], 1000.0)
        np.testing.assert_array_equal(where, np.resize(want, (rows, 2)))
        assert len(invalid) == rows // 1_000 * len(none)
