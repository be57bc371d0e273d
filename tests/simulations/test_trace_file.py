"""A trace reads the same in every format, and says in one line what is wrong with it."""

import builtins
import gzip

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from sidereal.errors import TraceError
from sidereal.kernel import sectors
from sidereal.simulations.replay import Replay
from sidereal.simulations.trace_file import load_trace

ROWS = [("7", 0.5, 1.0, 2.0), ("10", 0.0, -1.5, 0.25), ("7", 0.0, 0.0, 0.0), ("7", 9.0, 3.0, 4.0)]


def write(path, rows, header="id,t,x,y"):
    text = header + "\n" + "".join(",".join(str(c) for c in row) + "\n" for row in rows)
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def columns(rows, numeric_ids=True):
    ids = [int(r[0]) if numeric_ids else r[0] for r in rows]
    values = {"id": np.array(ids)}
    for k, name in enumerate("txy", 1):
        values[name] = np.array([r[k] for r in rows], np.float64)
    return values


def assert_same(a, b):
    assert a.names == b.names
    for name in ("t", "x", "y", "offsets"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def error_of(path, sector_size=1000.0):
    with pytest.raises(TraceError) as caught:
        load_trace(path, sector_size)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


def test_every_format_and_row_order_gives_the_same_trace(tmp_path):
    first = load_trace(write(tmp_path / "a.csv", ROWS))
    assert first.names == ("7", "10")
    np.testing.assert_array_equal(first.t, [0.0, 0.5, 9.0, 0.0])
    np.testing.assert_array_equal(first.x, [0.0, 1.0, 3.0, -1.5])
    np.testing.assert_array_equal(first.offsets, [0, 3, 4])
    np.testing.assert_array_equal(first.duration, [9.0, 0.0])

    assert_same(first, load_trace(write(tmp_path / "b.csv", ROWS[::-1])))
    assert_same(first, load_trace(write(tmp_path / "c.csv.gz", ROWS)))
    np.savez(tmp_path / "d.npz", **columns(ROWS))
    assert_same(first, load_trace(tmp_path / "d.npz"))
    np.savez(tmp_path / "e.npz", **columns(ROWS, numeric_ids=False))
    assert_same(first, load_trace(tmp_path / "e.npz"))
    for name, numeric in (("f.parquet", True), ("g.parquet", False)):
        pyarrow.parquet.write_table(pyarrow.table(columns(ROWS, numeric)), tmp_path / name)
        assert_same(first, load_trace(tmp_path / name))


def test_columns_are_found_by_name_and_others_ignored(tmp_path):
    rows = [(y, "note", x, name, t) for name, t, x, y in ROWS]
    shuffled = load_trace(write(tmp_path / "a.csv", rows, "y,remark,x,id,t"))
    assert_same(shuffled, load_trace(write(tmp_path / "b.csv", ROWS)))


def test_text_ids_are_ids(tmp_path):
    rows = [("ball", 0.0, 0, 0), ("2", 0.0, 0, 0), ("été", 0.0, 0, 0), ("10", 0.0, 0, 0)]
    assert load_trace(write(tmp_path / "a.csv", rows)).names == ("2", "10", "ball", "été")


def test_an_exact_repeat_counts_once(tmp_path):
    assert_same(
        load_trace(write(tmp_path / "a.csv", [*ROWS, ROWS[0]])),
        load_trace(write(tmp_path / "b.csv", ROWS)),
    )


def test_the_trace_that_comes_along():
    trace = load_trace()
    assert len(trace.t) == 55_010
    assert len(trace.names) == 75
    starts = np.zeros(len(trace.t), bool)
    starts[trace.offsets[:-1]] = True
    assert ((np.diff(trace.t) > 0) | starts[1:]).all()


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (("8", "1.0", "west", "0"), ["row 5", "line 6", "x is 'west'", "not a number"]),
        (("8", "nan", "0", "0"), ["row 5", "t is nan", "not a finite"]),
        (("8", "0", "0", "-inf"), ["row 5", "y is -inf", "not a finite"]),
        (("8", "0", "0"), ["row 5", "has 3 cells", "header has 4"]),
        (("", "0", "0", "0"), ["row 5", "id is empty"]),
        (("7", "0.5", "1", "3"), ["row 5", "id 7 is at two places at t=0.5", "in row 1"]),
    ],
)
def test_a_bad_row_is_named(tmp_path, bad, says):
    for name in ("a.csv", "a.csv.gz"):
        message = error_of(write(tmp_path / name, [*ROWS, bad]))
        assert all(words in message for words in says), message


