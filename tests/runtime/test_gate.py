"""The server writes down the whole record only where somebody takes it."""

from runtime.table import Table
from sidereal.store import MemoryStore


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
