"""What an operator may set on the replication server. Times in nanoseconds."""

import msgspec

from sidereal.world.rules import NS_PER_S, WorldRules

MS = NS_PER_S // 1000


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one replication server; the defaults are the design's."""

    rules: WorldRules = WorldRules()
    lease_ns: int = 3 * NS_PER_S
    drift_allowance_ns: int = 100 * MS
    heartbeat_ns: int = 500 * MS
    load_report_ns: int = 5 * NS_PER_S
    idle_unload_ns: int = 300 * NS_PER_S
    survey_ns: int = 500 * MS
    """How often sectors are counted and those about to be entered are activated."""
    activation_horizon_s: float = 2.0
    rebalance_ns: int = 60 * NS_PER_S
    move_cooldown_ns: int = 60 * NS_PER_S
    move_budget: float = 0.09
    """Share of all load that one round of rebalancing may move."""
    dead_band: float = 0.05
    """A shard this far above the mean is left alone."""
    cold_load: float = 100.0
    """Below this mean load per shard nothing is moved for balance."""
    player_weight: float = 10.0
    proximity_penalty: float = 0.25
    """Added for a shard with no sector beside the new one, as a share of the mean shard's load."""
    proximity_bonus: float = 0.03
    """Taken off for each neighbouring sector that a shard has, as a share likewise."""
    ghost_interval_ticks: int = 2
    client_interval_ticks: int = 2
    client_bytes_per_s: int = 256 * 1024
    audit_ns: int = 5 * NS_PER_S
    """How often each shard is asked what it has."""
    session_resume_ns: int = 30 * NS_PER_S
    stall_ns: int = 200 * MS
    """A longer pause between two ticks is the server's own: nobody is dead because of it."""
