"""Sabotage that can be switched on: a line of a function, exchanged while a test runs.

A mutant names the text that it exchanges. Where the code changes, the mutant
says that it no longer fits, instead of passing for one that was killed.
"""

import inspect
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from unittest.mock import patch

from sidereal.testing.plan import draw
from sidereal.testing.simulation import Outcome, Simulation


@dataclass(frozen=True)
class Cut:
    """In `function` of `module` (``name`` or ``Class.name``), `old` becomes `new`."""

    module: str
    function: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """One fault of the protocol, as if somebody had written it so."""

    name: str
    words: str
    killed_by: tuple[str, ...]
    """The invariants that may find it; the first is the one that it is about."""
    cuts: tuple[Cut, ...]


@contextmanager
def sabotaged(mutant: Mutant) -> Iterator[None]:
    """Have the mutant's cuts made."""
    with ExitStack() as stack:
        for cut in mutant.cuts:
            stack.enter_context(_made(cut))
        yield


def _made(cut: Cut) -> Any:
    module = import_module(f"sidereal.{cut.module}")
    *owners, name = cut.function.split(".")
    owner: Any = module
    for each in owners:
        owner = getattr(owner, each)
    original = inspect.getattr_static(owner, name)
    function = original.__func__ if isinstance(original, staticmethod) else original
    source = getattr(function, "sabotaged", None) or textwrap.dedent(inspect.getsource(function))
    assert source.count(cut.old) == 1, f"{cut.module}.{cut.function} has no single {cut.old!r}"
    space: dict[str, Any] = {}
    source = source.replace(cut.old, cut.new)
    exec(compile(source, f"<sabotage of {cut.function}>", "exec"), vars(module), space)
    space[name].sabotaged = source  # for the next cut in the same function
    return patch.object(owner, name, space[name])


def hunt(mutant: Mutant, first: int, seeds: int) -> Outcome | None:
    """Live through seeds until one breaks an invariant; None where none does."""
    with sabotaged(mutant):
        for seed in range(first, first + seeds):
            outcome = Simulation(draw(seed)).run()
            if outcome.violation is not None:
                return outcome
    return None
