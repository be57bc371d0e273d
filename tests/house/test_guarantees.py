"""docs/guarantees.md names, for each sentence, a test that exists, and says which ones are slow."""

import ast
import re

import pytest

from house.tree import ROOT, parsed

TEXT = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
PROMISED = TEXT.partition("## Promised")[2].partition("## Not promised")[0]
ROWS = re.findall(r"^\| (.+?) \| `(\S+)::(\w+)` \|$", PROMISED, re.MULTILINE)
HEADS = ("| sentence | test |", "| --- | --- |")


def test_every_promise_names_its_test() -> None:
    lines = [line for line in PROMISED.splitlines() if line.startswith("| ")]
    assert len(ROWS) == len([line for line in lines if line not in HEADS])
    assert len(ROWS) > 20


@pytest.mark.parametrize(("file", "function"), sorted({row[1:] for row in ROWS}))
def test_its_test_exists(file: str, function: str) -> None:
    defined = {
        node.name: node
        for node in parsed(ROOT / "tests" / file).body
        if isinstance(node, ast.FunctionDef)
    }
    assert function in defined, f"{file} has no {function}"
    slow = any(ast.unparse(mark) == "pytest.mark.slow" for mark in defined[function].decorator_list)
    said = all("(A slow test.)" in row[0] for row in ROWS if row[1:] == (file, function))
    assert slow == said, f"{function}: the page says of slow tests, and of no others, that they are"
