"""`Gate`: what the manager wants to say leaves when all that it depends on is durable.

Decisions go to the journal in the order in which they were made; messages wait
behind the commit that holds them, a heartbeat's answer behind a check of the
term that began after the heartbeat came. Without a store all leaves at once.
"""

from sidereal.limits import COMMIT_BYTES_MAX
from sidereal.replication.books import Output, SendDatagrams
from sidereal.replication.manager import Step
from sidereal.runtime.committer import Committer, CommitTime
from sidereal.store import Store


class Gate:
    """Commits, then releases.

    Parameters
    ----------
    store
        Where the journal is; this takes its leadership. None: nothing outlives this process.

    Raises
    ------
    StoreError
        What is kept is damaged, or cannot be written.
    """

    def __init__(self, store: Store | None) -> None:
        self.term = 1
        self.history: list[bytes] = []
        """What there was: the newest image, if any, and the records after it."""
        self._store = store
        self._committer: Committer[list[Output]] | None = None
        self._held = 0
        self._free: list[Output] = []
        if store is not None:
            self.term = store.acquire_term()
            loaded = store.load()
            self.history = [*(loaded.snapshot or ()), *loaded.records]
            self._committer = Committer(store, self.term, loaded.end)

    def fileno(self) -> int | None:
        """Return what polls as readable when something can be released."""
        return None if self._committer is None else self._committer.fileno()

    @property
    def used_ns(self) -> dict[str, int]:
        """Processor time of the threads that keep the journal, by what it was for."""
        return {} if self._committer is None else dict(self._committer.used_ns)

    def take_slowest(self) -> CommitTime | None:
        """Return the longest commit of those that ended since this was last asked, if any."""
        return None if self._committer is None else self._committer.take_slowest()

    @property
    def full(self) -> bool:
        """Whether the disk is so far behind that nothing more should be decided."""
        behind = 0 if self._committer is None else self._committer.waiting_bytes
        return behind > COMMIT_BYTES_MAX // 2

    def put(self, step: Step) -> None:
        """Take what was decided and what is to be said of it."""
        if not step.records and not step.outputs:
            return
        committer = self._committer
        # Pictures of the world depend on no decision, unless one goes before them.
        free = not step.records and not self._held
        if committer is None or (free and all(isinstance(o, SendDatagrams) for o in step.outputs)):
            self._free += step.outputs
            return
        committer.submit(step.records, step.outputs)
        self._held += 1

    def released(self) -> list[Output]:
        """Return what may be said now, in order.

        Raises
        ------
        StoreError
            Another server leads, or the journal failed: this process must stop.
        """
        out, self._free = self._free, []
        if self._committer is not None:
            for outputs in self._committer.done():
                self._held -= 1
                out += outputs
        return out

    @property
    def takes_snapshot(self) -> bool:
        """Whether there is a store, and no snapshot is being written."""
        return self._committer is not None and self._committer.takes_snapshot

    def snapshot(self, image: bytes) -> None:
        """Keep the whole record as it is after all that was put, where `takes_snapshot`."""
        assert self._committer is not None
        self._committer.snapshot([image])

    def close(self) -> None:
        """Commit what was put, and let go of the store; `StoreFailed` where the disk hangs."""
        if self._committer is not None:
            self._committer.close()
        if self._store is not None:
            self._store.close()
