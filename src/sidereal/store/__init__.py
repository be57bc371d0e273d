"""Floor 1: keeps bytes: what the replication server decided, and snapshots."""
