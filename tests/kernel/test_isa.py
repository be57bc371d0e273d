"""Every instruction set gives the same answers, bit for bit."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from kernel import adversarial
from sidereal import kernel

ISAS = ("x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4")


def digest() -> str:
    """All answers over adversarial data, as one hash."""
    digest = hashlib.sha256()
    rng = np.random.default_rng(71)
    for size in adversarial.SIZES:
        for dtype in adversarial.DTYPES:
            pos = adversarial.positions(rng, size, dtype, 3001)
            where, invalid = kernel.sectors(pos, size)
            prev = np.roll(where, 1, axis=0)
            prev[::3] = where[::3]
            near = rng.uniform(-9 * size, 9 * size, (3000, 2)).astype(dtype)
            answers = [
                where,
                invalid,
                *kernel.crossings(pos, prev, size),
                *kernel.crossings(pos, prev, size, margin=size / 3),
                kernel.near_border(pos, prev, size, size / 4),
                *kernel.group(where),
                *kernel.Snapshot(near, size).query(near[:200], size * 1.5),
            ]
            for answer in answers:
                digest.update(answer.tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("isa", ISAS)
def test_answers_do_not_depend_on_the_instruction_set(isa: str) -> None:
    code = "from kernel.test_isa import digest, kernel; print(kernel.isa(), digest())"
    environment = os.environ | {
        "SIDEREAL_ISA": isa,
        "PYTHONPATH": os.path.dirname(os.path.dirname(__file__)),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    used, answer = done.stdout.split()
    if used != isa:
        pytest.skip(f"NOT TESTED: this machine lacks {isa}")
    assert answer == digest()
