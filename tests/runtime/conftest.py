"""What the runtime's tests share."""

import secrets
import threading
from collections.abc import Callable, Iterator

import pytest

from runtime.table import Table, Thread
from sidereal.replication.settings import Settings
from sidereal.runtime.address import Address
from sidereal.runtime.replication_process import ReplicationServer


@pytest.fixture
def table() -> Iterator[Callable[..., Table]]:
    """Makes worlds, and ends them after the test."""
    made: list[Table] = []

    def make(*shards: str) -> Table:
        made.append(Table(*shards))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def world() -> Iterator[tuple[Address, dict[str, bytes]]]:
    """A replication server on a free port, in a thread of its own, and its keys."""
    keys = {name: secrets.token_bytes(32) for name in ("clients", "admin", "shard:east")}
    server = ReplicationServer(Settings(), Address("127.0.0.1", 0), keys)
    stop = threading.Event()
    thread = Thread(target=server.serve, args=(stop.is_set,))
    thread.start()
    yield server.address, keys
    stop.set()
    thread.finish()
    server.close()
