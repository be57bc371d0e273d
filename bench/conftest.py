"""The closing table, and bench/results/latest.json."""

from pathlib import Path
from typing import Any

import ratios
from sidereal import kernel


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not ratios.FIGURES:
        return
    ratios.write(Path(__file__).parent / "results" / "latest.json", isa=kernel.isa())
    terminalreporter.section(f"{ratios.ROWS:,} rows, {kernel.isa()}, one thread unless said")
    for figure in ratios.FIGURES:
        terminalreporter.line(figure.line())
