"""What each fault of the simulated disk leads to: at the process, and after its restart."""

import pytest

from sidereal.errors import Deposed, StoreDamaged, StoreFailed
from sidereal.store import Crashed, Fault, MemoryDisk, MemoryStore, Operation
from sidereal.store.commits import Commit

KEPT = {Fault.CRASH_AFTER: True, Fault.UNKNOWN_KEPT: True}
CRASHES = {Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.TORN}


def led(disk: MemoryDisk) -> tuple[MemoryStore, int]:
    store = MemoryStore(disk)
    return store, store.acquire_term()


def once(fault: Fault, at: Operation) -> MemoryDisk:
    """A disk on which a fault is due at one kind of operation, once it is armed."""
    disk = MemoryDisk()
    store, term = led(disk)
    store.commit(term, [b"before"])
    disk.strike = lambda operation: fault if operation == at else None
    return disk


@pytest.mark.parametrize("fault", Fault)
def test_a_commit_is_kept_or_gone_and_its_process_is_of_no_more_use(fault: Fault) -> None:
    disk = once(fault, "commit")
    store, term = led(disk)
    with pytest.raises(Crashed if fault in CRASHES else StoreFailed, match=fault.name.lower()):
        store.commit(term, [b"x", b"y"])
    for attempt in (lambda: store.commit(term, []), store.load, store.acquire_term):
        with pytest.raises(StoreFailed, match="start again"):
            attempt()
    found = MemoryStore(disk).load().records
    assert found == ((b"before", b"x", b"y") if KEPT.get(fault) else (b"before",))


@pytest.mark.parametrize("fault", Fault)
def test_a_snapshot_is_kept_whole_or_not_at_all(fault: Fault) -> None:
    disk = once(fault, "snapshot")
    store, term = led(disk)
    with pytest.raises(Crashed if fault in CRASHES else StoreFailed):
        store.snapshot(term, 1, [b"state"])
    assert MemoryStore(disk).load().snapshot == ((b"state",) if KEPT.get(fault) else None)


@pytest.mark.parametrize("fault", Fault)
def test_a_term_that_nobody_heard_of_is_never_given_again(fault: Fault) -> None:
    disk = once(fault, "term")
    store = MemoryStore(disk)
    with pytest.raises(Crashed if fault in CRASHES else StoreFailed):
        store.acquire_term()
    disk.strike = lambda _: None
    assert led(disk)[1] == (3 if KEPT.get(fault) else 2)


def test_a_torn_tail_is_dropped_by_the_next_to_open_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk = once(Fault.TORN, "commit")
    store, term = led(disk)
    with pytest.raises(Crashed):
        store.commit(term, [b"torn"])
    assert len(disk.commits) == 2
    disk.strike = lambda _: None
    store, term = led(disk)
    assert "never finished" in caplog.text
    assert store.commit(term, [b"next"]) == 2
    assert store.load().records == (b"before", b"next")


def test_damage_in_the_middle_is_refused() -> None:
    disk = MemoryDisk()
    store, term = led(disk)
    store.commit(term, [b"a"])
    store.commit(term, [b"b"])
    first = disk.commits[0]
    disk.commits[0] = Commit(first.position, first.term, 1, first.checksum, first.body[:-1] + b"?")
    with pytest.raises(StoreDamaged, match="checksum"):
        MemoryStore(disk).load()


def test_a_late_write_of_a_deposed_leader_has_no_effect() -> None:
    disk = MemoryDisk()
    old, term = led(disk)
    old.commit(term, [b"a"])
    led(disk)
    for late in (
        lambda: old.commit(term, [b"late"]),
        lambda: old.snapshot(term, 1, [b"late"]),
        lambda: old.compact(term),
    ):
        with pytest.raises(Deposed):
            late()
    loaded = MemoryStore(disk).load()
    assert (loaded.records, loaded.snapshot) == ((b"a",), None)


def test_a_fault_strikes_whom_it_is_due_and_each_operation_is_asked_about() -> None:
    asked: list[Operation] = []

    def strike(operation: Operation) -> None:
        asked.append(operation)

    store = MemoryStore(MemoryDisk(strike=strike))
    term = store.acquire_term()
    store.commit(term, [b"a"])
    store.commit(term, [])
    store.snapshot(term, 1, [])
    store.compact(term)
    assert asked == ["term", "commit", "check", "snapshot", "compact"]
