"""The linters, once: the tests, pre-commit and continuous integration all read this table.

``python tests/house/linters.py`` runs them all, ``... NAME...`` only those named. The
versions are pinned in pyproject.toml (extra ``dev``), so one clone has one verdict.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # also when run as a script

from house.tree import CPP, ROOT, files, name


@dataclass(frozen=True, slots=True)
class Linter:
    """One tool, how to call it, and what to do when it complains."""

    name: str
    command: tuple[str, ...]
    remedy: str
    files: tuple[str, ...] = ()
    trailer: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    in_tests: bool = True


def _cpp() -> tuple[str, ...]:
    return tuple(name(path) for path in files(*CPP, under=("csrc",)))


def _kernel_sources() -> tuple[str, ...]:
    return tuple(name(path) for path in files(".cpp", under=("csrc/kernel/src",)))


LINTERS = (
    Linter(
        "lint-imports",
        ("lint-imports", "--no-cache"),
        "An import goes up or sideways, or a state machine meets a clock or a socket. Move the "
        "code to the floor that it belongs to, or pass the thing in (floors: ARCHITECTURE.md).",
        environment=(("PYTHONPATH", "src"),),  # this tree, not an installed copy
    ),
    Linter(
        "ruff check", ("ruff", "check", "--output-format=concise", "."), "Try: ruff check --fix ."
    ),
    Linter("ruff format", ("ruff", "format", "--check", "."), "Run: ruff format ."),
    Linter("mypy", ("mypy",), "Every public and private function is typed; mypy runs strict."),
    Linter(
        "clang-format",
        ("clang-format", "--dry-run", "--Werror"),
        "Run: clang-format -i on the files named.",
        files=_cpp(),
    ),
    Linter(
        "clang-tidy",
        ("clang-tidy", "--quiet"),
        "Mend what it names; a check that is wrong for this code is turned off in .clang-tidy.",
        files=_kernel_sources(),
        trailer=(
            "--",
            "-std=c++20",
            "-Icsrc/kernel/include",
            "-ffp-contract=off",
            "-DSIDEREAL_ISA=generic",
            '-DSIDEREAL_ISA_NAME="generic"',
        ),
        in_tests=False,  # seconds for each file: continuous integration has them
    ),
)


def run(linter: Linter) -> str:
    """Run one linter on the whole clone.

    Returns
    -------
    str
        Empty where it is content; otherwise what it said and what to do.
    """
    tool = Path(sys.executable).parent / linter.command[0]
    if not tool.exists():
        return f"{linter.command[0]} is not installed here. Run: pip install -e '.[dev]'"
    done = subprocess.run(
        [str(tool), *linter.command[1:], *linter.files, *linter.trailer],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1", **dict(linter.environment)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return ""
    return f"{done.stdout}{done.stderr}\n{linter.name}: {linter.remedy}"


def main(names: list[str]) -> int:
    """Run the linters named (all, where none is) and print one line for each."""
    known = {linter.name: linter for linter in LINTERS}
    unknown = [each for each in names if each not in known]
    if unknown:
        print(f"no linter is called {unknown[0]!r}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    complaints = 0
    for linter in [known[each] for each in names] or LINTERS:
        complaint = run(linter)
        complaints += bool(complaint)
        print(f"{linter.name}: {complaint or 'ok'}", flush=True)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
