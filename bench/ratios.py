"""Times a work against its peers in one run, and keeps the figures for the closing table."""

import json
import os
import time
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROWS = int(float(os.environ.get("SIDEREAL_BENCH_ROWS", "1e6")))
GATES: dict[str, dict[str, Any]] = tomllib.loads((HERE / "gates.toml").read_text())
SCALE = float(os.environ.get("SIDEREAL_BENCH_GATE", "1.0"))


@dataclass
class Figure:
    """One work against one peer; nanoseconds for each row (mover, centre, update)."""

    work: str
    peer: str
    own_ns: float
    peer_ns: float
    ratio: float
    gate: float | None
    floor: float | None
    limit_share: float | None = None

    def line(self) -> str:
        """Its line of the table."""
        share = "" if self.limit_share is None else f"  {self.limit_share:4.0%} of memory's speed"
        gate = "" if self.gate is None else f"  gate {self.gate:g}"
        if self.gate is not None and self.ratio < self.gate:
            gate += " NOT MET"
        return (
            f"{self.work:22} {self.own_ns:9.2f} ns   {self.peer:12} {self.peer_ns:10.2f} ns"
            f"   {self.ratio:8.1f} x{gate}{share}"
        )


FIGURES: list[Figure] = []


def best_s(call: Callable[[], Any], rounds: int) -> float:
    """The shortest of some calls, in seconds, after one that is not counted.

    A call that takes seconds is made once: nothing of what it needs to warm up takes as long.
    """
    times = []
    for number in range(rounds + 1):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
        if number == 0 and times[0] > 2.0:
            return times[0]
    return min(times[1:])


def compare(
    benchmark: Any,
    work: str,
    own: Callable[[], Any],
    peers: dict[str, Callable[[], Any]],
    units: int,
    limit_s: float | None = None,
) -> None:
    """Time ``own`` by pytest-benchmark and the peers beside it; fail below the gates.

    ``limit_s`` is the time that this machine takes to read or copy what the work must, at the best.
    """
    benchmark.pedantic(own, rounds=7, warmup_rounds=2)
    own_s = float(benchmark.stats.stats.min)
    missed = []
    for name, peer in peers.items():
        figure = add(work, name, own_s / units, best_s(peer, 3) / units)
        figure.limit_share = None if limit_s is None else limit_s / own_s
        if figure.floor is not None and figure.ratio < figure.floor:
            missed.append(
                f"{work}: {figure.ratio:.2f} times {name}, at least {figure.floor:g} is wanted"
            )
    assert not missed, "; ".join(missed)


def add(work: str, peer: str, own_s: float, peer_s: float) -> Figure:
    """Keep a figure: seconds a row of the kernel's and of the peer's."""
    wanted = GATES.get(work, {}).get(peer)
    if isinstance(wanted, dict):
        gate, floor = wanted["gate"], wanted["floor"]
    else:
        gate = floor = wanted
    figure = Figure(
        work,
        peer,
        own_s * 1e9,
        peer_s * 1e9,
        peer_s / own_s,
        gate,
        None if floor is None else floor * SCALE,
    )
    FIGURES.append(figure)
    return figure


def write(path: Path, **about: Any) -> None:
    """Keep the run's figures as JSON."""
    path.parent.mkdir(exist_ok=True)
    content = {**about, "rows": ROWS, "figures": [asdict(figure) for figure in FIGURES]}
    path.write_text(json.dumps(content, indent=1) + "\n")
