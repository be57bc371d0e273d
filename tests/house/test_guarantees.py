"""docs/guarantees.md names, for each sentence, a test that exists."""

import ast
import re

import pytest

from house.tree import ROOT, parsed

TEXT = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
PROMISED = TEXT.partition("## Promised")[2].partition("## Not promised")[0]
ROWS = re.findall(r"^\| (.+?) \| `(\S+)::(\w+)` \|$", PROMISED, re.MULTILINE)


def test_every_promise_names_its_test() -> None:
    lines = [line for line in PROMISED.splitlines() if line.startswith("| ")]
    assert len(ROWS) == len(lines) - 2
    assert len(ROWS) > 20


@pytest.mark.parametrize(("file", "function"), sorted({row[1:] for row in ROWS}))
def test_its_test_exists(file: str, function: str) -> None:
    defined = [
        node.name
        for node in parsed(ROOT / "tests" / file).body
        if isinstance(node, ast.FunctionDef)
    ]
    assert function in defined, f"{file} has no {function}"
