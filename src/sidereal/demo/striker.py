"""`Striker`: does what the plan of strikes says, in a thread of its own, and notes what it did.

It waits for nobody: the launcher may meanwhile hang on a server that is dead. Whatever was done
is undone when the striker is stopped, so that the world can be asked for its end.
"""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sidereal.demo.audit_file import AuditFile
from sidereal.demo.processes import Process, Processes
from sidereal.demo.strikes import KILL_REPLICATION, KILL_SHARD, PARTITION, PAUSE_SHARD, Strike
from sidereal.errors import SiderealError
from sidereal.runtime.clock import now_ns
from sidereal.wire.operator_messages import Status


@dataclass
class Struck:
    """A strike that was done, by the launcher's clock; 0 is not yet.

    Attributes
    ----------
    struck_ns, undone_ns : int
        When it began; when the process was started again or let go on, or the network whole.
    term : int
        Of a killed server.
    listening_ns, served_ns : int
        When a new server listened, and when it was first seen with all shards.
    stages_ms : dict
        What the new server says that its start took, by stage.
    """

    strike: Strike
    victim: str
    pid: int
    struck_ns: int
    undone_ns: int = 0
    term: int = 0
    listening_ns: int = 0
    served_ns: int = 0
    stages_ms: dict[str, float] | None = None


class Striker:
    """The strikes of one run.

    Parameters
    ----------
    strikes
        In order of time.
    begin_ns
        When the first tick begins, by this process's clock.
    audit
        Where the shards' audit files are: a partition is written into them.
    note
        Told in words what is done.
    """

    def __init__(
        self,
        strikes: list[Strike],
        processes: Processes,
        begin_ns: int,
        audit: Path,
        note: Callable[[str], None],
    ) -> None:
        self.struck: list[Struck] = []
        self._failed: list[str] = []
        self._strikes = strikes
        self._processes = processes
        self._begin_ns = begin_ns
        self._audit = audit
        self._note = note
        self._term = 0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="striker", daemon=True)

    def start(self) -> None:
        """Begin; what is due strikes from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Strike no more, and undo what is done."""
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self, status: Status, shards: int) -> None:
        """Take the world as it stands: a new server that has all its shards has recovered."""
        self._term = status.term
        for struck in self.struck:
            if struck.listening_ns and not struck.served_ns and status.term > struck.term:
                if sum(shard.alive for shard in status.shards) >= shards:
                    struck.served_ns = now_ns()
                counters = status.counters
                struck.stages_ms = {
                    stage: counters.get(f"start_{stage}_us", 0) / 1000
                    for stage in ("bind", "load", "replay")
                }

    def undone(self, *, early: bool = False) -> list[str]:
        """Return why not all was done that was planned, where the run was not to end `early`."""
        left = len(self._strikes) - len(self.struck)
        if early or not left:
            return self._failed
        why = "" if self._failed else ": the run was over before"
        return [*self._failed, f"{left} of {len(self._strikes)} strikes were not done{why}"]

    @property
    def waiting(self) -> bool:
        """Whether a new server is still to be seen with all its shards."""
        return any(struck.listening_ns and not struck.served_ns for struck in self.struck)

    def _run(self) -> None:
        for strike in self._strikes:
            due = self._begin_ns + round(strike.at_s * 1e9)
            if self._ends.wait(max(0.0, (due - now_ns()) / 1e9)):
                return
            try:
                self._strike(strike)
            except (SiderealError, OSError) as error:
                self._failed.append(f"{strike.kind} at {strike.at_s:.1f} s: {error}")
                return

    def _strike(self, strike: Strike) -> None:
        processes = self._processes
        server = processes.server
        assert server is not None
        process = server if strike.victim is None else processes.shards[strike.victim]
        done = Struck(strike, process.name, process.pid, now_ns(), term=self._term)
        self._note(f"{strike.kind}: {process.name} (pid {process.pid})")
        self.struck.append(done)
        if strike.kind == KILL_SHARD:
            assert strike.victim is not None
            processes.replace_shard(strike.victim)
        elif strike.kind == KILL_REPLICATION:
            processes.fell_server()
            self._ends.wait(strike.lasts_s)
            done.undone_ns = now_ns()
            processes.start_server()
            done.listening_ns = now_ns()
        elif strike.kind == PAUSE_SHARD:
            self._while(strike, process, lambda on: _signal(process, on))
        else:
            assert strike.kind == PARTITION
            file = AuditFile(self._audit / f"{process.name}-{process.pid}.audit", "r+")
            self._while(strike, process, lambda on: _cut(file, strike.way, on))
        done.undone_ns = done.undone_ns or now_ns()

    def _while(self, strike: Strike, process: Process, do: Callable[[bool], None]) -> None:
        do(True)
        self._ends.wait(strike.lasts_s)
        do(False)
        self._note(f"{strike.kind} of {process.name} is over")


def _signal(process: Process, on: bool) -> None:
    with suppress(ProcessLookupError):  # it fell by itself: the launcher tells
        os.kill(process.pid, signal.SIGSTOP if on else signal.SIGCONT)


def _cut(file: AuditFile, way: str, on: bool) -> None:
    file["cut_out"] = int(on and way != "in")
    file["cut_in"] = int(on and way != "out")
