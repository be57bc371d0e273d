"""The one clock of every process: monotonic, and it counts suspended time.

A lease that did not count the time in which a machine slept would be worth
nothing; CLOCK_BOOTTIME does where the system has it.
"""

import os
import time
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_ns() -> int:
    """Return the present in integer nanoseconds."""
    return time.clock_gettime_ns(_CLOCK)


def clock_name() -> str:
    """Return what this clock runs with: the same name for as long as the machine is up.

    Where the system does not say, each process is its own: its successor goes by the wall.
    """
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return f"process {os.getpid()} at {time.time_ns()}"
