"""SIGINT and SIGTERM as a question that a loop can ask; a second one does not wait."""

import signal
import sys
from collections.abc import Callable
from types import FrameType

INTERRUPTED = 130
"""Exit status of what a signal ended: 128 and SIGINT's number, as shells have it."""


def stop_on_signals() -> Callable[[], bool]:
    """Return a function that tells whether SIGINT or SIGTERM has come."""
    stopped = False

    def note(signum: int, frame: FrameType | None) -> None:
        nonlocal stopped
        del signum, frame
        if stopped:
            sys.exit(INTERRUPTED)
        stopped = True

    signal.signal(signal.SIGTERM, note)
    signal.signal(signal.SIGINT, note)
    return lambda: stopped