def test_a_bad_row_is_named_in_arrays_too(tmp_path):
    for bad, says in (
        (("8", 1.0, np.nan, 0.0), "row 5: x is nan"),
        (("10", 0.0, 0.0, 0.0), "row 5: id 10 is at two places"),
    ):
        values = columns([*ROWS, bad])
        np.savez(tmp_path / "a.npz", **values)
        assert says in error_of(tmp_path / "a.npz")
        pyarrow.parquet.write_table(pyarrow.table(values), tmp_path / "a.parquet")
        assert says in error_of(tmp_path / "a.parquet")
    values = columns(ROWS)
    np.savez(tmp_path / "b.npz", **{**values, "x": np.array(["0", "1", "two", "3"])})
    assert "row 3: x is 'two'" in error_of(tmp_path / "b.npz")
    np.savez(tmp_path / "b.npz", **{**values, "id": np.array([0.0, 1.0, 1.5, 2.0])})
    assert "row 3: id is 1.5" in error_of(tmp_path / "b.npz")
    np.savez(tmp_path / "b.npz", **{**values, "y": values["y"][:2]})
    assert "columns of one length" in error_of(tmp_path / "b.npz")
    table = pyarrow.table({**values, "x": pyarrow.array([0.0, None, 1.0, 2.0])})
    pyarrow.parquet.write_table(table, tmp_path / "c.parquet")
    assert "row 2: x is missing" in error_of(tmp_path / "c.parquet")


def test_a_missing_column_is_named(tmp_path):
    assert "no column 'y'" in error_of(write(tmp_path / "a.csv", [], "id,t,x,z"))
    values = columns(ROWS)
    del values["t"]
    np.savez(tmp_path / "a.npz", **values)
    assert "no array 't'" in error_of(tmp_path / "a.npz")
    pyarrow.parquet.write_table(pyarrow.table(values), tmp_path / "a.parquet")
    assert "no column 't'" in error_of(tmp_path / "a.parquet")


def test_no_rows_is_an_error(tmp_path):
    assert "no rows" in error_of(write(tmp_path / "a.csv", []))
    (tmp_path / "b.csv").write_text("")
    assert "is empty" in error_of(tmp_path / "b.csv")
    np.savez(tmp_path / "a.npz", **{name: np.empty(0) for name in ("id", "t", "x", "y")})
    assert "no rows" in error_of(tmp_path / "a.npz")


def test_unreadable_files_are_named(tmp_path):
    assert "no such file" in error_of(tmp_path / "none.csv")
    assert "a trace is .csv" in error_of(write(tmp_path / "a.txt", ROWS))
    for name in ("a.csv.gz", "a.npz", "a.parquet"):
        (tmp_path / name).write_bytes(b"not what the name says" * 20)
        assert "cannot be read" in error_of(tmp_path / name)
    whole = write(tmp_path / "b.csv.gz", ROWS * 100).read_bytes()
    (tmp_path / "b.csv.gz").write_bytes(whole[:-20])
    assert "cannot be read" in error_of(tmp_path / "b.csv.gz")
    (tmp_path / "c.csv").write_bytes(b"id,t,x,y\n\xff\xfe,0,0,0\n")
    assert "cannot be read" in error_of(tmp_path / "c.csv")
    (tmp_path / "d.csv").mkdir()
    assert "cannot be read" in error_of(tmp_path / "d.csv")


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    real = builtins.__import__

    def without_pyarrow(name, *rest):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest)

    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(builtins, "__import__", without_pyarrow)
    assert "sidereal-sectors[parquet]" in error_of(tmp_path / "a.parquet")


def test_what_is_no_npz_of_plain_arrays_is_refused_in_words_of_the_trace(tmp_path):
    other = tmp_path / "other.npz"
    other.write_text("hello")
    with pytest.raises(TraceError, match=r"other\.npz: cannot be read: no \.npz archive"):
        load_trace(other)
    objects = tmp_path / "objects.npz"
    ids = np.array([1, "a"], object)
    np.savez(objects, id=ids, t=np.arange(2.0), x=np.zeros(2), y=np.zeros(2))
    with pytest.raises(TraceError, match="must be arrays of numbers or strings, not of objects"):
        load_trace(objects)


@pytest.mark.parametrize("column", ["x", "y", "t"])
def test_a_value_beyond_the_world_is_named_with_its_row_and_the_bound(tmp_path, column):
    far = {"t": 0.0, "x": 0.0, "y": 0.0} | {column: -1e300}
    rows = [*ROWS, ("8", *far.values())]
    bound = "1e+15" if column == "t" else f"{2**30 * 50:g}"
    for file in (write(tmp_path / "far.csv", rows), write(tmp_path / "far.csv.gz", rows)):
        message = error_of(file, 50.0)
        for part in ("row 5 (line 6)", f"{column} is -1e+300", bound):
            assert part in message


def test_the_largest_trace_that_is_taken_plays_inside_the_world(tmp_path):
    edge = 2**30 * 7.0
    corners = [("1", 0.0, -edge, -edge), ("1", 1e9, edge, edge), ("2", 0.0, edge, -edge)]
    file = write(tmp_path / "edge.csv", corners)
    error_of(write(tmp_path / "over.csv", [*corners, ("3", 0, np.nextafter(edge, 1e300), 0)]), 7.0)
    options = {"trace": str(file), "sector_size": 7.0, "entities": 100, "crowd": 1e-3}
    replay = Replay.from_options(options)
    copies, loops = np.arange(100), np.ones(100, int)
    assert (replay.life(copies, loops) < 2**32).all()
    for age in (0, 2**31):
        position = replay.position(copies, loops, np.full(100, age))
        _, invalid = sectors(position, 7.0)
        assert not len(invalid)
