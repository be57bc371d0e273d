"""Waits until what others have written is on the disk, but not for ever.

What an installer has just written is on its way for half a minute, and a commit of the journal
would wait for it: then every handoff is late, through no fault of the world's.
"""

import os
import threading
from collections.abc import Callable

PATIENCE_S = 30.0
TOLD_AFTER_S = 1.0
GLANCE_S = 0.1


def settle(
    note: Callable[[str], None],
    gives_up: Callable[[], bool],
    *,
    sync: Callable[[], None] = os.sync,
    patience_s: float = PATIENCE_S,
    told_after_s: float = TOLD_AFTER_S,
) -> bool:
    """Wait for the disk; return False where it takes longer than there is patience.

    Parameters
    ----------
    note
        Told in words what is waited for, where that takes a while.
    gives_up
        Asked now and then whether nobody waits any more: the system's call cannot be broken off,
        so it has a thread of its own.
    """
    written = threading.Event()

    def write() -> None:
        sync()
        written.set()

    threading.Thread(target=write, name="sync", daemon=True).start()
    waited_s = 0.0
    told = False
    while not written.wait(GLANCE_S):
        waited_s += GLANCE_S
        if gives_up():
            return False
        if waited_s >= patience_s:
            note(f"the disk is still busy after {patience_s:g} s: commits may be late")
            return False
        if waited_s >= told_after_s and not told:
            told = True
            note("waiting until what others have written is on the disk")
    return True
