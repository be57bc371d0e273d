"""The run as it happens: a live view in a terminal, a line every 5 s elsewhere.

It draws what it is given and asks nobody.
"""

from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np
import numpy.typing as npt
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

LOG_EVERY_NS = 5_000_000_000
MAP_COLUMNS, MAP_ROWS = 36, 24
BESIDE_MAP_COLUMNS, ABOVE_MAP_ROWS = 60, 5
"""What the shards' table, and the lines above both, leave of a terminal."""

COLOURS = (
    "blue",
    "dark_orange",
    "green4",
    "magenta",
    "gold3",
    "turquoise2",
    "red3",
    "purple4",
    "chartreuse3",
    "deep_pink3",
)


@dataclass(frozen=True)
class ShardState:
    """One shard now. ``state`` is a word: running, joining, dead."""

    id: int
    name: str
    state: str
    sectors: int
    entities: int
    load: float
    tick_ms: float


@dataclass(frozen=True)
class Snapshot:
    """The world now.

    Attributes
    ----------
    tick, ticks : int
        Ticks of the run that are over, and how many there will be.
    seconds : float
        Since the run began.
    entities, handoffs, migrations, activations, overruns : int
        Alive now; and counts since the run began.
    sector_x, sector_y : ndarray, (n,) int
    sector_shard : ndarray, (n,) int
        The `ShardState.id` that each sector belongs to; -1 for none.
    notes : list of str
        What just happened: a shard died, a sector migrated.
    """

    tick: int
    ticks: int
    seconds: float
    entities: int = 0
    handoffs: int = 0
    migrations: int = 0
    activations: int = 0
    overruns: int = 0
    shards: list[ShardState] = field(default_factory=list)
    sector_x: npt.NDArray[np.integer] = field(default_factory=lambda: np.empty(0, np.int32))
    sector_y: npt.NDArray[np.integer] = field(default_factory=lambda: np.empty(0, np.int32))
    sector_shard: npt.NDArray[np.integer] = field(default_factory=lambda: np.empty(0, np.int64))
    notes: list[str] = field(default_factory=list)


class LiveView:
    """Shows snapshots on a console, as a context manager.

    Parameters
    ----------
    console : rich.console.Console
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._logged_ns: int | None = None
        self._before: Snapshot | None = None
        self._rate = 0.0

    def __enter__(self) -> "LiveView":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def update(self, snapshot: Snapshot, now_ns: int) -> None:
        """Show the world as it is now; notes are kept on screen or logged at once."""
        before = self._before
        if before is None or snapshot.seconds - before.seconds >= 1.0:
            if before:
                passed = snapshot.seconds - before.seconds
                self._rate = (snapshot.handoffs - before.handoffs) / passed
            self._before = snapshot
        if self._live:
            for note in snapshot.notes:
                self._live.console.print(note, highlight=False, markup=False)
            self._live.update(self._drawing(snapshot), refresh=True)
            return
        for note in snapshot.notes:
            self._console.print(note, highlight=False, markup=False, soft_wrap=True)
        if self._logged_ns is None or now_ns - self._logged_ns >= LOG_EVERY_NS:
            self._logged_ns = now_ns
            self._console.print(self._log_line(snapshot), highlight=False, soft_wrap=True)

    def _log_line(self, snapshot: Snapshot) -> str:
        slowest = max((shard.tick_ms for shard in snapshot.shards), default=0.0)
        loads = "/".join(f"{shard.entities}" for shard in snapshot.shards)
        return (
            f"{snapshot.seconds:6.1f} s  tick {snapshot.tick}/{snapshot.ticks}"
            f"  entities {snapshot.entities} ({loads})  sectors {len(snapshot.sector_x)}"
            f"  handoffs {snapshot.handoffs} ({self._rate:.0f}/s)"
            f"  migrations {snapshot.migrations}  slowest tick {slowest:.1f} ms"
            f"  server overruns {snapshot.overruns}"
        )

    def _drawing(self, snapshot: Snapshot) -> RenderableType:
        head = Text(
            f"{snapshot.seconds:.0f} s   tick {snapshot.tick:,} of {snapshot.ticks:,}"
            f"   {snapshot.entities:,} entities   {self._rate:,.0f} handoffs/s\n"
            f"{snapshot.migrations:,} migrations   {snapshot.activations:,} activations"
            f"   {snapshot.overruns:,} server overruns"
        )
        bar = Table.grid()  # a bar by itself does not end its line
        bar.add_row(ProgressBar(total=max(snapshot.ticks, 1), completed=snapshot.tick, width=72))
        side = Table.grid(padding=(0, 3))
        columns, rows = self._console.size
        side.add_row(
            sector_map(
                snapshot,
                columns=max(4, min(MAP_COLUMNS, (columns - BESIDE_MAP_COLUMNS) // 2)),
                rows=max(4, min(MAP_ROWS, rows - ABOVE_MAP_ROWS)),
            ),
            _shard_table(snapshot),
        )
        return Group(head, bar, side)


def colour_of(shard: int) -> str:
    """The colour in which a shard's sectors are drawn."""
    return COLOURS[shard % len(COLOURS)]


def sector_map(snapshot: Snapshot, columns: int = MAP_COLUMNS, rows: int = MAP_ROWS) -> Text:
    """Sectors by owner, two characters each, north up; grouped where the world is larger."""
    text = Text()
    if not len(snapshot.sector_x):
        return text
    x, y = snapshot.sector_x.astype(np.int64), snapshot.sector_y.astype(np.int64)
    x, y = x - x.min(), y.max() - y
    group = max(int(x.max()) // columns, int(y.max()) // rows) + 1
    cells: dict[tuple[int, int], Counter[int]] = {}
    for column, row, shard in zip(
        (x // group).tolist(), (y // group).tolist(), snapshot.sector_shard.tolist(), strict=True
    ):
        cells.setdefault((row, column), Counter())[shard] += 1
    high, wide = int(y.max()) // group + 1, int(x.max()) // group + 1
    for row in range(high):
        for column in range(wide):
            owners = cells.get((row, column))
            if owners is None:
                text.append("  ")
                continue
            shard = min(owners, key=lambda owner: (-owners[owner], owner))
            text.append("··" if shard < 0 else "  ", "" if shard < 0 else f"on {colour_of(shard)}")
        text.append("\n" if row + 1 < high else "")
    return text


def _shard_table(snapshot: Snapshot) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("shard", "", "sectors", "entities", "load", "tick"):
        table.add_column(heading, justify="left" if heading in ("shard", "") else "right")
    for shard in snapshot.shards:
        table.add_row(
            Text("■ ", colour_of(shard.id)) + Text(shard.name, ""),
            shard.state,
            f"{shard.sectors:,}",
            f"{shard.entities:,}",
            f"{shard.load:,.0f}",
            f"{shard.tick_ms:.1f} ms",
        )
    return table
