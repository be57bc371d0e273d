"""Rules of the hand: one idea a file and said on top, nothing left half done, nothing hushed up."""

import ast
import re

from house.tree import CPP, CYTHON, PYTHON, ROOT, files, name, parsed, prose

LINES_MAX = 450
# Put together here, so that this file does not hold the words it looks for.
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]) + r")\b")
HUSHED = re.compile(r"except\b[^\n:]*:\s*(#[^\n]*)?\n?\s*pass\b")


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    long = {
        name(path): count
        for path in files(*PYTHON, *CYTHON, *CPP)
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > LINES_MAX
    }
    assert not long, f"more than {LINES_MAX} lines: split by idea: {long}"


def test_nothing_is_left_for_later() -> None:
    left = [
        f"{name(path)}:{number}: {line.strip()}"
        for path in [*files(*PYTHON, *CYTHON, *CPP, ".txt"), *prose()]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert not left, "finish it now, or leave it out:\n" + "\n".join(left)


def test_no_error_is_hushed_up() -> None:
    hushed = [
        f"{name(path)}:{node.lineno}"
        for path in files(".py")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ExceptHandler)
        and all(
            isinstance(line, ast.Pass)
            or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            for line in node.body
        )
    ] + [name(path) for path in files(".pyx") if HUSHED.search(path.read_text(encoding="utf-8"))]
    assert not hushed, (
        "an except clause does nothing: handle the error, let it pass upwards, or write "
        f"contextlib.suppress with the reason: {hushed}"
    )


def test_every_module_says_its_idea() -> None:
    silent = [
        name(path)
        for path in files(".py", ".pyi")
        if not (ast.get_docstring(parsed(path)) or "").strip()
    ] + [
        name(path)
        for path in files(".pyx")
        if not re.match(r"(\s*#[^\n]*\n)*\s*\"\"\"\S", path.read_text(encoding="utf-8"))
    ]
    assert not silent, f"no docstring on top, which says the one idea of the file: {silent}"


def test_every_kernel_file_says_its_idea() -> None:
    silent = [
        name(path)
        for path in files(*CPP, under=("csrc",))
        if not re.match(r"\s*(#pragma once\s*)?(//|/\*)", path.read_text(encoding="utf-8"))
    ]
    assert not silent, f"no comment on top, which says the one idea of the file: {silent}"


def test_ci_can_be_run() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111, "chmod +x .ci/run"
