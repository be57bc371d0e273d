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
    assert any(row[1::2][:3] == ["name", "entities", "sectors"] for row in rows)
    assert any("east" in row and "500" in row for row in rows)
    assert any(row[1:-1] == ["updates", "stale", "│", "17"] for row in rows)
    assert any("west" in row and "7" in row for row in rows)


def test_what_a_peer_calls_itself_is_no_markup() -> None:
    assert "[red]x[/]" in shown({"shards": [{"name": "[red]x[/]"}], "motd": "[red]x[/]"})
