"""What the runtime's tests share."""

from collections.abc import Callable, Iterator

import pytest

from runtime.table import Table


@pytest.fixture
def table() -> Iterator[Callable[..., Table]]:
    """Makes worlds, and ends them after the test."""
    made: list[Table] = []

    def make(*shards: str) -> Table:
        made.append(Table(*shards))
        return made[-1]

    yield make
    for each in made:
        each.close()
