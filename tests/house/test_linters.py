"""Each linter of the table is content with this clone."""

import pytest

from house.linters import LINTERS, Linter, run

IN_TESTS = [linter for linter in LINTERS if linter.in_tests]


@pytest.mark.parametrize("linter", IN_TESTS, ids=[linter.name for linter in IN_TESTS])
def test_linter_is_content(linter: Linter) -> None:
    complaint = run(linter)
    assert not complaint, f"\n{complaint}"
