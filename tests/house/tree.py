"""What the house rules look at: the source tree of this clone, by kind of file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "sidereal"

PYTHON = (".py", ".pyi")
CYTHON = (".pyx", ".pxd")
CPP = (".cpp", ".hpp")


def files(
    *suffixes: str, under: tuple[str, ...] = ("src", "tests", "bench", "csrc", "model")
) -> list[Path]:
    """Files with one of the suffixes below the named top folders, in a fixed order."""
    found = [
        path
        for top in under
        for path in (ROOT / top).rglob("*")
        if path.suffix in suffixes and path.is_file() and "__pycache__" not in path.parts
    ]
    return sorted(found)


def prose() -> list[Path]:
    """The pages that people read, and the files that hold the house together."""
    top = [path for path in ROOT.iterdir() if path.suffix in (".md", ".toml", ".txt", ".yaml")]
    return sorted(top) + files(".md", under=("docs",)) + [ROOT / ".ci" / "run"]


def name(path: Path) -> str:
    """A path as a person would type it from the root of the clone."""
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a Python file (one parse for all rules)."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def packages() -> Iterator[Path]:
    """The packages that stand on a floor: the children of ``sidereal``."""
    yield from sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))
