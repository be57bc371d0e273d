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
GATES: dict[str, dict[str, float]] = tomllib.loads((HERE / "gates.toml").read_text())
SCALE = float(os.environ.get("SIDEREAL_BENCH_GATE", "1.0"))


@dataclass
class Figure:
    """One work against one peer; nanoseconds for each row (for a query: each centre)."""

    work: str
    peer: str
    own_ns: float
    peer_ns: float
    ratio: float
    gate: float
    limit_share: float | None = None


FIGURES: list[Figure] = []


def best_s(call: Callable[[], Any], rounds: int) -> float:
    """The shortest of some calls, in seconds, after one that is not counted."""
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def compare(
    benchmark: Any,
    work: str,
    own: Callable[[], Any],
    peers: dict[str, Callable[[], Any]],
    units: int,
    limit_s: float | None = None,
) -> None:
    """Time ``own`` by pytest-benchmark and the peers beside it; fail below the gates.

    ``limit_s`` is the time that memory alone would take.
    """
    benchmark.pedantic(own, rounds=7, warmup_rounds=1)
    own_s = float(benchmark.stats.stats.min)
    missed = []
    for name, peer in peers.items():
        peer_s = best_s(peer, 3)
        gate = GATES[work][name] * SCALE
        share = None if limit_s is None else limit_s / own_s
        figure = Figure(
            work, name, own_s / units * 1e9, peer_s / units * 1e9, peer_s / own_s, gate, share
        )
        FIGURES.append(figure)
        if figure.ratio < gate:
            missed.append(f"{work}: {figure.ratio:.1f} times {name}, the gate is {gate:g}")
    assert not missed, "; ".join(missed)


def write(path: Path) -> None:
    """Keep the run's figures as JSON."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([asdict(figure) for figure in FIGURES], indent=1) + "\n")
