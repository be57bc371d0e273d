"""`Committer`: decisions become durable in a thread of their own, while ticks go on.

A commit starts as soon as the one before it ended and takes everything that was submitted
meanwhile as one transaction: so a slow disk makes commits larger, not the queue longer. A
snapshot is written by a second thread, beside the commits.

The owner's event loop waits on `fileno` besides its sockets, and then asks `done`.
"""

import os
import threading
import time
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from sidereal.errors import LimitError, StoreFailed
from sidereal.limits import COMMIT_BYTES_MAX
from sidereal.runtime.clock import now_ns
from sidereal.store import Store

Token = TypeVar("Token")


CLOSE_S = 10.0
"""How long a process that ends waits for its disk: a commit takes milliseconds, and a snapshot of a
large world a second or two."""


class _Submitted(NamedTuple, Generic[Token]):
    records: Sequence[bytes]
    token: Token


class CommitTime(NamedTuple):
    """How long a commit took, and when it began; the longer is the greater."""

    took_ns: int
    began_ns: int
    """By `runtime.clock`."""


class Committer(Generic[Token]):
    """Commits and snapshots of one term.

    All methods are for one thread, the owner's.

    Parameters
    ----------
    store
        Not closed here.
    term
        What `Store.acquire_term` gave.
    position
        The journal's end when it was loaded: `Loaded.end`.
    """

    def __init__(self, store: Store, term: int, position: int) -> None:
        self._store = store
        self._term = term
        self._position = position
        self._durable = position
        self.used_ns: dict[str, int] = {}
        """Processor time of both threads, by what it was for."""
        self._slowest: CommitTime | None = None
        self._waiting: list[_Submitted[Token]] = []
        self._waiting_bytes = 0
        self._durable_tokens: list[Token] = []
        self._to_snapshot: tuple[int, Sequence[bytes]] | None = None
        self._failure: BaseException | None = None
        self._told = False
        self._closing = False
        self._closed = False
        self._ringing = False
        self._changed = threading.Condition()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for work, name in ((self._commit, "commit"), (self._snapshot, "snapshot"))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def position(self) -> int:
        """The journal's position after all that was submitted, durable or not yet."""
        return self._position

    @property
    def waiting_bytes(self) -> int:
        """What no commit has taken yet: where it grows, refuse requests before `submit` does."""
        return self._waiting_bytes

    def take_slowest(self) -> CommitTime | None:
        """Return the longest commit of those that ended since this was last asked, if any."""
        with self._changed:
            slowest, self._slowest = self._slowest, None
            return slowest

    def fileno(self) -> int:
        """Return what polls as readable while `done` has something to say."""
        return self._wake

    def submit(self, records: Sequence[bytes], token: Token) -> None:
        """Have records committed, after all that was submitted before.

        Without records it is a check that the term still leads, begun after this call.

        Raises
        ------
        LimitError
            More than `limits.COMMIT_BYTES_MAX` would wait; nothing was taken.
        """
        size = sum(len(record) + 4 for record in records)
        with self._changed:
            if self._waiting_bytes + size > COMMIT_BYTES_MAX:
                raise LimitError(
                    f"{self._waiting_bytes + size:,} bytes would wait for the journal, and "
                    f"{COMMIT_BYTES_MAX:,} may: the disk is too slow for this world"
                )
            self._waiting.append(_Submitted(records, token))
            self._waiting_bytes += size
            self._position += len(records)
            self._changed.notify_all()

    def done(self) -> list[Token]:
        """Return the tokens whose records became durable since the last call, in order.

        Raises
        ------
        StoreError
            What ended the commits or a snapshot: once, after the tokens before it were
            returned. From then on nothing becomes durable; the process stops.
        """
        with self._changed:
            tokens, self._durable_tokens = self._durable_tokens, []
            fails = self._failure is not None and not self._told
            if tokens and fails:
                return tokens  # and stays readable: there is more to say
            if not self._closed:
                self._hush()
            if not fails:
                return tokens
            self._told = True
        assert self._failure is not None
        raise self._failure

    @property
    def takes_snapshot(self) -> bool:
        """Whether `snapshot` would take one now: none is being written."""
        return self._to_snapshot is None

    def snapshot(self, parts: Sequence[bytes]) -> bool:
        """Have the whole state kept, as it is after everything submitted so far.

        It takes effect when all that is durable. The records that it covers are dropped.

        Returns
        -------
        bool
            False where the snapshot before it is still being written: this one is not taken.
        """
        with self._changed:
            if self._to_snapshot is not None:
                return False
            self._to_snapshot = self._position, parts
            self._changed.notify_all()
            return True

    def close(self, patience_s: float = CLOSE_S) -> None:
        """Commit what was submitted, finish a snapshot, and end both threads.

        What became durable, or why it did not, `done` says afterwards too.

        Raises
        ------
        StoreFailed
            The disk did not take it in time: the threads still wait for it, so the store cannot be
            closed. Nobody has been told anything of what is not durable.
        """
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
        deadline = time.monotonic() + patience_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            raise StoreFailed(
                f"the disk has not answered for {patience_s:g} s while the journal was being"
                " closed: what was decided last may be lost, and nobody was told of it. Look"
                " after the disk, then start again"
            )
        self._closed = True
        os.close(self._wake)

    def _commit(self) -> None:
        """What the commit thread does."""
        while batch := self._batch():
            records = [record for each in batch for record in each.records]
            began_ns = now_ns()
            try:
                position = self._store.commit(self._term, records)
            except BaseException as error:  # whatever it is, the owner has to hear it
                self._fail(error)
                return
            with self._changed:
                self.used_ns["commit"] = time.thread_time_ns()
                took = CommitTime(now_ns() - began_ns, began_ns)
                self._slowest = took if self._slowest is None else max(self._slowest, took)
                self._durable = position
                self._durable_tokens += [each.token for each in batch]
                self._ring()
                self._changed.notify_all()

    def _batch(self) -> list[_Submitted[Token]]:
        """Everything that waits; nothing where this is the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing or self._failure)
            if self._failure is not None:
                return []
            batch, self._waiting = self._waiting, []
            self._waiting_bytes = 0
            return batch

    def _snapshot(self) -> None:
        """What the snapshot thread does."""
        while (due := self._due()) is not None:
            position, parts = due
            try:
                self._store.snapshot(self._term, position, parts)
                self._store.compact(self._term)
            except BaseException as error:  # whatever it is, the owner has to hear it
                self._fail(error)
                return
            with self._changed:
                self.used_ns["write snapshot"] = time.thread_time_ns()
                self._to_snapshot = None

    def _due(self) -> tuple[int, Sequence[bytes]] | None:
        """The snapshot to write, once the journal is as far; None where this is the end."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._failure
                    or (self._to_snapshot and self._to_snapshot[0] <= self._durable)
                    or (self._closing and not self._to_snapshot)
                )
            )
            return None if self._failure is not None else self._to_snapshot

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            if self._failure is None:
                self._failure = error
                self._ring()
            self._changed.notify_all()

    def _ring(self) -> None:
        """Be readable. Called with the lock held, as `_hush` is."""
        if not self._ringing:
            self._ringing = True
            os.eventfd_write(self._wake, 1)

    def _hush(self) -> None:
        """Be readable no longer."""
        if self._ringing:
            self._ringing = False
            os.eventfd_read(self._wake)
