"""The one clock of every process: monotonic, and it counts suspended time.

A lease that did not count the time in which a machine slept would be worth
nothing; CLOCK_BOOTTIME does where the system has it.
"""

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_ns() -> int:
    """Return the present in integer nanoseconds."""
    return time.clock_gettime_ns(_CLOCK)
