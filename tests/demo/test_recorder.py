"""What a shard wrote down survives its process, and only what it finished counts."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidereal.demo import _rowset, rowset
from sidereal.demo import audit_file as af
from sidereal.demo.audit_file import AuditFile
from sidereal.demo.idhash import hash_ids
from sidereal.demo.recorder import Recorder
from sidereal.errors import ConfigError

ENDLESS = 2**32 - 1


def u64(*values):
    return np.array(values, np.uint64)


def u32(*values):
    return np.array(values, np.uint32)


def recorder(directory, **bounds):
    return Recorder(directory, "north", 7, **{"ticks_max": 50, **bounds})


def tick(rec, tick, ids, since=None, pending=None, birth=0, end=ENDLESS, late=False):
    n = len(ids)
    rec.tick(
        tick,
        ids,
        np.full(n, tick - 1, np.uint32) if since is None else since,
        np.full(n, birth, np.uint32),
        np.full(n, end, np.uint32),
        pending=pending,
        started_ns=tick * 100,
        ended_ns=tick * 100 + 30,
        next_due_ns=tick * 100 + (20 if late else 50),
    )


WRITES_UNTIL_KILLED = """
import sys
from pathlib import Path
import numpy as np
from sidereal.demo.recorder import Recorder

rec = Recorder(Path(sys.argv[1]), "doomed", 99, ticks_max=100_000)
ids = np.arange(1, 1001, dtype=np.uint64)
none, ever = np.zeros(1000, np.uint32), np.full(1000, 2**32 - 1, np.uint32)
tick = 0
while True:
    tick += 1
    rec.tick(tick, ids, np.full(1000, tick - 1, np.uint32), none, ever,
             started_ns=0, ended_ns=1, next_due_ns=2)
    if tick == 50:
        print("going", flush=True)
