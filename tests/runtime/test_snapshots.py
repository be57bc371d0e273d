"""When a server writes the whole record beside its journal."""

from runtime.table import Table
from sidereal.runtime.clock import now_ns
from sidereal.store import MemoryDisk, MemoryStore
from sidereal.world.rules import NS_PER_S


def test_a_new_server_soon_writes_what_it_has_learnt_in_case_it_dies_soon() -> None:
    disk, began = MemoryDisk(), now_ns()
    table = Table("one", store=lambda: MemoryStore(disk))
    try:
        table.until(lambda: disk.snapshot is not None)
        assert now_ns() - began < 4 * NS_PER_S, "the next ones are 5 s apart"
        assert table.shards[0].registered, "who was there has told what it has"
    finally:
        table.close()
