"""The closing table, and bench/results/latest.json."""

from pathlib import Path
from typing import Any

import ratios
from sidereal import kernel


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not ratios.FIGURES:
        return
    ratios.write(Path(__file__).parent / "results" / "latest.json")
    terminalreporter.section(f"{ratios.ROWS:,} rows, {kernel.isa()}, one thread")
    for figure in ratios.FIGURES:
        share = "" if figure.limit_share is None else f"  {figure.limit_share:4.0%} of memory"
        terminalreporter.line(
            f"{figure.work:20} {figure.own_ns:10.2f} ns   {figure.peer:9} {figure.peer_ns:10.1f} ns"
            f"   {figure.ratio:7.1f} x  (gate {figure.gate:g}){share}"
        )
