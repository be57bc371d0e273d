"""The commit thread: one transaction after the other, never a token before its records last."""

import select
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidereal.errors import Deposed, LimitError, StoreFailed
from sidereal.runtime import committer as module
from sidereal.runtime.committer import Committer
from sidereal.store import Crashed, Fault, MemoryDisk, MemoryStore, Operation

WAIT_S = 20.0


class GatedStore(MemoryStore):
    """A store whose operations end when the test lets them."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: dict[str, threading.Semaphore] = {}
        self.let: dict[str, threading.Semaphore] = {}
        for operation in ("commit", "snapshot"):
            self.begun[operation] = threading.Semaphore(0)
            self.let[operation] = threading.Semaphore(0)
        self.transactions: list[list[bytes]] = []

    def _gate(self, operation: str) -> None:
        self.begun[operation].release()
        assert self.let[operation].acquire(timeout=WAIT_S)

    def commit(self, term: int, records: Sequence[bytes]) -> int:
        self.transactions.append(list(records))
        self._gate("commit")
        return super().commit(term, records)

    def snapshot(self, term: int, position: int, parts: Sequence[bytes]) -> None:
        self._gate("snapshot")
        super().snapshot(term, position, parts)

    def has_begun(self, operation: str) -> None:
        assert self.begun[operation].acquire(timeout=WAIT_S)

    def let_all(self) -> None:
        for gate in self.let.values():
            gate.release(1000)


@pytest.fixture
def gated() -> Iterator[GatedStore]:
    store = GatedStore()
    yield store
    store.let_all()


@pytest.fixture
def start() -> Iterator[Callable[[MemoryStore], Committer[int]]]:
    """Starts committers of integer tokens, and ends them after the test."""
    started: list[Committer[int]] = []

    def make(store: MemoryStore) -> Committer[int]:
        loaded = store.load()
        started.append(Committer(store, store.acquire_term(), loaded.end))
        return started[-1]

    yield make
    for each in started:
        if isinstance(each._store, GatedStore):
            each._store.let_all()
        each.close()


def readable(committer: Committer[int], timeout_s: float = 0) -> bool:
    return bool(select.select([committer.fileno()], [], [], timeout_s)[0])


def tokens(committer: Committer[int], count: int) -> list[int]:
    """What is done, once as many tokens are as asked for."""
    found: list[int] = []
    while len(found) < count:
        assert readable(committer, WAIT_S)
        found += committer.done()
    return found


def test_no_token_comes_before_its_records_last(
    gated: GatedStore, start: Callable[[MemoryStore], Committer[int]]
) -> None:
    committer = start(gated)
    committer.submit([b"a"], 1)
    gated.has_begun("commit")
    assert not readable(committer)
    assert committer.done() == []
    gated.let["commit"].release()
    assert tokens(committer, 1) == [1]
    assert gated.disk.commits[0].position == 1
    assert not readable(committer)


def test_a_commit_takes_everything_that_was_submitted_during_the_one_before(
    gated: GatedStore, start: Callable[[MemoryStore], Committer[int]]
) -> None:
    committer = start(gated)
    committer.submit([b"a"], 1)
    gated.has_begun("commit")
    committer.submit([b"b", b"c"], 2)
    committer.submit([], 3)
    committer.submit([b"d"], 4)
    gated.let["commit"].release()
    assert tokens(committer, 1) == [1]
    gated.has_begun("commit")
    assert committer.done() == []
    gated.let["commit"].release()
    assert tokens(committer, 3) == [2, 3, 4]
    assert gated.transactions == [[b"a"], [b"b", b"c", b"d"]]
    assert committer.position == 4


def test_a_check_without_records_asks_the_store_whether_the_term_leads(
    start: Callable[[MemoryStore], Committer[int]],
) -> None:
    disk = MemoryDisk()
    committer = start(MemoryStore(disk))
    committer.submit([], 1)
    assert tokens(committer, 1) == [1]
    MemoryStore(disk).acquire_term()
    committer.submit([], 2)
    assert readable(committer, WAIT_S)
    with pytest.raises(Deposed):
        committer.done()


def test_a_failure_comes_once_and_after_the_tokens_before_it(
    gated: GatedStore, start: Callable[[MemoryStore], Committer[int]]
) -> None:
    committer = start(gated)
    committer.submit([b"a"], 1)
    gated.has_begun("commit")
    committer.submit([b"b"], 2)
    gated.let["commit"].release()
    gated.has_begun("commit")
    gated.disk.strike = lambda _: Fault.DISK_FULL
    gated.let["commit"].release()
    committer.close()
    committer.submit([b"c"], 3)
    assert committer.done() == [1]
    with pytest.raises(StoreFailed, match="disk_full"):
        committer.done()
    assert committer.done() == []


def test_a_failure_makes_it_readable_until_it_was_told(
    start: Callable[[MemoryStore], Committer[int]],
) -> None:
    disk = MemoryDisk()
    committer = start(MemoryStore(disk))
    disk.strike = lambda _: Fault.CRASH_AFTER
    committer.submit([b"a"], 1)
    assert readable(committer, WAIT_S)
    with pytest.raises(Crashed):
        committer.done()
    assert not readable(committer)
    assert MemoryStore(disk).load().records == (b"a",)


def test_a_snapshot_holds_up_no_commit(
    gated: GatedStore, start: Callable[[MemoryStore], Committer[int]]
) -> None:
    committer = start(gated)
    gated.let["commit"].release(10)
    committer.submit([b"a"], 1)
    assert committer.snapshot([b"after a"])
    gated.has_begun("snapshot")
    assert not committer.snapshot([b"too soon"])
    committer.submit([b"b"], 2)
    assert tokens(committer, 2) == [1, 2]
    gated.let["snapshot"].release()
    committer.close()
    loaded = gated.load()
    assert (loaded.position, loaded.snapshot, loaded.records) == (1, (b"after a",), (b"b",))
    assert len(gated.disk.commits) == 1, "what the snapshot covers was not dropped"


def test_a_snapshot_waits_for_the_records_that_it_covers(
    gated: GatedStore, start: Callable[[MemoryStore], Committer[int]]
) -> None:
    committer = start(gated)
    committer.submit([b"a"], 1)
    gated.has_begun("commit")
    assert committer.snapshot([b"after a"])
    assert not gated.begun["snapshot"].acquire(timeout=0.05)
    gated.let["commit"].release()
    gated.has_begun("snapshot")
    assert gated.disk.end.position == 1


def test_a_snapshot_that_fails_is_told_too(
    start: Callable[[MemoryStore], Committer[int]],
) -> None:
    disk = MemoryDisk()

    def strike(operation: Operation) -> Fault | None:
        return Fault.DISK_FULL if operation == "snapshot" else None

    committer = start(MemoryStore(disk))
    disk.strike = strike
    committer.snapshot([b"x"])
    assert readable(committer, WAIT_S)
    with pytest.raises(StoreFailed):
        committer.done()


def test_closing_commits_what_was_submitted(
    start: Callable[[MemoryStore], Committer[int]],
) -> None:
    store = MemoryStore()
    committer = start(store)
    for token in range(100):
        committer.submit([bytes([token])], token)
    committer.snapshot([b"all"])
    committer.close()
    assert committer.done() == list(range(100))
    assert store.load().snapshot == (b"all",)
    assert store.load().end == 100


def test_what_waits_is_bounded(
    gated: GatedStore,
    start: Callable[[MemoryStore], Committer[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "COMMIT_BYTES_MAX", 100)
    committer = start(gated)
    committer.submit([b"a"], 1)
    gated.has_begun("commit")
    committer.submit([bytes(90)], 2)
    assert committer.waiting_bytes == 94
    with pytest.raises(LimitError, match="too slow"):
        committer.submit([b"abc"], 3)
    assert committer.position == 2
    gated.let_all()
    assert tokens(committer, 2) == [1, 2]


@given(st.lists(st.lists(st.binary(max_size=20), max_size=4), max_size=30), st.data())
def test_whatever_is_submitted_lasts_in_order(
    batches: list[list[bytes]], data: st.DataObject
) -> None:
    store = MemoryStore()
    committer: Committer[int] = Committer(store, store.acquire_term(), 0)
    found: list[int] = []
    for token, records in enumerate(batches):
        committer.submit(records, token)
        if data.draw(st.booleans()):
            found += committer.done()
    committer.close()
    assert found + committer.done() == list(range(len(batches)))
    assert list(store.load().records) == [record for batch in batches for record in batch]


def test_a_disk_that_hangs_does_not_keep_the_process_from_ending(
    gated: GatedStore, start: Callable[[MemoryStore], Committer[int]]
) -> None:
    committer = start(gated)
    committer.submit([b"a"], 1)
    gated.has_begun("commit")
    with pytest.raises(StoreFailed, match="Look after the disk"):
        committer.close(patience_s=0.05)
    assert committer.done() == []
    assert gated.load().end == 0


def test_the_slowest_commit_since_it_was_last_asked_for_is_told_with_its_beginning(
    gated: GatedStore,
    start: Callable[[MemoryStore], Committer[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0]
    monkeypatch.setattr(module, "now_ns", lambda: clock[0])
    committer = start(gated)

    def commit(began_ns: int, ended_ns: int) -> None:
        clock[0] = began_ns
        committer.submit([b"a"], 0)
        gated.has_begun("commit")
        clock[0] = ended_ns
        gated.let["commit"].release()
        tokens(committer, 1)

    assert committer.take_slowest() is None
    for began_ns, ended_ns in ((0, 30), (100, 250), (300, 320)):
        commit(began_ns, ended_ns)
    assert committer.take_slowest() == (150, 100)
    assert committer.take_slowest() is None
    commit(400, 401)
    assert committer.take_slowest() == (1, 400)