"""


@pytest.mark.processes
def test_the_ticks_of_a_killed_process_are_all_there(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", WRITES_UNTIL_KILLED, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"going\n"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (path,) = tmp_path.glob("*.audit")
    file = AuditFile(path, "r+")
    assert not file["done"]
    assert file.last_tick >= 50
    count, hashed = file.columns(1, file.last_tick)
    assert (count == 1000).all()
    assert (hashed == hash_ids(np.arange(1, 1001, dtype=np.uint64))).all()


def test_counts_gaps_and_lives(tmp_path):
    rec = recorder(tmp_path)
    rec.entered(u64(1, 2, 3), u32(4, 5, 6), af.HANDOFF)
    tick(rec, 10, u64(1, 2, 3, 4), since=u32(9, 6, 1, 7), birth=5, late=True)
    tick(rec, 11, u64(1, 2), end=10)
    file = rec.file
    count, hashed = file.columns(9, 4)
    assert count.tolist() == [0, 4, 0, 0]
    assert int(hashed[1]) == hash_ids(u64(1, 2, 3, 4))
    spans = file.committed_spans()
    assert spans[["id", "first", "last", "cause"]].tolist() == [
        (2, 7, 9, af.HANDOFF),
        (3, 5, 9, af.HANDOFF),
        (4, 8, 9, af.OTHER),
    ]
    moves = file.committed_moves()
    assert moves[["id", "version", "tick", "since", "time_ns"]].tolist() == [
        (1, 4, 10, 9, 1030),
        (2, 5, 10, 6, 1030),
        (3, 6, 10, 1, 1030),
    ]
    assert (int(file["ticks_run"]), int(file["tick_overruns"])) == (2, 1)
    assert file.step_ns[:2].tolist() == [30, 30]


def test_who_arrives_after_the_last_tick_makes_it_neither_another_tick_nor_late(tmp_path):
    rec = recorder(tmp_path)
    tick(rec, 3, u64(1, 2))
    for late in u64(3, 4):
        tick(rec, 3, u64(late), late=True)
    file = rec.file
    assert (int(file["ticks_run"]), int(file["tick_overruns"])) == (1, 0)
    assert int(file.columns(3, 1)[0][0]) == 4


def test_an_end_in_transit_is_a_gap_up_to_the_end(tmp_path):
    rec = recorder(tmp_path)
    tick(rec, 20, u64(1, 2), since=u32(10, 15), end=13)
    assert rec.file.committed_spans()[["id", "first", "last"]].tolist() == [(1, 11, 13)]
    assert rec.file.columns(20, 1)[0].tolist() == [0]


def test_a_shadow_counts_only_once_it_is_kept(tmp_path):
    rec = recorder(tmp_path)
    tick(rec, 1, u64(1, 2, 3))
    rec.crossed(u64(1, 2), u32(1, 1), 150)
    for t in (2, 3):
        tick(rec, t, u64(3, 2, 1), pending=np.array([False, True, True]))
    rec.kept(u64(2, 9), u32(2, 1), u32(3, 3), 350)
    rec.released(u64(1))
    tick(rec, 4, u64(2, 3))
    file = rec.file
    assert file.columns(1, 4)[0].tolist() == [3, 1, 1, 2]
    assert file.committed_spans()[["id", "first", "last", "cause"]].tolist() == [
        (2, 2, 3, af.SHADOW)
    ]
    rec.kept(u64(1, 2), u32(2, 2), u32(4, 4), 450)
    assert len(file.committed_spans()) == 1


def test_a_second_crossing_starts_another_shadow(tmp_path):
    rec = recorder(tmp_path)
    for first in (1, 4):
        tick(rec, first, u64(1))
        rec.crossed(u64(1), u32(first), first)
        tick(rec, first + 1, u64(1), pending=np.array([True]))
        rec.kept(u64(1), u32(first + 1), u32(first + 1), first)
    assert rec.file.committed_spans()[["first", "last"]].tolist() == [(2, 2), (5, 5)]


def test_a_shadow_that_is_lost_was_last_simulated_before_it_crossed(tmp_path):
    rec = recorder(tmp_path)
    rec.entered(u64(1, 2), u32(1, 1), af.SPAWN)
    tick(rec, 1, u64(1, 2))
    rec.crossed(u64(1, 2), u32(1, 1), 150)
    tick(rec, 2, u64(1), pending=np.array([True]))
    rec.left(u64(1, 2), u32(1, 1), u32(2, 1), 250, lost=True)
    lost = rec.file.committed_moves()
    lost = lost[lost["kind"] == af.LOST]
    assert lost[["id", "tick"]].tolist() == [(1, 1), (2, 1)]


def test_rows_of_a_tick_that_never_ended_do_not_count(tmp_path):
    rec = recorder(tmp_path)
    tick(rec, 5, u64(1))
    rec.entered(u64(2), u32(1), af.HANDOFF)
    tick(rec, 6, u64(1, 2), since=u32(5, 1))
    rec.file["last_tick"] = 5
    assert len(rec.file.committed_spans()) == 0
    assert len(rec.file.committed_moves()) == 0
    assert rec.file.columns(5, 2)[0].tolist() == [1, 0]


def test_catching_up_in_the_last_tick_adds_to_it(tmp_path):
    rec = recorder(tmp_path)
    tick(rec, 8, u64(1))
    tick(rec, 8, u64(2), since=u32(5))
    tick(rec, 8, u64())
    assert rec.file.columns(8, 1)[0].tolist() == [2]
    assert int(rec.file["ticks_run"]) == 1
    assert len(rec.file.committed_spans()) == 1


def test_who_left_before_being_simulated_has_no_stay(tmp_path):
    rec = recorder(tmp_path)
    rec.entered(u64(1, 2), u32(1, 1), af.MIGRATION)
    tick(rec, 5, u64())
    rec.left(u64(1), u32(1), u32(3), 500)
    rec.kept(u64(1), u32(1), u32(3), 600)
    rec.left(u64(2), u32(1), u32(3), 650, lost=True)
    tick(rec, 6, u64(1, 2), since=u32(3, 5))
    moves = rec.file.committed_moves()
    assert moves[["id", "kind", "tick"]].tolist() == [(1, af.ENTERED, 6)]


def came_ahead(rec):
    """An entity of a later tick came, and asked to go on before it was simulated here."""
    rec.entered(u64(1), u32(4), af.HANDOFF)
    tick(rec, 5, u64())
    rec.crossed(u64(1), u32(4), 550)


def test_who_asked_to_go_on_before_being_simulated_has_no_stay(tmp_path):
    rec = recorder(tmp_path)
    came_ahead(rec)
    rec.released(u64(1))
    tick(rec, 6, u64())
    assert len(rec.file.committed_moves()) == 0


def test_who_was_first_simulated_as_a_shadow_and_is_kept_has_a_stay_from_there_on(tmp_path):
    rec = recorder(tmp_path)
    came_ahead(rec)
    tick(rec, 8, u64(1), since=u32(7), pending=np.array([True]))
    tick(rec, 9, u64(1), pending=np.array([True]))
    rec.kept(u64(1), u32(5), u32(9), 950)
    tick(rec, 10, u64(1))
    moves = rec.file.committed_moves()
    assert moves[["kind", "version", "tick", "since", "cause"]].tolist() == [
        (af.ENTERED, 4, 8, 7, af.HANDOFF),
        (af.KEPT, 5, 10, 9, 0),
    ]
    assert rec.file.committed_spans()[["first", "last", "cause"]].tolist() == [(8, 9, af.SHADOW)]


@pytest.mark.parametrize("bound", ["ticks_max", "spans_max", "moves_max"])
def test_where_there_is_no_room_that_is_said(tmp_path, bound):
    rec = recorder(tmp_path, **{bound: 2})
    for t in range(1, 6):
        rec.entered(u64(t), u32(1), af.SPAWN)
        tick(rec, 2 * t, u64(t), since=u32(2 * t - 2))
    assert int(rec.file["unwritten"]) > 0


def test_other_files_are_refused(tmp_path):
    for name, data in (("a", b""), ("b", b"x" * 5000)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ConfigError, match="audit file"):
            AuditFile(tmp_path / name, "r+")
    whole = recorder(tmp_path).file.path
    os.truncate(whole, 4096)
    with pytest.raises(ConfigError, match="cut short"):
        AuditFile(whole, "r+")
    with pytest.raises(ConfigError, match="cannot be mapped"):
        AuditFile(tmp_path / "none", "r+")


ID = st.integers(0, 2**64 - 1) | st.integers(0, 5)


@pytest.mark.parametrize("row_set", [_rowset.RowSet, rowset.RowSet], ids=["compiled", "twin"])
@given(st.lists(st.tuples(st.booleans(), st.lists(st.tuples(ID, st.integers(0, 9)), max_size=6))))
def test_a_row_set_is_a_dictionary(row_set, steps):
    rows, twin = row_set(np.dtype(np.int64)), {}
    for put, pairs in steps:
        ids = np.array([id_ for id_, _ in pairs], np.uint64)
        if put:
            rows.put(ids, np.array([value for _, value in pairs], np.int64))
            twin.update(pairs)
        else:
            rows.drop(ids)
            for id_, _ in pairs:
                twin.pop(id_, None)
        assert dict(zip(rows.ids.tolist(), rows.rows.tolist(), strict=True)) == twin
        asked = [*ids.tolist(), 3, 2**63]
        index, place = rows.match(np.array(asked, np.uint64))
        assert index.tolist() == [k for k, id_ in enumerate(asked) if id_ in twin]
        assert rows.ids[place].tolist() == [asked[k] for k in index]


@pytest.mark.parametrize("row_set", [_rowset.RowSet, rowset.RowSet], ids=["compiled", "twin"])
def test_a_row_set_takes_a_row_for_each_id(row_set):
    rows = row_set(np.dtype(np.int64))
    with pytest.raises(ValueError, match="differ in length"):
        rows.put(np.arange(3, dtype=np.uint64), np.arange(2))
    assert len(rows.ids) == 0


@pytest.mark.parametrize("row_set", [_rowset.RowSet, rowset.RowSet], ids=["compiled", "twin"])
def test_a_row_set_of_thousands_that_come_and_go_is_a_dictionary(row_set):
    draw = np.random.default_rng(5)
    rows, twin = row_set(np.dtype([("a", "<u4"), ("b", "<u2")])), {}
    for _ in range(60):
        ids = draw.integers(0, 3000, draw.integers(0, 900)).astype(np.uint64)
        if draw.random() < 0.5:
            new = np.zeros(len(ids), rows.rows.dtype)
            new["a"], new["b"] = draw.integers(0, 99, len(ids)), 7
            rows.put(ids, new)
            twin.update(zip(ids.tolist(), new.tolist(), strict=True))
        else:
            rows.drop(ids)
            twin = {id_: row for id_, row in twin.items() if id_ not in set(ids.tolist())}
        assert dict(zip(rows.ids.tolist(), rows.rows.tolist(), strict=True)) == twin
        assert np.flatnonzero(rows.maybe).tolist() == sorted(twin)
        asked = draw.integers(0, 4000, 700).astype(np.uint64)
        index, place = rows.match(asked)
        assert index.tolist() == [k for k, id_ in enumerate(asked.tolist()) if id_ in twin]
        assert rows.ids[place].tolist() == asked[index].tolist()
