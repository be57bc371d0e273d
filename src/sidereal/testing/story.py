"""What happened, in lines: the messages about some entities and sectors, and the strikes."""

from collections import deque
from typing import TYPE_CHECKING, Any

from sidereal.ids import Sector
from sidereal.testing.observer import Observer, Violation
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import Message
from sidereal.world.columns import U32, U64, Columns

if TYPE_CHECKING:
    from sidereal.testing.shards import SimulatedShard
    from sidereal.testing.simulation import Simulation

KEPT = 200_000
"""Lines kept while a story goes on; the oldest go."""

DULL = (sm.Heartbeat, sm.HeartbeatAck, sm.ShardLoadUpdate, sm.GrantIds)


class Story(Observer):
    """Keeps what crosses the links, to be told of what turns out to matter."""

    def __init__(self) -> None:
        self.simulation: Simulation | None = None
        self._lines: deque[tuple[float, str, frozenset[int], frozenset[Sector]]] = deque(
            maxlen=KEPT
        )
        self._struck = 0
        self._simulates: dict[int, str] = {}

    def _note(self, who: str, message: Message) -> None:
        assert self.simulation is not None
        for line in self.simulation.struck[self._struck :]:
            self._put(line, frozenset(), frozenset())
        self._struck = len(self.simulation.struck)
        if isinstance(message, DULL):
            return
        ids, sectors, words = described(message)
        self._put(f"{who}: {type(message).__name__} {words}", frozenset(ids), frozenset(sectors))

    def _put(self, line: str, ids: frozenset[int], sectors: frozenset[Sector]) -> None:
        assert self.simulation is not None
        self._lines.append((self.simulation.seconds, line, ids, sectors))

    def shard_said(self, shard: "SimulatedShard", message: Message) -> None:
        """A shard spoke."""
        self._note(f"{_name(shard)} says", message)

    def server_heard(self, shard: "SimulatedShard | None", link: int, message: Message) -> None:
        """The server heard."""
        self._note(f"server hears {_name(shard) if shard else link}", message)

    def server_said(self, shard: "SimulatedShard", link: int, message: Message) -> None:
        """The server spoke."""
        late = "" if link == shard.link else " (over a link that is over)"
        self._note(f"server tells {_name(shard)}{late}", message)

    def shard_hears(self, shard: "SimulatedShard", message: Message) -> None:
        """A shard heard."""
        self._note(f"{_name(shard)} hears", message)

    def ended(self, shard: "SimulatedShard", end: str, reason: str) -> None:
        """A link ended."""
        at = "the server" if end == "server" else _name(shard)
        self._put(f"link of {_name(shard)} ends at {at}: {reason}", frozenset(), frozenset())

    def stepped(self, shard: "SimulatedShard", tick: int, ids: U64, versions: U32) -> None:
        """A shard simulates what another did before."""
        for entity, version in zip(ids.tolist(), versions.tolist(), strict=True):
            who = f"{_name(shard)} simulates {entity} at version {version}"
            if self._simulates.get(entity) != who:
                self._simulates[entity] = who
                self._put(f"{who} from tick {tick} on", frozenset([entity]), frozenset())

    def told(self, violation: Violation, lines_max: int = 40) -> list[str]:
        """Return the last lines that concern what a violation is about."""
        ids, sectors = set(violation.entities), set(violation.sectors)
        picked = [
            f"{at:8.3f} s  {line}"
            for at, line, about, where in self._lines
            if about & ids or where & sectors or (not about and not where)
        ]
        return picked[-lines_max:]


def _name(shard: "SimulatedShard") -> str:
    return f"{shard.name}/{shard.core.incarnation % 1000:03d}"


def described(message: Message) -> tuple[list[int], list[Sector], str]:
    """Return the entities and sectors that a message is about, and its fields in words."""
    ids: list[int] = []
    sectors: list[Sector] = []
    words: list[str] = []
    for name in message.__struct_fields__:
        value: Any = getattr(message, name)
        if isinstance(value, Columns):
            rows = getattr(value, "ids", None)
            if rows is not None:
                ids += rows.tolist()
                words.append(_rows(value))
        elif name == "sector" and isinstance(value, tuple):
            sectors.append(value)
            words.append(str(value))
        elif isinstance(value, int | str | float) and name not in ("sent_ns", "server_ns"):
            words.append(f"{name} {value}")
    return ids, sectors, ", ".join(words)


def _rows(rows: Any, shown: int = 12) -> str:
    parts = []
    for row in range(min(len(rows), shown)):
        words = str(rows.ids[row])
        for column in ("version", "asked"):
            values = getattr(rows, column, None)
            if values is not None:
                words += f" {'v' if column == 'version' else 'asked v'}{values[row]}"
        target = getattr(rows, "target", None)
        if target is not None:
            words += f" {tuple(rows.sector[row].tolist())}→{tuple(target[row].tolist())}"
        group = getattr(rows, "group", None)
        if group is not None and group[row]:
            words += f" of group {group[row]}"
        parts.append(words)
    if len(rows) > shown:
        parts.append(f"and {len(rows) - shown} more")
    return "[" + "; ".join(parts) + "]"
