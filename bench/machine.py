"""What this machine's memory gives one thread, measured in the run that is judged by it.

A small C++ file is compiled for it: NumPy copies through the caches only.
"""

import ctypes
import functools
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SOURCE = Path(__file__).with_name("memory.cpp")
AHEAD = (0, 512, 1024, 2048, 4096)  # bytes
ROUNDS = 7


@dataclass(frozen=True)
class Bandwidth:
    """Bytes a second, for arrays of ``stream_bytes`` each; a copy counts reading and writing."""

    stream_bytes: int
    read: float
    copy_plain: float
    copy_past_caches: float

    @property
    def copy(self) -> float:
        """The faster way to copy."""
        return max(self.copy_plain, self.copy_past_caches)

    def line(self) -> str:
        """Its line above the table."""
        return (
            f"this machine, one thread, {self.stream_bytes / 1e6:.0f} MB a stream: reads "
            f"{self.read / 1e9:.1f} GB/s, copies {self.copy_plain / 1e9:.1f}, "
            f"{self.copy_past_caches / 1e9:.1f} past the caches"
        )


@functools.cache
def library() -> Any:
    """The probe, compiled."""
    folder = tempfile.TemporaryDirectory()
    target = str(Path(folder.name) / "memory.so")
    compiler = os.environ.get("CXX", "c++")
    flags = ["-std=c++20", "-O3", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, "-o", target, str(SOURCE)], check=True)
    loaded = ctypes.CDLL(target)
    folder.cleanup()
    return loaded


def aligned(count: int) -> Any:
    """Bytes that begin where a page does, each written once."""
    memory = np.ones(count + 4096, np.uint8)
    return memory[-memory.ctypes.data % 4096 :][:count]


@functools.cache
def bandwidth(stream_bytes: int) -> Bandwidth:
    """The best of some rounds of each way, whatever it fetches ahead."""
    import ratios

    a, b = aligned(stream_bytes), aligned(stream_bytes)
    given = [ctypes.c_void_p(array.ctypes.data) for array in (a, b)]

    def best(name: str, ahead: tuple[int, ...]) -> float:
        call = getattr(library(), name)
        times = []
        for each in ahead:
            arguments = (*given, ctypes.c_size_t(stream_bytes), ctypes.c_size_t(each))
            times.append(ratios.best_s(lambda a=arguments: call(*a), ROUNDS))  # type: ignore[misc]
        return 2 * stream_bytes / min(times)

    return Bandwidth(
        stream_bytes,
        best("read_two", AHEAD),
        best("copy_plain", (0,)),
        best("copy_past", AHEAD),
    )
