"""Floor 1: keeps bytes: a journal and snapshots of it, in memory or in SQLite.

It knows nothing of what the bytes mean. `Store` is the face; `MemoryStore` is for tests
and the simulator, `SqliteStore` for a server.
"""

from sidereal.store.face import Loaded, Store
from sidereal.store.memory import Crashed, Fault, MemoryDisk, MemoryStore, Operation
from sidereal.store.sqlite import SqliteStore

__all__ = [
    "Crashed",
    "Fault",
    "Loaded",
    "MemoryDisk",
    "MemoryStore",
    "Operation",
    "SqliteStore",
    "Store",
]
