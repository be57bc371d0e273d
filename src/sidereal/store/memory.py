"""A store in memory, for tests and the simulator: a disk that several processes can open.

`MemoryDisk` is what survives a crash, `MemoryStore` one process that has it open. The disk
asks `strike` before each operation whether a fault is due, so a test or a seed decides. A
deposed leader's late write needs no seam: call the older store after `acquire_term` of
another.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from threading import Lock
from typing import Literal

from sidereal.errors import StoreDamaged, StoreFailed
from sidereal.store.commits import Commit, Mark, after, flaw, seal
from sidereal.store.face import Loaded
from sidereal.store.words import check_position, deposed

log = logging.getLogger("sidereal.store")

Operation = Literal["term", "commit", "check", "snapshot", "compact"]


class Fault(Enum):
    """What may befall an operation. The process that met one has to start again."""

    CRASH_BEFORE = auto()
    """The process dies before anything is written: `Crashed`."""
    CRASH_AFTER = auto()
    """The process dies when all is durable, before it hears so: `Crashed`."""
    TORN = auto()
    """The process dies in the middle; half of it is found later, and dropped: `Crashed`."""
    DISK_FULL = auto()
    """Nothing is written: `StoreFailed`."""
    FSYNC_FAILED = auto()
    """Written, never durable, and gone at the restart: `StoreFailed`."""
    UNKNOWN_LOST = auto()
    """The answer never came, and nothing was written: `StoreFailed`."""
    UNKNOWN_KEPT = auto()
    """The answer never came, though all is durable: `StoreFailed`."""


_KEPT = {Fault.CRASH_AFTER, Fault.UNKNOWN_KEPT}
_CRASHES = {Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.TORN}


class Crashed(BaseException):
    """The simulated process ends here: no handler of errors may keep it alive."""


def no_strike(_operation: Operation) -> Fault | None:
    """No fault is due."""
    return None


@dataclass(slots=True)
class MemoryDisk:
    """What survives a process: the bytes, and who may write them."""

    strike: Callable[[Operation], Fault | None] = no_strike
    """Asked once for each operation."""

    term: int = 0
    commits: list[Commit] = field(default_factory=list)
    base: Mark = field(default_factory=Mark)
    snapshot: tuple[int, tuple[bytes, ...]] | None = None
    lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def end(self) -> Mark:
        """Where the next commit is appended."""
        return self.commits[-1].mark if self.commits else self.base


class MemoryStore:
    """One process's opening of a `MemoryDisk`; a `Store`.

    Parameters
    ----------
    disk
        A new one by default. Whatever was torn on it is dropped, and the log says so.
    """

    def __init__(self, disk: MemoryDisk | None = None) -> None:
        self.disk = disk or MemoryDisk()
        self._failed: str | None = None
        with self.disk.lock:
            self._recover()

    def acquire_term(self) -> int:
        """See `Store.acquire_term`."""
        disk = self.disk

        def write() -> None:
            disk.term += 1

        with disk.lock:
            self._do("term", write)
            return disk.term

    def commit(self, term: int, records: Sequence[bytes]) -> int:
        """See `Store.commit`."""
        disk = self.disk
        with disk.lock:
            commit = seal(disk.end, term, records)

            def write() -> None:
                disk.commits.append(commit)

            def tear() -> None:
                half = commit.body[: len(commit.body) // 2]
                disk.commits.append(replace(commit, body=half))

            self._fence(term)
            if records:
                self._do("commit", write, tear)
            else:
                self._do("check", _nothing)
            return commit.position

    def snapshot(self, term: int, position: int, parts: Sequence[bytes]) -> None:
        """See `Store.snapshot`."""
        disk = self.disk

        def write() -> None:
            disk.snapshot = position, tuple(parts)

        with disk.lock:
            self._fence(term)
            check_position(position, disk.snapshot[0] if disk.snapshot else 0, disk.end.position)
            self._do("snapshot", write)

    def compact(self, term: int) -> None:
        """See `Store.compact`."""
        disk = self.disk

        def write() -> None:
            position = disk.snapshot[0] if disk.snapshot else 0
            covered = [commit for commit in disk.commits if commit.position <= position]
            if covered:
                disk.base = covered[-1].mark
                disk.commits = disk.commits[len(covered) :]

        with disk.lock:
            self._fence(term)
            self._do("compact", write)

    def load(self) -> Loaded:
        """See `Store.load`."""
        disk = self.disk
        with disk.lock:
            self._alive()
            before = disk.base
            for commit in disk.commits:
                if problem := flaw(before, commit):
                    raise StoreDamaged("this journal", problem)
                before = commit.mark
            position, parts = disk.snapshot or (0, None)
            return Loaded(disk.term, parts, position, after(position, disk.commits))

    def close(self) -> None:
        """See `Store.close`."""
        self._failed = self._failed or "this store is closed"

    def _do(
        self,
        operation: Operation,
        write: Callable[[], None],
        tear: Callable[[], None] | None = None,
    ) -> None:
        """Write, or let the fault that is due strike."""
        self._alive()
        fault = self.disk.strike(operation)
        if fault is None:
            write()
            return
        if fault in _KEPT:
            write()
        elif fault is Fault.TORN and tear is not None:
            tear()
        self._failed = f"{fault.name.lower()} struck this {operation}"
        if fault in _CRASHES:
            raise Crashed(self._failed)
        raise StoreFailed(self._failed)

    def _alive(self) -> None:
        if self._failed is not None:
            raise StoreFailed(f"{self._failed}: this process has to start again")

    def _fence(self, term: int) -> None:
        self._alive()
        if self.disk.term != term:
            raise deposed(term, self.disk.term)

    def _recover(self) -> None:
        """Drop a torn tail: it is the last commit, whose process died in the middle of it."""
        commits = self.disk.commits
        before = commits[-2].mark if len(commits) > 1 else self.disk.base
        if commits and (problem := flaw(before, commits[-1])):
            del commits[-1]
            log.warning("dropped the last commit, which was never finished: %s", problem)


def _nothing() -> None:
    """Write nothing: a check of the term."""
