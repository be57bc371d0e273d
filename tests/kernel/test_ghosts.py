"""Ghosts: who sees what across a border, and the bytes of the copies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel import adversarial
from sidereal import kernel
from sidereal.kernel import reference


@pytest.mark.parametrize("size", adversarial.SIZES)
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_sightings(size: float, share: float) -> None:
    rng = np.random.default_rng(51)
    pos = adversarial.positions(rng, size, np.float64, 200)
    close = rng.uniform(-4 * size, 4 * size, (600, 2))
    pos = np.concatenate([pos, close])
    held = kernel.sectors(pos, size)[0]
    shard = rng.integers(-1, 4, len(pos)).astype(np.int32)
    owned = np.unique(held[held[:, 0] != -(2**31)], axis=0)
    maps = kernel.SectorMap(), reference.SectorMap()
    shards = rng.integers(0, 4, len(owned)).astype(np.int32)
    for owners in maps:
        owners.set(owned, shards, 1)
    got = kernel.ghosts(pos, held, shard, size, share * size, maps[0])
    want = reference.ghosts(pos, held, shard, size, share * size, maps[1])
    for a, b in zip(got, want, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert len(got[0]) > 100


def test_one_beside_a_border_is_seen_from_the_other_side() -> None:
    owners = kernel.SectorMap()
    owners.set(np.array([[0, 0], [1, 0], [1, 1]], np.int32), np.array([1, 2, 3], np.int32), 1)
    pos = np.array([[95.0, 50.0], [80.0, 50.0], [95.0, 95.0], [130.0, 50.0]])
    held = kernel.sectors(pos, 100.0)[0]
    shard = np.array([1, 1, 1, -1], np.int32)
    target, index = kernel.ghosts(pos, held, shard, 100.0, 10.0, owners)
    assert list(zip(target.tolist(), index.tolist(), strict=True)) == [
        (2, 0),
        (2, 2),
        (2, 3),
        (3, 2),
    ]


def copies(count: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(52)
    velocity = rng.normal(0, 5, (count, 2)).astype(np.float32).astype(np.float64)
    return (
        rng.integers(0, 2**64, count, dtype=np.uint64),
        rng.normal(0, 1e6, (count, 2)),
        velocity,
        rng.integers(0, 2**32, count, dtype=np.uint32),
    )


@given(st.integers(0, 100), st.integers(44, 1400))
def test_copies_there_and_back(count: int, payload_bytes: int) -> None:
    columns = copies(count)
    data, offsets = kernel.pack_ghosts(*columns, 6, 77, payload_bytes)
    want, want_offsets = reference.pack_ghosts(*columns, 6, 77, payload_bytes)
    np.testing.assert_array_equal(data, want)
    np.testing.assert_array_equal(offsets, want_offsets)
    raw = data.tobytes()
    parts = [
        kernel.unpack_ghosts(raw[a:b])
        for a, b in zip(offsets.tolist(), offsets.tolist()[1:], strict=False)
    ]
    assert {tick for tick, *_ in parts} <= {77}
    for i, column in enumerate(columns):
        whole = np.concatenate([column[:0], *(part[i + 1] for part in parts)])
        assert whole.dtype == column.dtype
        np.testing.assert_array_equal(whole, column)


@given(st.binary(max_size=120), st.integers(0, 4), st.booleans())
def test_any_bytes_are_read_as_the_twin_reads_them(noise: bytes, rows: int, fit: bool) -> None:
    if fit:
        noise = bytes([6, 0, rows, 0]) + noise.ljust(4 + rows * 36, b"\x7f")[: 4 + rows * 36]
    try:
        want = reference.unpack_ghosts(noise)
    except ValueError:
        with pytest.raises(ValueError, match="malformed payload of copies"):
            kernel.unpack_ghosts(noise)
        return
    got = kernel.unpack_ghosts(noise)
    assert got[0] == want[0]
    for a, b in zip(got[1:], want[1:], strict=True):
        assert a.tobytes() == b.tobytes()


def test_what_does_not_fit_a_copy_is_refused() -> None:
    ids, position, velocity, flags = copies(3)
    position[1, 0] = np.nan
    with pytest.raises(ValueError, match=r"position\[1\] is not finite"):
        kernel.pack_ghosts(ids, position, velocity, flags, 6, 1, 1200)
    position[1, 0], velocity[2, 1] = 0.0, 1e39
    with pytest.raises(ValueError, match=r"velocity\[2\]"):
        kernel.pack_ghosts(ids, position, velocity, flags, 6, 1, 1200)
