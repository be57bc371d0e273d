"""What a shard may do with each of its entities: bits of the table's ``phase`` column.

No bit: held, simulated with authority, its updates are sent. The life of one
entity at one shard is `ENTITY_HERE` in `sidereal.shard.lives`; in any of its
states it may stand still.
"""

PENDING = 1
"""Asked to leave: a shadow. It may move and be shown; nothing of it leaves the shard."""
SPAWNING = 2
"""Asked to exist: a shadow likewise."""
DESTROYING = 4
"""Asked to end: stands still."""
STILL = 8
"""Its sector is frozen, or still loading: stands still."""

SHADOW = PENDING | SPAWNING
STOPPED = DESTROYING | STILL

MOVED = 1
"""In the ``dirty`` column: its position has to be sent."""
CHANGED = 2
"""In the ``dirty`` column: its state blob has to be sent."""
