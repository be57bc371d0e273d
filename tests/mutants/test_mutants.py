"""The simulator kills what breaks the protocol: a checker that cannot fail proves nothing.

Each mutant is hunted from three beginnings; a run of all tests hunts from one,
and only those that die within a few seeds.
"""

import pytest

from mutants.catalogue import MUTANTS
from mutants.sabotage import Mutant, hunt, sabotaged

BEGINNINGS = (0, 10_000, 20_000)
SEEDS_MAX = 300


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_still_fits_the_code(mutant: Mutant):
    with sabotaged(mutant):
        pass


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", BEGINNINGS)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_is_killed_by_the_invariant_that_it_is_about(mutant: Mutant, first: int):
    outcome = hunt(mutant, first, SEEDS_MAX)
    assert outcome is not None, f"{SEEDS_MAX} seeds live with it: {mutant.words}"
    assert outcome.violation is not None
    assert outcome.violation.invariant in mutant.killed_by, outcome.violation
