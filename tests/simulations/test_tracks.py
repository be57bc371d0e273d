"""Interpolation is `numpy.interp`, track by track, on ragged and gappy recordings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidereal.simulations import tracks as tracks_module
from sidereal.simulations.trace_file import Trace
from sidereal.simulations.tracks import Steps, Tracks, as_position

finite = st.floats(-1e6, 1e6)


def made(recordings):
    """A trace of lists of (t, x, y)."""
    rows = np.array([row for recording in recordings for row in recording], np.float64)
    offsets = np.concatenate(([0], np.cumsum([len(r) for r in recordings]))).astype(np.int64)
    names = tuple(str(k) for k in range(len(recordings)))
    return Trace(*rows.T.copy(), offsets=offsets, names=names)


@st.composite
def recording(draw):
    times = draw(st.lists(st.integers(-(10**7), 10**7), min_size=1, max_size=12, unique=True))
    return [(t / 1000, draw(finite), draw(finite)) for t in sorted(times)]


@given(st.lists(recording(), min_size=1, max_size=5), st.data())
def test_position_is_numpy_interp(recordings, data):
    trace = made(recordings)
    tracks = Tracks(trace)
    for k, rows in enumerate(recordings):
        t, x, y = np.array(rows).T
        asked = np.array(data.draw(st.lists(st.floats(-2e4, 2e4), max_size=8)))
        asked = np.concatenate((asked, t, np.nextafter(t, -np.inf), np.nextafter(t, np.inf)))
        got = tracks.position(np.full(len(asked), k), asked)
        scale = 1e-9 * (1 + np.abs([x, y]).max())
        np.testing.assert_allclose(got[:, 0], np.interp(asked, t, x), rtol=0, atol=scale)
        np.testing.assert_allclose(got[:, 1], np.interp(asked, t, y), rtol=0, atol=scale)


@given(st.lists(recording(), min_size=1, max_size=5))
def test_samples_are_hit_exactly(recordings):
    trace = made(recordings)
    track = np.repeat(np.arange(len(recordings)), np.diff(trace.offsets))
    np.testing.assert_array_equal(
        Tracks(trace).position(track, trace.t), np.stack((trace.x, trace.y), axis=1)
    )


def test_a_gap_far_longer_than_the_sampling():
    dense = [(k * 0.1, float(k), 0.0) for k in range(50)]
    trace = made([[*dense, (1e7, 50.0, 100.0)]])
    got = Tracks(trace).position(np.zeros(3, int), np.array([2.45, 4.9, 5e6]))
    np.testing.assert_allclose(got, [[24.5, 0], [49, 0], [49.5, 50]], atol=1e-4)


def test_velocity_is_the_segment_s_and_none_outside():
    tracks = Tracks(made([[(0, 0, 0), (2, 4, 0), (3, 4, 5)], [(1, 9, 9)]]))
    asked = [-1.0, 0.0, 1.0, 2.0, 2.5, 3.5, 1.0]
    got = tracks.velocity(np.array([0] * 6 + [1]), np.array(asked))
    np.testing.assert_allclose(got, [[0, 0], [2, 0], [2, 0], [0, 5], [0, 5], [0, 0], [0, 0]])


@pytest.mark.parametrize("table", [True, False])
def test_steps_are_positions_at_multiples_of_the_step(table, monkeypatch):
    if not table:
        monkeypatch.setattr(tracks_module, "STEPS_MAX", 0)
    tracks = Tracks(made([[(5, 0, 1), (5.3, 3, 1)], [(0, 2, 2)], [(0, 0, 0), (0.25, 1, 0)]]))
    steps = Steps(tracks, 0.1)
    np.testing.assert_array_equal(steps.life, [4, 1, 3])
    track = np.repeat([0, 1, 2], 7)
    step = np.tile(np.arange(-1, 6), 3)
    inside = np.clip(step, 0, steps.life[track] - 1)
    expected = tracks.position(track, tracks.trace.first[track] + inside * 0.1)
    (points,) = steps.points(track, step)
    np.testing.assert_array_equal(as_position(points), expected)
