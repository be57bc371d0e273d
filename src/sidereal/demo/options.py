"""What one run of the demo is asked for: the flags of ``sidereal demo``, checked."""

from pathlib import Path

from msgspec import Struct

from sidereal.limits import DATAGRAM_BYTES_DEFAULT

CHAOS_ENTITIES = 4_000
"""With `chaos`, unless a number is given: few enough that a small machine keeps its leases while
processes die and start."""

LOOPBACK_DATAGRAM_BYTES = 9_000
"""What goes between processes of one machine in one packet: as on a network of jumbo frames, and no
more than any system's loopback takes whole. Fewer and larger packets cost less."""


class DemoOptions(Struct, frozen=True, kw_only=True):
    """A world on this machine, for a while.

    Attributes
    ----------
    trace
        Recorded movement (CSV, CSV.gz, Parquet or .npz); None is the one that comes along.
    simulation
        trace, drift or flock: what keeps the account that the audit reads.
    entities
        How many are alive at once.
    shards
        How many shard processes simulate them.
    tick_hz
        World ticks a second.
    seconds
        How long the world runs, in seconds of real time.
    speed
        How many times as fast as recorded the trace is played.
    sector_size
        Side of a sector, in units of the trace.
    crowd
        Entities a sector, on average: with their number, it sets the size of the world.
    seed
        Of every random choice: the same seed is the same world.
    json
        Where the report is written too, or None.
    kill_shard
        After how many seconds one shard process is killed, or None.
    chaos
        Kinds of `sidereal.demo.strikes.KINDS` that strike at times which the seed decides.
    netsim
        The network between the shards and the server, as `sidereal.transport.netsim.parse`
        reads it; None is this machine's own.
    datagram_bytes
        UDP payload of a full packet between shards and server; None is what the path between
        them carries: `LOOPBACK_DATAGRAM_BYTES`, and on a simulated network the default of all
        networks.
    """

    trace: Path | None = None
    simulation: str = "trace"
    entities: int = 20_000
    shards: int = 4
    tick_hz: float = 20.0
    seconds: float = 60.0
    speed: float = 2.0
    sector_size: float = 50.0
    crowd: float = 200.0
    seed: int = 1
    json: Path | None = None
    kill_shard: float | None = None
    chaos: tuple[str, ...] = ()
    netsim: str | None = None
    datagram_bytes: int | None = None

    @property
    def path_bytes(self) -> int:
        """UDP payload of a full packet in this run."""
        if self.datagram_bytes is not None:
            return self.datagram_bytes
        return LOOPBACK_DATAGRAM_BYTES if self.netsim is None else DATAGRAM_BYTES_DEFAULT
