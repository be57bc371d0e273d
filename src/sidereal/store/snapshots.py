"""A snapshot's file: a header that says what follows, then the parts.

All numbers are little-endian.

======  =======================================================================
bytes   what
======  =======================================================================
8       ``SIDSNAP1``: the 1 is the version of this form
8, 8    term and position, u64
4       how many parts, u32
4       CRC-32 of the header: of all before this field and all lengths and checksums
12 x n  for each part its length, u64, and its CRC-32, u32
...     the parts
======  =======================================================================

A file has effect only once the journal names it, together with its header's checksum.
"""

import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

from sidereal.errors import StoreDamaged
from sidereal.store.directory import sync

MAGIC = b"SIDSNAP1"
_FIXED = struct.Struct("<8sQQI")
_CRC = struct.Struct("<I")
_PART = struct.Struct("<QI")

PIECE_BYTES = 1024 * 1024
"""Made durable so much at a time: a commit on the same disk waits for one piece, not for all."""


def write(path: Path, term: int, position: int, parts: Sequence[bytes]) -> int:
    """Write a snapshot, all or nothing, durable on return.

    Returns
    -------
    int
        The header's checksum.

    Raises
    ------
    OSError
        As the system says; an unfinished file is left behind, of no effect.
    """
    fixed = _FIXED.pack(MAGIC, term, position, len(parts))
    table = b"".join(_PART.pack(len(part), zlib.crc32(part)) for part in parts)
    checksum = zlib.crc32(table, zlib.crc32(fixed))
    unfinished = path.with_name(path.name + ".new")
    with open(unfinished, "wb", buffering=0) as file:
        for part in (fixed + _CRC.pack(checksum) + table, *parts):
            view = memoryview(part)
            while view:
                view = view[file.write(view[:PIECE_BYTES]) :]
                os.fdatasync(file.fileno())
        os.fsync(file.fileno())
    unfinished.rename(path)
    sync(path.parent)
    return checksum


def read(path: Path, term: int, position: int, checksum: int) -> tuple[bytes, ...]:
    """Return the parts of a snapshot.

    Raises
    ------
    StoreError
        The file is gone, damaged, or another than the one meant.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreDamaged(str(path), f"it cannot be read: {error.strerror}") from error
    start = _FIXED.size + _CRC.size
    if len(data) < start or data[: len(MAGIC)] != MAGIC:
        raise StoreDamaged(str(path), "it does not begin as a snapshot does")
    _, found_term, found_position, count = _FIXED.unpack_from(data)
    table = data[start : start + count * _PART.size]
    actual = zlib.crc32(table, zlib.crc32(data[: _FIXED.size]))
    (said,) = _CRC.unpack_from(data, _FIXED.size)
    if said != actual or (found_term, found_position, actual) != (term, position, checksum):
        raise StoreDamaged(
            str(path),
            f"it is of term {found_term}, position {found_position}, header checksum "
            f"{actual:08x}, but the journal means {term}, {position}, {checksum:08x}",
        )
    parts = []
    at = start + len(table)
    for number, (length, expected) in enumerate(_PART.iter_unpack(table)):
        part = data[at : at + length]
        if zlib.crc32(part) != expected or len(part) != length:
            raise StoreDamaged(str(path), f"part {number} of {count} does not have its checksum")
        parts.append(part)
        at += length
    if at != len(data):
        raise StoreDamaged(str(path), f"it goes on after its {count} parts")
    return tuple(parts)
