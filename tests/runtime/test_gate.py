"""What the server says leaves when what it depends on lasts; what it keeps is gathered once."""

import select

from runtime.table import Table
from runtime.test_committer import WAIT_S, GatedStore
from sidereal.ids import LinkId
from sidereal.replication.books import Output, Send, SendDatagrams
from sidereal.replication.manager import Step
from sidereal.runtime import gate as gate_module
from sidereal.runtime.gate import Gate
from sidereal.store import MemoryStore
from sidereal.wire.shard_messages import HeartbeatAck

PEER = LinkId(1)


def released(gate: Gate, count: int) -> list[Output]:
    """What may be said, once it is so much."""
    found: list[Output] = []
    while len(found) < count:
        assert select.select([gate.fileno()], [], [], WAIT_S)[0]
        found += gate.released()
    return found


def test_nothing_is_said_before_what_it_depends_on_lasts() -> None:
    store = GatedStore()
    gate = Gate(store)
    answer, picture = Send(PEER, HeartbeatAck(1, 2)), SendDatagrams(PEER, [b"where all is"])
    try:
        gate.put(Step([], [picture]))
        assert gate.released() == [picture], "it depends on no decision"
        gate.put(Step([b"decided"], [answer]))
        store.has_begun("commit")
        gate.put(Step([], [picture]))
        gate.put(Step([], [answer, picture]))
        assert gate.released() == []
        assert not store.disk.commits
        store.let["commit"].release()
        assert released(gate, 1) == [answer]
        assert store.load().records == (b"decided",)
        store.has_begun("commit")  # which checks the term, before a heartbeat is answered
        assert gate.released() == []
        store.let["commit"].release()
        assert released(gate, 3) == [picture, answer, picture]
    finally:
        store.let_all()
        gate.close()


def test_where_the_disk_is_behind_peers_wait_and_nothing_is_lost(monkeypatch) -> None:
    store = GatedStore()
    table = Table("one", store=lambda: store)
    gate, heard = table.server.gate, []
    monkeypatch.setattr(gate_module, "COMMIT_BYTES_MAX", 100)
    monkeypatch.setattr(table.server.channel, "pump", lambda: heard.append(1) or [])
    try:
        gate.put(Step([b"first"], []))
        store.has_begun("commit")
        gate.put(Step([bytes(100)], []))
        table.server.step()
        assert not heard, "what peers say stays with the transport, which slows them down"
        store.let_all()
        while gate.full:
            assert select.select([gate.fileno()], [], [], WAIT_S)[0]
            gate.released()
        table.server.step()
        assert heard
        assert bytes(100) in store.load().records
    finally:
        store.let_all()
        table.close()


def test_without_a_store_the_record_is_never_gathered_for_a_snapshot(monkeypatch):
    table = Table("one")
    gathered = []
    monkeypatch.setattr(table.server.manager, "image", lambda: gathered.append(1))
    table.server._snapshot_at = 0
    for _ in range(5):
        table.turn()
    assert not gathered
    table.close()


def test_a_snapshot_is_gathered_once_and_not_while_one_is_being_written(monkeypatch):
    store = MemoryStore()
    table = Table("one", store=lambda: store)
    gate = table.server.gate
    gathered = []
    image = table.server.manager.image
    monkeypatch.setattr(table.server.manager, "image", lambda: gathered.append(1) or image())
    with store.disk.lock:  # nothing can be written now
        table.server._snapshot_at = 0
        table.server.step()
        assert len(gathered) == 1
        table.server._snapshot_at = 0
        for _ in range(3):
            table.server.step()
        assert len(gathered) == 1
    assert gate.fileno() is not None
    table.close()
