"""An answer for a person: plain values as lines, lists of records as tables."""

import io

from rich.console import Console

from sidereal.apps.show import show


def shown(answer: dict[str, object]) -> str:
    out = io.StringIO()
    show(answer, Console(file=out, width=80))
    return out.getvalue()


def test_values_are_lines_and_records_a_table() -> None:
    text = shown(
        {
            "tick": 1200,
            "load_mean": 12.3456789,
            "draining": False,
            "leader": None,
            "sectors": [],
            "counters": {"updates_stale": 17},
            "shards": [
                {"name": "east", "entities": 500},
                {"name": "west", "entities": 7, "sectors": [[0, 1], [2, 3]]},
            ],
        }
    )
    for line in ("tick: 1200", "load mean: 12.3457", "draining: no", "leader: -", "sectors: -"):
        assert line in text
    rows = [line.split() for line in text.splitlines()]
    assert ["name", "entities", "sectors"] in rows
    assert ["east", "500", "-"] in rows
    assert ["west", "7", "0,", "1,", "2,", "3"] in rows
    assert ["updates", "stale", "17"] in rows


def test_what_a_peer_calls_itself_is_no_markup() -> None:
    assert "[red]x[/]" in shown({"shards": [{"name": "[red]x[/]"}], "motd": "[red]x[/]"})


def test_nothing_is_cut_where_there_is_no_terminal():
    record = {f"column_{number}": "x" * 20 for number in range(12)}
    text = shown({"shards": [record]})
    assert all(f"column {number}" in text for number in range(12))
    assert text.count("x" * 20) == 12
