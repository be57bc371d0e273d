"""docs/seed-table.md names modules and tests that exist."""

import ast
import re

import pytest

from house.tree import PACKAGE, ROOT, parsed

TABLE = ROOT / "docs" / "seed-table.md"
ROWS = [
    cells
    for line in TABLE.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| ---", "| the seed says"))
    for cells in [[cell.strip() for cell in line.strip("|").split(" | ")]]
]


def test_every_row_has_a_sentence_a_module_and_a_test() -> None:
    assert len(ROWS) > 50
    odd = [row for row in ROWS if len(row) != 3 or not all(row)]
    assert not odd, f"not three cells: {odd}"


@pytest.mark.parametrize("module", sorted({row[1] for row in ROWS}))
def test_its_modules_exist(module: str) -> None:
    named = re.findall(r"`([\w/.]+)`", module)
    missing = [path for path in named if not (PACKAGE / path).is_file()]
    assert named
    assert not missing, f"docs/seed-table.md names modules that are not there: {missing}"


@pytest.mark.parametrize("test", sorted({row[2] for row in ROWS}))
def test_its_tests_exist(test: str) -> None:
    file, _, function = test.strip("`").partition("::")
    path = ROOT / "tests" / file
    assert path.is_file(), f"docs/seed-table.md names {file}, which is not there"
    defined = [node.name for node in parsed(path).body if isinstance(node, ast.FunctionDef)]
    assert function in defined, f"{file} has no {function}"
