"""`Stages`: for which stage of its work a thread used its processor time.

A tick has about a dozen stages, and reading the clock takes 0.3 us, so that the account is always
kept: what an update costs, and where, is part of what a process says of itself.
"""

import time


class Stages:
    """Charges the time since the last `lap` to a stage.

    For the thread that makes it, and that thread alone.
    """

    def __init__(self) -> None:
        self.used_ns: dict[str, int] = {}
        """Processor time by stage, ns."""
        self._last_ns = time.thread_time_ns()

    def lap(self, stage: str) -> None:
        """What was used since the last lap was for `stage`."""
        now = time.thread_time_ns()
        self.used_ns[stage] = self.used_ns.get(stage, 0) + now - self._last_ns
        self._last_ns = now
