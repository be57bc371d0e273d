"""The rules of one world: what every process in it must agree on.

The replication server tells them to each shard in `RegistrationAck`; nobody
else configures them.
"""

import msgspec

NS_PER_S = 1_000_000_000


class WorldRules(msgspec.Struct, frozen=True, kw_only=True):
    """Constants of a world. Lengths are in world units, fractions are of the sector size."""

    sector_size: float = 1000.0
    tick_hz: float = 20.0
    handoff_margin: float = 0.02
    ghost_radius: float = 0.1
    state_interval_s: float = 1.0

    @property
    def tick_ns(self) -> int:
        """Length of one world tick in nanoseconds."""
        return round(NS_PER_S / self.tick_hz)

    @property
    def margin(self) -> float:
        """How far beyond a border, in units, authority changes shards."""
        return self.handoff_margin * self.sector_size

    @property
    def ghost_reach(self) -> float:
        """How far beyond its border, in units, a shard sees ghosts."""
        return self.ghost_radius * self.sector_size

    @property
    def state_interval_ticks(self) -> int:
        """Ticks between two sendings of one entity's changed state."""
        return max(1, round(self.state_interval_s * self.tick_hz))
