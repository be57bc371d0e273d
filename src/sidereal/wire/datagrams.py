"""What travels beside the ordered channel: kinds of datagrams, packed by the kernel.

They are never retransmitted: the transport tells which were lost, and the
newest value goes instead. The first byte is the kind.
"""

ENTITY_UPDATE = 1
"""Shard → server: positions and velocities, grouped by sector, fenced by epoch and handle."""
ENTITY_STATE = 2
"""Shard → server: changed state blobs, fenced by handle."""
NEIGHBOR_ENTITY_UPDATE = 3
"""Server → shard: `NeighborEntityUpdate`, ghosts of what lies just across its borders."""
CLIENT_UPDATE = 4
"""Server → client: positions of what it sees."""
