"""Writes docs/lives.md from the tables in the code: a diagram and a list for each life cycle.

``PYTHONPATH=tests python -m lives.page`` after a table changed; `test_lives.py` fails until then.
"""

import ast
import inspect
from enum import Enum
from pathlib import Path
from typing import Any

from sidereal.replication.lives import CLIENT_SESSION, ENTITY, HANDOFF
from sidereal.shard.lives import ENTITY_HERE, SECTOR_HERE, SESSION
from sidereal.transport import lifecycle
from sidereal.world.life import Life
from sidereal.world.sectors import SECTOR

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "lives.md"

LIVES: dict[str, Life[Any, Any]] = {
    "A sector, at the server": SECTOR,
    "A sector, at a shard": SECTOR_HERE,
    "An entity, at the server": ENTITY,
    "An entity, at a shard": ENTITY_HERE,
    "A row of a transition request": HANDOFF,
    "A shard's session, at the shard": SESSION,
    "A client's session, at the server": CLIENT_SESSION,
    "A connection of the transport": Life(
        "a connection", lifecycle.State.HELLO, lifecycle.TRANSITIONS
    ),
}

HEAD = """# Life cycles

Drawn from the tables in the code by `tests/lives/page.py`. What a table does not hold cannot
happen: it is an error with a name, and where a peer would have it, its link ends. Lives of
sectors, sessions and connections go through their table one by one. Entities and requests are
columns, judged many at a time; `tests/lives/test_lives.py` watches entities in simulated worlds
under all faults: none may take a step that is not here.
"""


def word(member: Enum) -> str:
    """A state's or an event's name as it is drawn."""
    return member.value if isinstance(member.value, str) else member.name.lower().replace("_", " ")


def said(kind: type[Enum]) -> dict[str, str]:
    """What the code says of each member, by its name."""
    body = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    last = ""
    for line in body.body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            last = line.targets[0].id
        elif last and isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant):
            found[last] = " ".join(str(line.value.value).split())
    return found


def drawn(life: Life[Any, Any]) -> list[str]:
    """One life's diagram and its list of events."""
    lines = ["```mermaid", "stateDiagram-v2"]
    states = list(type(life.start))
    lines += [f'    state "{word(state)}" as {state.name}' for state in states]
    lines.append(f"    [*] --> {life.start.name}")
    arrows: dict[tuple[Enum, Enum], list[str]] = {}
    for (state, event), after in life.transitions.items():
        arrows.setdefault((state, after), []).append(word(event))
    lines += [f"    {a.name} --> {b.name}: {', '.join(on)}" for (a, b), on in arrows.items()]
    lines.append("```")
    events = list(dict.fromkeys(event for _, event in life.transitions))
    meanings = said(type(events[0])) | said(type(life.start))
    told = [m for m in [*states, *events] if m.name in meanings]
    if told:
        lines += ["", "| | |", "| --- | --- |"]
        lines += [f"| {word(member)} | {meanings[member.name]} |" for member in told]
    return lines


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    for name, life in LIVES.items():
        lines += [f"## {name}", "", *drawn(life), ""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
