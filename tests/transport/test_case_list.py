"""docs/decisions/transport.md says where each case is tested: what it names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "decisions" / "transport.md"
CASES_MIN = 45


def named():
    """Each ``(file, test)`` of the page; a test without a file is of the file named before it."""
    file = None
    cases = PAGE.read_text(encoding="utf-8").split("## Where each case is tested")[1]
    for path, test in re.findall(r"`([\w/]+\.py)?(?:::)?(test_\w+)?`", cases):
        if path:
            file = path if "/" in path else f"tests/transport/{path}"
        if test:
            yield file, test


def test_every_test_that_the_list_of_cases_names_exists():
    found = list(named())
    assert len(found) > CASES_MIN
    missing = [
        f"{file}::{test}"
        for file, test in found
        if f"def {test}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert not missing
