"""What a run cost: processor time by stage of the work, and packets, in each process.

A shard's stages are charged to the entities that it simulated, each in each tick; the server's to
the updates that it received. Where the world keeps its pace the two are about equal, so that the
sum is what an update costs in all.
"""

from pathlib import Path

import msgspec

from sidereal.errors import ConfigError
from sidereal.runtime.clock import now_ns
from sidereal.runtime.embed import Shard

STAGE = "cpu_us_"
"""Counters of the server that begin so are its stages."""

SERVER = "replication server"

FLOW = {
    *("begin", "end", "pack", "seal", "send"),
    *("receive", "open", "notices", "rest", "apply"),
}
"""Stages that an update goes through, on its shard and at the server, and what waking takes."""

GAME = {"simulate", "watch"}
"""What the demo's own game takes, and the audit that looks on. All else is coordination: crossings
asked for and decided, the journal, balance, clients, the running server's own audit."""


class Costs(msgspec.Struct, frozen=True):
    """One process in one run."""

    process: str
    rows: int
    """Entities simulated, each in each tick; or updates received."""
    ns_a_row: dict[str, float]
    """Processor time by stage."""
    packets_per_s: float
    """Sent and received."""
    bytes_per_s: float

    @property
    def total_ns(self) -> float:
        """Processor time for a row, in all stages."""
        return sum(self.ns_a_row.values())


def costs(
    process: str, rows: int, used_ns: dict[str, int], packets: int, size: int, seconds: float
) -> Costs:
    """Return what a run cost; dearest stage first."""
    stages = sorted(used_ns.items(), key=lambda stage: -stage[1])
    each = {name: used / max(rows, 1) for name, used in stages if used > 0}
    spent = max(seconds, 1e-9)
    return Costs(process, rows, each, packets / spent, size / spent)


class AnUpdate(msgspec.Struct, frozen=True):
    """Processor time for an update on both sides, ns, by what it is for."""

    flow: float
    coordination: float
    game: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.flow + self.coordination + self.game


def an_update(found: list[Costs]) -> AnUpdate | None:
    """Return what an update cost: a shard's mean and the server's; None where one is not known."""
    shards = [each for each in found if each.process != SERVER]
    server = [each for each in found if each.process == SERVER]
    rows = sum(each.rows for each in shards)
    if not rows or not server:
        return None
    spent = {"flow": 0.0, "coordination": 0.0, "game": 0.0}
    for each in found:
        share = each.rows / rows if each.process != SERVER else 1.0
        for stage, ns in each.ns_a_row.items():
            kind = "flow" if stage in FLOW else "game" if stage in GAME else "coordination"
            spent[kind] += ns * share
    return AnUpdate(**spent)


class Meter:
    """Measures one shard, from its first entities on."""

    def __init__(self) -> None:
        self._began: tuple[int, dict[str, int], int, int] | None = None
        self._rows = 0

    def tick(self, shard: Shard, rows: int) -> None:
        """A tick simulated so many rows."""
        if self._began is None and rows:
            self._began = self._now(shard)
        self._rows += rows

    def write(self, path: Path, shard: Shard) -> None:
        """Write down what the shard has cost until now; nothing where it simulated nothing."""
        if self._began is None:
            return
        began_ns, used, packets, size = self._began
        at_ns, used_now, packets_now, size_now = self._now(shard)
        spent = {name: value - used.get(name, 0) for name, value in used_now.items()}
        seconds = (at_ns - began_ns) / 1e9
        # A link that was made anew counts from 0.
        packets, size = max(packets_now - packets, 0), max(size_now - size, 0)
        path.write_bytes(
            msgspec.json.encode(costs(shard.name, self._rows, spent, packets, size, seconds))
        )

    @staticmethod
    def _now(shard: Shard) -> tuple[int, dict[str, int], int, int]:
        packets, size = shard.traffic()
        return now_ns(), dict(shard.stages.used_ns), packets, size


def costs_path(final: Path) -> Path:
    """Where a shard writes its costs, beside its last answer."""
    return final.with_name(final.stem.replace("final-", "costs-") + ".json")


def read_costs(directory: Path) -> list[Costs]:
    """Read what the shards of a run wrote, by their names.

    Raises
    ------
    ConfigError
        A file cannot be read.
    """
    found = []
    for path in directory.glob("costs-*.json"):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Costs))
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from error
    return sorted(found, key=lambda each: each.process)
