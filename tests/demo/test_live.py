"""The live view draws what it is told; without a terminal it logs every five seconds."""

import io
import re

import numpy as np
from rich.console import Console

from sidereal.demo.live import LiveView, ShardState, Snapshot, colour_of, sector_map

SHARDS = [
    ShardState(1, "north", "running", 3, 1234, 1234.0, 4.5),
    ShardState(2, "south", "dead", 1, 0, 0.0, 0.0),
]


def snapshot(seconds, handoffs=0, **more):
    return Snapshot(
        tick=int(seconds * 20),
        ticks=1200,
        seconds=seconds,
        entities=1234,
        handoffs=handoffs,
        shards=SHARDS,
        sector_x=np.array([-1, 0, 0, 1]),
        sector_y=np.array([0, 0, 1, 0]),
        sector_shard=np.array([1, 1, 2, -1]),
        **more,
    )


def test_without_a_terminal_a_line_every_five_seconds_and_notes_at_once():
    out = io.StringIO()
    with LiveView(Console(file=out, width=80)) as view:
        for tenth in range(121):
            notes = ["south died " + "of it " * 20] if tenth == 33 else []
            view.update(snapshot(tenth / 10, handoffs=tenth * 70, notes=notes), tenth * 10**8)
    lines = out.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[1].startswith("south died of it")
    assert [line.split()[0] for line in (lines[0], *lines[2:])] == ["0.0", "5.0", "10.0"]
    assert "tick 100/1200" in lines[2]
    assert "(700/s)" in lines[2]
    assert "1234/0" in lines[2]
    assert "\x1b" not in out.getvalue()


def test_in_a_terminal_it_shows_shards_progress_and_the_map():
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=True, color_system="256")
    with LiveView(console) as view:
        view.update(snapshot(0.0), 0)
        view.update(snapshot(2.0, handoffs=1400, notes=["south died"]), 2 * 10**9)
    text = out.getvalue()
    for words in ("700 handoffs/s", "north", "south died", "1,234", "4.5 ms", "dead"):
        assert words in text, words


def test_the_map_has_a_colour_for_each_owner_and_north_is_up():
    drawn = sector_map(snapshot(0.0))
    rows = drawn.plain.split("\n")
    assert rows == ["      ", "    ··"]
    styles = {span.start: str(span.style) for span in drawn.spans if span.style}
    assert styles == {
        2: f"on {colour_of(2)}",
        7: f"on {colour_of(1)}",
        9: f"on {colour_of(1)}",
    }


def test_no_line_of_the_view_is_wider_than_the_terminal():
    x, y = np.meshgrid(np.arange(60), np.arange(30))
    world = Snapshot(
        tick=1_199,
        ticks=1_200,
        seconds=59.9,
        entities=200_000,
        handoffs=120_000,
        migrations=120,
        activations=2_400,
        overruns=12,
        shards=SHARDS,
        sector_x=x.ravel(),
        sector_y=y.ravel(),
        sector_shard=np.ones(x.size, np.int64),
    )
    out = io.StringIO()
    console = Console(file=out, width=80, height=24, force_terminal=True, color_system=None)
    with LiveView(console) as view:
        view.update(world, 0)
    drawn = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", out.getvalue()).splitlines()
    assert len(drawn) <= 24
    assert max(map(len, drawn)) <= 80
    whole = "\n".join(line.rstrip() for line in drawn)
    assert set(drawn[2].strip()) <= set("━╸╺"), "the bar has a line of its own"
    assert re.search(r"shard +sectors +entities +load +tick\n", whole)
    assert "2,400 activations   12 server overruns" in whole
    assert "1,234  4.5 ms" in whole


def test_a_large_world_is_grouped_by_the_owner_of_most():
    x, y = np.meshgrid(np.arange(-100, 100), np.arange(-50, 50))
    shard = np.where(x < 0, 1, 2).ravel()
    drawn = sector_map(
        Snapshot(0, 1, 0.0, sector_x=x.ravel(), sector_y=y.ravel(), sector_shard=shard)
    )
    rows = drawn.plain.split("\n")
    assert len(rows) <= 25
    assert max(map(len, rows)) <= 2 * 37
    assert len(sector_map(Snapshot(0, 1, 0.0)).plain) == 0
