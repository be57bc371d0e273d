"""A process that commits until it is killed or fails: ``python writer.py DIRECTORY``.

Each batch is a handful of records that say which batch, which of how many. A line on standard
output follows whatever returned; a snapshot holds how many batches there were. It ends with
the error's name and message, or when its standard input does.
"""

import os
import random
import select
import sys
from pathlib import Path

from sidereal.errors import StoreError
from sidereal.store import SqliteStore
from sidereal.store.face import Loaded


def batch_of(number: int) -> list[bytes]:
    """The records of a batch: the same for everybody, of all sizes."""
    rng = random.Random(number)
    count = rng.choice([1, 3, 200])
    return [
        f"{number} {index} {count} ".encode() + bytes(rng.choice([0, 150, 5000]))
        for index in range(count)
    ]


def batches_in(loaded: Loaded) -> int:
    """How many batches are kept; each is whole, and none is missing."""
    number = int(loaded.snapshot[0]) if loaded.snapshot else 0
    records = list(loaded.records)
    while records:
        expected = batch_of(number)
        assert records[: len(expected)] == expected, f"batch {number} is not whole"
        del records[: len(expected)]
        number += 1
    return number


def say(line: str) -> None:
    """One line, at once."""
    os.write(1, f"{line}\n".encode())


def main(directory: Path) -> None:
    """Take the leadership and commit."""
    store = SqliteStore(directory)
    term = store.acquire_term()
    number = batches_in(store.load())
    say(f"leads {number}")
    while not select.select([0], [], [], 0)[0]:
        position = store.commit(term, batch_of(number))
        number += 1
        say(f"committed {number}")
        if number % 7 == 0:
            store.snapshot(term, position, [str(number).encode(), bytes(200_000)])
            say(f"kept {number}")
        if number % 14 == 0:
            store.compact(term)
    store.close()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except StoreError as error:
        say(f"{type(error).__name__}: {error}")
