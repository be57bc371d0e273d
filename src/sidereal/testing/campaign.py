"""Many seeds, on several processes: what was lived through, what broke, what struck where."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing import get_context

from sidereal.testing.coverage import Coverage
from sidereal.testing.plan import draw
from sidereal.testing.simulation import Outcome, Simulation
from sidereal.world.rules import NS_PER_S

HANDOFFS_MIN = 50
"""A seed with fewer is thin."""

AHEAD = 2
"""Seeds given to each process beyond the one that it lives through."""


@dataclass(slots=True)
class Report:
    """What a campaign has come to so far."""

    seeds: int = 0
    virtual_s: float = 0.0
    real_s: float = 0.0
    cpu_s: float = 0.0
    handoffs: int = 0
    lease_ends: int = 0
    fences: int = 0
    restarts: int = 0
    checks: int = 0
    strikes: int = 0
    thin: list[int] = field(default_factory=list)
    """Seeds without enough handoffs, or without a lease that ended."""
    failed: list[Outcome] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)

    @property
    def seeds_per_s(self) -> float:
        """How fast, in all processes together."""
        return self.seeds / self.real_s if self.real_s else 0.0

    @property
    def seeds_per_cpu_s(self) -> float:
        """How fast on one core that does nothing else."""
        return self.seeds / self.cpu_s if self.cpu_s else 0.0

    def add(self, outcome: Outcome, cpu_s: float) -> None:
        """Take a seed's outcome in."""
        self.seeds += 1
        self.cpu_s += cpu_s
        self.virtual_s += outcome.at_s
        self.handoffs += outcome.handoffs
        self.lease_ends += outcome.lease_ends
        self.fences += outcome.fences
        self.restarts += outcome.restarts
        self.checks += outcome.checks
        self.strikes += len(outcome.struck)
        self.coverage.add(outcome.coverage)
        if outcome.violation is not None:
            self.failed.append(outcome)
        elif outcome.handoffs < HANDOFFS_MIN or not outcome.lease_ends + outcome.fences:
            self.thin.append(outcome.plan.seed)

    def summary(self) -> str:
        """Return one line."""
        return (
            f"{self.seeds} seeds, {self.seeds_per_s:.2f} a second"
            f" ({self.seeds_per_cpu_s:.2f} a second of a core),"
            f" {self.virtual_s / 3600:.2f} virtual hours, {self.strikes} strikes,"
            f" {self.handoffs} handoffs, {self.lease_ends} leases ended, {self.fences} fenced,"
            f" {self.restarts} restarts, {self.checks} checks, {len(self.failed)} failed"
        )


def one(seed: int, faults: tuple[str, ...], transport: bool) -> tuple[Outcome, float]:
    """Live through one seed; return what became of it, and the seconds of a core it took."""
    logging.getLogger("sidereal").addHandler(logging.NullHandler())  # torn tails are wanted here
    began = time.process_time_ns()
    outcome = Simulation(draw(seed, faults, transport=transport)).run()
    return outcome, (time.process_time_ns() - began) / NS_PER_S


def run(
    seeds: Iterable[int],
    faults: tuple[str, ...],
    *,
    jobs: int = 1,
    transport: bool = False,
    progress: Callable[[Report, Outcome], None] | None = None,
) -> Report:
    """Live through seeds, `jobs` at a time.

    Parameters
    ----------
    seeds
        Which.
    faults
        Their names; see `sidereal.testing.faults.chosen`.
    jobs
        Processes; one runs in this one.
    transport
        Whether links are real transport endpoints over simulated datagrams.
    progress
        Told after each seed, with its outcome.
    """
    report, began = Report(), time.monotonic_ns()
    results = (
        (one(seed, faults, transport) for seed in seeds)
        if jobs <= 1
        else _parallel(list(seeds), faults, jobs, transport)
    )
    for outcome, cpu_s in results:
        report.add(outcome, cpu_s)
        report.real_s = (time.monotonic_ns() - began) / NS_PER_S
        if progress is not None:
            progress(report, outcome)
    return report


def _parallel(
    seeds: list[int], faults: tuple[str, ...], jobs: int, transport: bool
) -> Iterator[tuple[Outcome, float]]:
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        left = iter(seeds)
        running: set[Future[tuple[Outcome, float]]] = set()
        while True:
            for seed in left:
                running.add(pool.submit(one, seed, faults, transport))
                if len(running) >= jobs * (1 + AHEAD):
                    break
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


def cores() -> int:
    """Return how many processes this machine can run at once."""
    return len(os.sched_getaffinity(0))
