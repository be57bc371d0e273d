"""An answer of the server, for a person: plain values as lines, lists of records as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

PIPED_COLUMNS = 1000
"""A file or a pipe has no width: nothing is cut there."""


def show(answer: Mapping[str, Any], console: Console | None = None) -> None:
    """Print an answer.

    Parameters
    ----------
    answer
        Values by name. A list of mappings becomes a table of one row each, its columns
        in the order in which they first occur; a mapping, a table of names and values.
    console
        Standard output by default.
    """
    out = console or Console()
    if not out.is_terminal:
        out.width = max(out.width, PIPED_COLUMNS)
    tables = {name: rows for name, value in answer.items() if (rows := _rows(value))}
    for name, value in answer.items():
        if name not in tables:
            out.print(f"{_words(name)}: {_cell(value)}", highlight=False)
    for name, rows in tables.items():
        columns = list(dict.fromkeys(column for row in rows for column in row))
        table = Table(title=_words(name), title_justify="left", title_style="bold", box=SIMPLE_HEAD)
        for column in columns:
            number = all(isinstance(row.get(column, 0), int | float) for row in rows)
            table.add_column(_words(column), justify="right" if number else "left")
        for row in rows:
            table.add_row(*(_cell(row.get(column)) for column in columns))
        out.print(table)


def _rows(value: object) -> list[Mapping[str, Any]]:
    """The rows of what is to be a table; none for a plain value."""
    if isinstance(value, Mapping):
        return [{"name": str(key).replace("_", " "), "value": each} for key, each in value.items()]
    if isinstance(value, list) and all(isinstance(row, Mapping) for row in value):
        return value
    return []


def _words(name: str) -> str:
    return escape(name.replace("_", " "))


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case list() | tuple():
            return ", ".join(_cell(each) for each in value) or "-"
        case _:
            return escape(str(value))
