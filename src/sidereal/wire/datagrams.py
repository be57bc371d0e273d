"""What travels beside the ordered channel: kinds of datagrams, packed by the kernel.

They are never retransmitted: the transport tells which were lost, and the
newest value goes instead. The first byte is the kind.
"""

PAYLOAD_BYTES = 1172
"""What fits a transport datagram of 1200 bytes beside header, tag and frame. The transport pads
full ones to one length, so that the system sends and receives them many at a time."""

ENTITY_UPDATE = 1
"""Shard → server: positions and velocities, grouped by sector, fenced by epoch and handle."""
ENTITY_STATE = 2
"""Shard → server: changed state blobs, fenced by handle."""
NEIGHBOR_ENTITY_UPDATE = 3
"""Server → shard: `NeighborEntityUpdate`, ghosts of what lies just across its borders."""
CLIENT_UPDATE = 4
"""Server → client: positions of what it sees."""
