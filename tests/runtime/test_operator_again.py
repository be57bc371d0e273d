"""A tool goes on with a new server: what it was granted is its own, what it asked is done once."""

import threading
from functools import partial

import numpy as np
import pytest

from runtime.table import PSKS, SETTINGS, Thread
from sidereal.replication.books import Send
from sidereal.runtime.address import Address
from sidereal.runtime.operator import Operator, OperatorError, entity_rows
from sidereal.runtime.replication_process import ReplicationServer
from sidereal.store import SqliteStore
from sidereal.wire import operator_messages as om
from sidereal.world.batch import Spawn


class Served:
    """A server with a journal in a thread of its own, which can be killed and started again."""

    def __init__(self, data) -> None:
        self.store = partial(SqliteStore, data)
        self.address = Address("127.0.0.1", 0)
        self.start()

    def start(self) -> None:
        self.server = ReplicationServer(SETTINGS, self.address, PSKS, self.store)
        self.address = self.server.address
        self.stop = threading.Event()
        self.thread = Thread(target=self.server.serve, args=(self.stop.is_set,))
        self.thread.start()

    def kill(self) -> None:
        """End it without a word to anybody."""
        self.stop.set()
        self.thread.finish()
        self.server.gate.close()
        self.server.channel.socket.close()

    def swallow(self, kind: type, then) -> None:
        """Let no answer of that kind leave any more; at the first, do something else."""
        original = self.server.gate.released

        def released():
            outputs = original()
            kept = [o for o in outputs if not (isinstance(o, Send) and isinstance(o.message, kind))]
            if len(kept) < len(outputs):
                then()
            return kept

        self.server.gate.released = released


@pytest.fixture
def served(tmp_path):
    made = Served(tmp_path / "data")
    yield made
    made.kill()


def restarts(served: Served) -> threading.Event:
    """Have the server killed and started again once the event is set."""
    due = threading.Event()

    def run() -> None:
        due.wait()
        served.kill()
        served.start()

    Thread(target=run).start()
    return due


def some(first: int, count: int):
    ids = np.arange(first, first + count, dtype=np.uint64)
    return entity_rows(Spawn(np.zeros((count, 2)), np.zeros((count, 2))), slice(0, count), ids)


def test_ids_that_the_old_server_granted_are_used_at_the_new_one(served):
    with Operator(served.address, PSKS["admin"]) as operator:
        first, _ = operator.ids(100)
        served.kill()
        served.start()
        outcome = operator.spawn_rows(some(first, 100))
    assert (outcome.created, outcome.refused) == (100, [])


def test_a_spawn_whose_answer_was_lost_creates_once(served):
    with Operator(served.address, PSKS["admin"]) as operator:
        first, _ = operator.ids(100)
        assert operator.spawn_rows(some(first, 10)).created == 10
        served.swallow(om.SpawnOutcome, restarts(served).set)
        outcome = operator.spawn_rows(some(first + 10, 20))
        assert (outcome.created, outcome.refused, outcome.reason) == (20, [], "")
        assert operator.status_message().entities == 30
        refused = operator.spawn_rows(some(first, 1))
    assert refused.refused == [first], "nobody asked for it again: it is somebody else's mistake"


def test_what_would_be_done_twice_is_not_asked_again(served):
    with Operator(served.address, PSKS["admin"]) as operator:
        served.swallow(om.CommandOutcome, restarts(served).set)
        with pytest.raises(OperatorError, match="before the answer to 'load'"):
            operator.load((3, 4))
        assert operator.status_message().term == 2
