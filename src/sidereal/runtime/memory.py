"""Keep what the allocator has got: a tick's arrays are as large as the last tick's.

By default glibc gives large blocks back to the system as soon as they are free,
and takes them again, zeroed page by page, in the next tick; that costs a busy
shard a tenth of its time. Elsewhere this does nothing.
"""

import ctypes
import gc
import sys

_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3

KEPT_BYTES = 256 * 1024 * 1024
"""Free memory below this is kept; a process that needs less never has more."""

PAD_BYTES = 16 * 1024 * 1024


COLLECT_AFTER = 50_000
"""New objects after which cycles are looked for. Each datagram is an object or two: by default the
collector would look after each batch of them, and in a busy server it took a twentieth of the time
to find nothing."""


def keep() -> bool:
    """Ask the allocator to keep freed memory; return whether it understood."""
    gc.set_threshold(COLLECT_AFTER)
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wishes = {
        _M_MMAP_THRESHOLD: KEPT_BYTES,
        _M_TRIM_THRESHOLD: KEPT_BYTES,
        _M_TOP_PAD: PAD_BYTES,
    }
    return all(mallopt(option, value) == 1 for option, value in wishes.items())
