"""A failing plan becomes a short one that fails in the same way, and a story."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from sidereal.testing.links import Weather
from sidereal.testing.plan import Plan, Strike
from sidereal.testing.simulation import Outcome, Simulation, shortened
from sidereal.testing.story import Story

RUNS_MAX = 60
"""Lives that may be lived to find a shorter one."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The shortest plan that was found, what became of it, and the story."""

    outcome: Outcome
    runs: int
    lines: tuple[str, ...]


def live(plan: Plan) -> Outcome:
    """Live through a plan."""
    return Simulation(plan).run()


def shrink(
    failed: Outcome, runs_max: int = RUNS_MAX, run: Callable[[Plan], Outcome] = live
) -> Shrunk:
    """Make a failing plan smaller while it breaks the same invariant."""
    assert failed.violation is not None, "only a plan that fails can be shrunk"
    best, runs = failed, 0
    progress = True
    while progress and runs < runs_max:
        progress = False
        for smaller in _smaller(best):
            if runs >= runs_max:
                break
            runs += 1
            outcome = run(smaller)
            if outcome.violation and outcome.violation.invariant == failed.violation.invariant:
                best, progress = outcome, True
                break
    return Shrunk(best, runs, tuple(tell(best.plan)))


def tell(plan: Plan, lines_max: int = 40) -> list[str]:
    """Live through a failing plan once more, and return its story."""
    story = Story()
    simulation = Simulation(plan, story)
    story.simulation = simulation
    outcome = simulation.run()
    if outcome.violation is None:
        return ["nothing broke"]
    return [
        *story.told(outcome.violation, lines_max),
        f"{outcome.at_s:8.3f} s  {outcome.violation}",
    ]


def _smaller(outcome: Outcome) -> Iterator[Plan]:
    plan = outcome.plan
    if outcome.at_s + 0.2 < plan.seconds:
        yield shortened(plan, outcome.at_s + 0.1)
    for part in _cuts(plan.strikes):
        yield plan.without(part)
    for change in (
        {"orders": 0.0},
        {"births": 0.0},
        {"deaths": 0.0},
        {"teleports": 0.0},
        {"drift_ppm": 0},
        {"commit_ns": 0},
        {"ghosts": False},
        {"clients": 0},
        {"entities": plan.entities // 2},
        {"weather": Weather(plan.weather.delay_ns, 0, 0.0)},
    ):
        smaller = replace(plan, **change)
        if smaller != plan:
            yield smaller


def _cuts(strikes: tuple[Strike, ...]) -> Iterator[tuple[Strike, ...]]:
    """Leave out all, halves, quarters, single strikes."""
    size = len(strikes)
    while size:
        for start in range(0, len(strikes), size):
            yield strikes[:start] + strikes[start + size :]
        size //= 2
