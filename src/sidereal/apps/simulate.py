"""``sidereal simulate``: the whole protocol under faults, seed after seed, on a virtual clock."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sidereal.testing.campaign import Report
    from sidereal.testing.simulation import Outcome

PROGRESS_S = 2.0


@click.command()
@click.option("--seeds", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="The first.")
@click.option("--seed", type=click.IntRange(0), help="Only this one; where it fails, its story.")
@click.option("--jobs", type=click.IntRange(1), help="Processes at once.  [default: the cores]")
@click.option(
    "--faults", default="all", show_default=True, help="all, none, or names with commas between."
)
@click.option("--transport", is_flag=True, help="Links are real transport endpoints.")
@click.option("--coverage", is_flag=True, help="Print which fault met which phase, how often.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def simulate(
    seeds: int,
    first: int,
    seed: int | None,
    jobs: int | None,
    faults: str,
    transport: bool,
    coverage: bool,
    as_json: bool,
) -> int:
    """Live through seeds of faults, on a virtual clock.

    Each seed is a minute of a small world under its own faults, then healed; every
    invariant of ownership is checked all along. A seed that fails is made short, and
    its story is printed. Exit status 1: a seed failed.
    """
    from sidereal.testing import campaign
    from sidereal.testing.faults import chosen

    names = chosen(faults)
    which = range(first, first + seeds) if seed is None else [seed]
    told = _Progress(quiet=as_json)
    report = campaign.run(
        which,
        names,
        jobs=min(jobs or campaign.cores(), len(which)),
        transport=transport,
        progress=told.tell,
    )
    if as_json:
        click.echo(json.dumps(_document(report), indent=2))
    else:
        click.echo(report.summary())
        if report.thin:
            click.echo(f"thin seeds, with few handoffs or no lease that ended: {report.thin}")
        if coverage:
            click.echo(report.coverage.table())
            click.echo(report.coverage.shortfall(transport=transport))
    for outcome in report.failed[:1]:
        _tell_story(outcome, faults, transport, err=as_json)
    return 1 if report.failed else 0


class _Progress:
    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._told = time.monotonic()

    def tell(self, report: Report, outcome: Outcome) -> None:
        """Say how it goes, now and then, and each failure at once."""
        if outcome.violation is not None:
            line = f"seed {outcome.plan.seed} failed at {outcome.at_s:.3f} s: {outcome.violation}"
            click.echo(line, err=self._quiet)
        if not self._quiet and time.monotonic() - self._told >= PROGRESS_S:
            self._told = time.monotonic()
            click.echo(report.summary(), err=True)
            sys.stderr.flush()


def _document(report: Report) -> dict[str, Any]:
    from sidereal.testing.faults import FAULTS

    return {
        "ok": not report.failed,
        "seeds": report.seeds,
        "seeds_per_s": round(report.seeds_per_s, 3),
        "seeds_per_cpu_s": round(report.seeds_per_cpu_s, 3),
        "virtual_hours": round(report.virtual_s / 3600, 3),
        "strikes": report.strikes,
        "handoffs": report.handoffs,
        "leases_ended": report.lease_ends,
        "fences": report.fences,
        "restarts": report.restarts,
        "checks": report.checks,
        "thin": report.thin,
        "failed": [
            {"seed": o.plan.seed, "at_s": o.at_s, "violation": str(o.violation)}
            for o in report.failed
        ],
        "coverage": {
            fault.name: {
                phase: count
                for (number, phase), count in sorted(report.coverage.counts.items())
                if number == fault.number
            }
            for fault in FAULTS
        },
    }


def _tell_story(outcome: Outcome, faults: str, transport: bool, *, err: bool) -> None:
    from sidereal.testing.shrink import shrink

    again = f"sidereal simulate --seed {outcome.plan.seed}"
    if faults != "all":
        again += f" --faults {faults}"
    if transport:
        again += " --transport"
    click.echo(f"\nTo see seed {outcome.plan.seed} again: {again}", err=err)
    shrunk = shrink(outcome)
    plan = shrunk.outcome.plan
    click.echo(
        f"It fails in the same way with {len(plan.strikes)} of its {len(outcome.plan.strikes)}"
        f" strikes, after {shrunk.outcome.at_s:.3f} s ({shrunk.runs} lives lived to find that):",
        err=err,
    )
    for strike in plan.strikes:
        click.echo(f"  {strike}", err=err)
    click.echo("What happened:", err=err)
    for line in shrunk.lines:
        click.echo(f"  {line}", err=err)
