"""The journal beside bare append and fdatasync, on the same disk, in turns, in one run.

5,000 handoffs a commit, as they come when a whole second's worth waited: 5,000 records of
150 bytes, 750 KB. Figures are reported; what fails is a ratio. `tmp_path` decides which disk:
give ``--basetemp`` a directory on the one that is meant.

    pytest bench/bench_store.py -s
"""

import os
import select
import time

import pytest

from sidereal.runtime.committer import Committer
from sidereal.store import SqliteStore

RECORDS = 5_000
RECORD_BYTES = 150
ROUNDS = 150
STATE_BYTES = 15_000_000
"""A snapshot of 100,000 entities."""


def batches(count=8):
    blobs = [os.urandom(RECORDS * RECORD_BYTES) for _ in range(count)]
    return [
        [blob[at : at + RECORD_BYTES] for at in range(0, len(blob), RECORD_BYTES)] for blob in blobs
    ]


class Times:
    """Durations in ms, and what they come to."""

    def __init__(self):
        self.ms = []

    def time(self, function, *args):
        start = time.perf_counter()
        answer = function(*args)
        self.ms.append((time.perf_counter() - start) * 1e3)
        return answer

    def at(self, share):
        return sorted(self.ms)[min(len(self.ms) - 1, int(len(self.ms) * share))]

    def line(self, name):
        return (
            f"{name:42} p50 {self.at(0.5):6.1f}  p99 {self.at(0.99):6.1f}  "
            f"max {max(self.ms):6.1f} ms  ({len(self.ms)} commits)"
        )


class Bare:
    """Append and fdatasync: the least that a durable commit can be."""

    def __init__(self, path):
        self.file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def commit(self, records):
        data = memoryview(b"".join(records))
        while data:
            data = data[os.write(self.file, data) :]
        os.fdatasync(self.file)

    def close(self):
        os.close(self.file)


@pytest.fixture
def store(tmp_path):
    opened = SqliteStore(tmp_path / "data")
    yield opened
    opened.close()


def report(capsys, *lines):
    with capsys.disabled():
        print("", *lines, sep="\n")


def test_a_commit_of_5000_handoffs_costs_little_more_than_append_and_fdatasync(
    benchmark, store, tmp_path, capsys
):
    bare = Bare(tmp_path / "bare")
    term = store.acquire_term()
    data = batches()
    own, peer = Times(), Times()
    position = 0
    for number in range(ROUNDS):
        records = data[number % len(data)]
        peer.time(bare.commit, records)
        position = own.time(store.commit, term, records)
        if number % 40 == 39:
            store.snapshot(term, position, [b"state"])
            store.compact(term)
    bare.close()
    assert position == ROUNDS * RECORDS
    assert store.load().end == position
    assert store.load().records[-RECORDS:] == tuple(data[(ROUNDS - 1) % len(data)])
    report(
        capsys, peer.line("append and fdatasync, 750 KB"), own.line("SqliteStore.commit, 750 KB")
    )
    benchmark.extra_info["p50_ratio_to_bare"] = own.at(0.5) / peer.at(0.5)
    benchmark.extra_info["p99_ratio_to_bare"] = own.at(0.99) / peer.at(0.99)
    benchmark.pedantic(store.commit, (term, data[0]), rounds=20)
    assert own.at(0.5) < 4 * peer.at(0.5)


def test_what_the_code_of_a_commit_costs_beside_the_disk(benchmark, store, capsys):
    term = store.acquire_term()
    records = batches(1)[0]
    store.commit(term, records)
    start, cpu = time.perf_counter(), time.thread_time()
    for _ in range(30):
        store.commit(term, records)
    cpu = time.thread_time() - cpu
    wall = time.perf_counter() - start
    report(
        capsys,
        f"processor time of a commit of 750 KB: {cpu / 30 * 1e3:.2f} ms "
        f"of {wall / 30 * 1e3:.2f} ms",
    )
    benchmark.pedantic(store.commit, (term, []), rounds=200)


def test_a_snapshot_of_100000_entities_holds_up_commits_little(benchmark, store, capsys):
    """500 handoffs every 10 ms, which is 50,000 a second, with a snapshot every 5 s."""
    term = store.acquire_term()
    committer = Committer(store, term, 0)
    records = batches(1)[0][: RECORDS // 10]
    state = os.urandom(STATE_BYTES)
    submit = Times()

    def run(seconds, snapshot_s):
        """Submit at a fixed pace and see how long each submission takes to be durable."""
        times, taken = Times(), 0
        start = time.perf_counter()
        next_snapshot = start + snapshot_s
        due, begun, waiting = start, {}, 0
        while time.perf_counter() < start + seconds or waiting:
            now = time.perf_counter()
            if now >= due and now < start + seconds:
                begun[due] = now
                submit.time(committer.submit, records, due)
                due, waiting = due + 0.01, waiting + 1
            if now >= next_snapshot and committer.snapshot([state]):
                taken, next_snapshot = taken + 1, next_snapshot + snapshot_s
            select.select([committer.fileno()], [], [], max(0, due - time.perf_counter()))
            for token in committer.done():
                times.ms.append((time.perf_counter() - begun.pop(token)) * 1e3)
                waiting -= 1
        return times, taken

    alone, _ = run(5, 1e9)
    beside, taken = run(21, 5)
    committer.close()
    assert committer.done() == []
    assert store.load().end == committer.position == RECORDS // 10 * (len(alone.ms + beside.ms))
    assert len(store.load().snapshot[0]) == STATE_BYTES
    report(
        capsys,
        alone.line("submitted to durable, 75 KB every 10 ms"),
        beside.line(f"with {taken} snapshots of 15 MB"),
        submit.line("the caller's part of it"),
    )
    benchmark.extra_info["p99_ms"] = beside.at(0.99)
    benchmark.extra_info["max_ms"] = max(beside.ms)
    benchmark.pedantic(store.commit, (term, records), rounds=20)
