"""Where a track is at a time: straight lines between its samples.

A track exists from its first to its last sample; before and after, these
functions answer with the nearest end. A gap in a recording is crossed at
constant velocity, like any other pair of samples.

Two ways to ask, one definition:

* `Tracks.position` takes any times: an index of equal time buckets leads to the
  neighbourhood of the sample, a bisection of the few that share the bucket ends it;
* `Steps` holds `Tracks.position` at every step of a fixed length, for a simulation
  that advances by ticks: one gather per entity.
"""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from sidereal.simulations.trace_file import Trace

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Points = npt.NDArray[np.complex128]

BUCKETS_PER_SAMPLE = 2
"""Time buckets per sample: two leave most with one sample, at little memory."""

STEPS_MAX = 16_000_000
"""Steps held in memory at most (256 MB); beyond, positions are interpolated when asked."""

LIFE_STEPS_MAX = 2**31
"""Steps of one track that are played at most: world ticks have 32 bits, and at 20 a second these
last three years."""


class Tracks:
    """Linear interpolation of many (track, time) pairs at once."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._xy = np.stack((trace.x, trace.y), axis=1)
        self._build_index()

    def __len__(self) -> int:
        return len(self.trace.names)

    def position(self, track: npt.NDArray[np.integer], t: F64) -> F64:
        """Positions at times, clipped to each track's life.

        Parameters
        ----------
        track : (n,) int
        t : (n,) float64, seconds of the recording

        Returns
        -------
        (n, 2) float64
        """
        left, right, share = self._segment(track, t)
        start = self._xy[left]
        return start + share[:, None] * (self._xy[right] - start)

    def velocity(self, track: npt.NDArray[np.integer], t: F64) -> F64:
        """Units per second of the recording, (n, 2); 0 outside a track's life.

        At a sample, it is that of the segment which begins there.
        """
        left, right, _ = self._segment(track, t)
        first, last = self.trace.offsets[:-1][track], self.trace.offsets[1:][track] - 1
        outside = (t < self.trace.t[first]) | (t > self.trace.t[last]) | (left == right)
        span = np.where(outside, np.inf, self.trace.t[right] - self.trace.t[left])
        return (self._xy[right] - self._xy[left]) / span[:, None]

    def _build_index(self) -> None:
        """Equal buckets of time for each track; each knows the last sample at its start."""
        trace = self.trace
        count = np.diff(trace.offsets)
        step = trace.duration / (BUCKETS_PER_SAMPLE * count)
        step[step == 0] = 1.0
        buckets = np.floor(trace.duration / step).astype(np.int64) + 1
        self._step = step
        self._bucket_offset = np.concatenate(([0], np.cumsum(buckets)))
        owner = np.repeat(np.arange(len(count)), buckets)
        within = np.arange(len(owner)) - self._bucket_offset[owner]
        # Samples per bucket, by the same arithmetic as a query's, then their running sum:
        # rounding cannot put a sample and its own time on two sides of a bucket's edge.
        sample_track = np.repeat(np.arange(len(count)), count)
        bucket = self._bucket(sample_track, trace.t)
        filled = np.bincount(bucket, minlength=len(owner)).astype(np.int64)
        before = np.cumsum(filled) - filled
        self._lowest = np.where(within == 0, before, before - 1)
        self._rounds = int(np.ceil(np.log2(filled.max() + 1))) if len(filled) else 0
        self._filled = filled

    def _bucket(self, track: npt.NDArray[np.integer], t: F64) -> I64:
        start = self._bucket_offset[track]
        within = np.floor((t - self.trace.first[track]) / self._step[track]).astype(np.int64)
        bucket: I64 = start + np.clip(within, 0, self._bucket_offset[1:][track] - start - 1)
        return bucket

    def _segment(self, track: npt.NDArray[np.integer], t: F64) -> tuple[I64, I64, F64]:
        """Samples left and right of each time, and how far between them it lies, in [0, 1]."""
        times = self.trace.t
        last = self.trace.offsets[1:][track] - 1
        t = np.clip(t, times[self.trace.offsets[:-1][track]], times[last])
        bucket = self._bucket(track, t)
        left = self._lowest[bucket]
        high = left + self._filled[bucket] + 1
        for _ in range(self._rounds + 1):
            middle = (left + high) >> 1
            above = times[np.minimum(middle, last)] > t
            above |= middle > last
            left = np.where(above, left, middle)
            high = np.where(above, middle, high)
        right = np.minimum(left + 1, last)
        span = times[right] - times[left]
        share = np.divide(t - times[left], span, out=np.zeros_like(t), where=span > 0)
        return left, right, share


class Steps:
    """Positions of every track at ``first sample + k * step_s``, k = 0, 1, 2 …

    Points are complex numbers ``x + iy``: one gather brings both axes, and a
    rotation is one product.

    Parameters
    ----------
    tracks : Tracks
    step_s : float
        Seconds of the recording that one tick plays (speed / tick_hz).

    Attributes
    ----------
    life : ndarray, (tracks,) int64
        Steps at which the track exists: ``k`` in ``0 .. life - 1``; at least 1.
    first : ndarray, (tracks,) int64
        Steps of all tracks before it.
    """

    def __init__(self, tracks: Tracks, step_s: float) -> None:
        self.tracks = tracks
        self.step_s = step_s
        # A track of 0.3 s holds steps of 0.1 s at 0, 1, 2 and 3: forgive the last ulp.
        steps = np.floor(tracks.trace.duration / step_s * (1 + 1e-12))
        self.life: I64 = np.minimum(steps, LIFE_STEPS_MAX).astype(np.int64) + 1
        self._offset: I64 = np.concatenate(([0], np.cumsum(self.life)))
        self.first: I64 = self._offset[:-1]

    @cached_property
    def table(self) -> Points | None:
        """Points of all tracks at all their steps, one track after the other; None: too many."""
        total = int(self._offset[-1])
        if total > STEPS_MAX:
            return None
        track = np.repeat(np.arange(len(self.life)), self.life)
        return self._interpolate(track, np.arange(total) - self._offset[track])

    def _interpolate(self, track: npt.NDArray[np.integer], step: I64) -> Points:
        at = self.tracks.position(track, self.tracks.trace.first[track] + step * self.step_s)
        return as_points(at)

    def points(
        self, track: npt.NDArray[np.integer], *steps: npt.NDArray[np.integer]
    ) -> list[Points]:
        """Points (n,) of tracks (n,) at each of some columns of steps, clipped to their lives."""
        last = self.life.take(track) - 1
        inside = [np.minimum(np.maximum(step, 0), last) for step in steps]
        if self.table is None:
            return [self._interpolate(track, step) for step in inside]
        first = self._offset.take(track)
        return [self.table.take(first + step) for step in inside]

    def between(self, first: I64, before: I64, after: I64) -> Points:
        """How far tracks (n,), told by their `first`, lead from one of their steps to another."""
        if self.table is None:
            track = np.searchsorted(self.first, first, side="right") - 1
            moved = self._interpolate(track, after)
            moved -= self._interpolate(track, before)
            return moved
        moved = self.table.take(first + after)
        moved -= self.table.take(first + before)
        return moved


def as_points(position: F64) -> Points:
    """(n, 2) float64 as (n,) complex128."""
    points: Points = np.ascontiguousarray(position).view(np.complex128)[:, 0]
    return points


def as_position(points: Points) -> F64:
    """(n,) complex128 as (n, 2) float64."""
    return points.view(np.float64).reshape(-1, 2)
