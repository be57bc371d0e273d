"""The closing table, and bench/results/latest.json."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import machine
import ratios
from sidereal import kernel


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not ratios.FIGURES:
        return
    memory = machine.bandwidth(ratios.ROWS * 8)
    path = Path(__file__).parent / "results" / "latest.json"
    ratios.write(path, isa=kernel.isa(), memory=asdict(memory))
    terminalreporter.section(f"{ratios.ROWS:,} rows, {kernel.isa()}, one thread unless said")
    terminalreporter.line(memory.line())
    for figure in ratios.FIGURES:
        terminalreporter.line(figure.line())
