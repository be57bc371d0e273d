"""The report as people read it: one table of figures, one of shards, and the reasons."""

import msgspec
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from sidereal.demo.report import Report

WAYS = {"both": "both ways", "out": "outwards", "in": "inwards"}

STAGE_NS_MIN = 2.0
"""Stages that cost less are in the JSON, and in the sum."""

PLAIN_WIDTH = 1000
"""Where nobody's window has a width, a figure keeps its line."""


def show(report: Report, console: Console) -> None:
    """Print a report; without a terminal the same as plain text."""
    tables = [_figures(report), _shards(report)]
    if report.costs:
        tables.append(_costs(report))
    if report.strikes:
        tables.append(_strikes(report))
    whole = Group(*tables, _verdict(report))
    if console.is_terminal:
        console.print(whole)
        return
    console.width = PLAIN_WIDTH
    with console.capture() as drawn:
        console.print(whole)
    lines = [line.rstrip() for line in drawn.get().splitlines()]
    print("\n".join(lines), file=console.file)


def _figures(report: Report) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    overruns = report.tick_overruns / max(report.ticks * (len(report.shards) + 1), 1)
    rows = [
        (
            "ran",
            f"{report.seconds:.1f} s, {report.ticks:,} ticks,"
            f" {report.tick_overruns:,} overruns ({overruns:.2%})",
        ),
        (
            "entities",
            f"{report.created:,} created = {report.live:,} live + {report.destroyed:,} destroyed"
            f" + {report.lost:,} lost; {report.duplicated:,} duplicated",
        ),
        (
            "ticks lived",
            f"{report.skipped_share:.4%} skipped ({_spread(report.skipped_ticks, '')} a handoff),"
            f" {report.repeated_ticks:,} repeated; {report.skipped_in_faults:,} skipped in faults",
        ),
        (
            "position error",
            _number(report.position_error_max, " units at most", "{:.2g}")
            if report.position_compared
            else "not compared: where this simulation moves an entity cannot be foreseen",
        ),
        (
            "handoffs",
            f"{report.handoffs:,} ({report.handoffs_per_s:,.0f}/s),"
            f" {_spread(report.handoff_ms, ' ms')};"
            f" {report.transitions_same_shard:,} crossings within a shard",
        ),
        (
            "sectors",
            f"{report.migrations:,} migrations ({_spread(report.migration_freeze_ms, ' ms')}"
            f" frozen), {report.activations:,} activations, {report.deactivations:,} deactivations",
        ),
        (
            "server's audit",
            f"{report.server_audit.sectors:,} sectors compared,"
            f" {report.server_audit.differences:,} differences",
        ),
        (
            "load",
            f"busiest shard over mean: {_number(report.imbalance.mean, '', '{:.2f}')} on average,"
            f" {_number(report.imbalance.max, '', '{:.2f}')} at most",
        ),
        (
            "flow",
            f"{report.updates_per_s:,.0f} updates/s, {report.bytes_per_s / 1e6:,.1f} MB/s;"
            f" replication server {report.memory_mb.replication:,.0f} MB",
        ),
    ]
    if (update := report.update_ns) is not None:
        rows.append(
            (
                "an update",
                f"{update.total:.0f} ns of processor time: {update.flow:.0f} from shard to record,"
                f" {update.coordination:.0f} crossings and coordination,"
                f" {update.game:.0f} the demo's game and audit",
            )
        )
    if (slowest := report.slowest_commit) is not None:
        rows.append(("journal", f"slowest commit {slowest.ms:.0f} ms, at {slowest.second:.1f} s"))
    if report.shards_lost or report.rehomed.entities:
        rows.append(
            (
                "faults",
                f"{_shards_lost(report.shards_lost)}; {report.rehomed.entities:,} entities re-homed"
                f" from states up to {report.rehomed.oldest_state_ms:.0f} ms old, absent"
                f" {_spread(report.rehomed.absent_ms, ' ms')};"
                f" {report.unlogged.ticks:,} ticks of {report.unlogged.entities:,} entities"
                " that no shard could log",
            )
        )
    for name, text in rows:
        table.add_row(name, text)
    return table


def _shards(report: Report) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("shard", "pid", "sectors", "entities", "tick p50", "tick p99", "memory"):
        table.add_column(heading, justify="left" if heading == "shard" else "right")
    for shard, memory in zip(report.shards, report.memory_mb.shards, strict=True):
        table.add_row(
            shard.name,
            str(shard.pid),
            f"{shard.sectors:,}",
            f"{shard.entities:,}",
            _number(shard.tick_ms.p50, " ms", "{:.1f}"),
            _number(shard.tick_ms.p99, " ms", "{:.1f}"),
            f"{memory:,.0f} MB",
        )
    return table


def _costs(report: Report) -> Table:
    table = Table(box=None, pad_edge=False)
    headings = ("processor time", "rows", "ns a row", "packets/s", "MB/s", "by stage, ns")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in headings[::5] else "right")
    for each in report.costs:
        stages = [f"{name} {ns:.0f}" for name, ns in each.ns_a_row.items() if ns >= STAGE_NS_MIN]
        table.add_row(
            each.process,
            f"{each.rows:,}",
            f"{each.total_ns:,.0f}",
            f"{each.packets_per_s:,.0f}",
            f"{each.bytes_per_s / 1e6:,.1f}",
            ", ".join(stages),
        )
    return table


def _at_most(allowed_s: float | None) -> str:
    return "" if allowed_s is None else f" (of {allowed_s:.2f})"


def _strikes(report: Report) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("strike", "second", "victim", "lasted", "stood still", "until", "re-homed"):
        table.add_column(heading, justify="left" if heading in ("strike", "victim") else "right")
    table.add_column("and")
    for strike in report.strikes:
        more = []
        if strike.way:
            more.append(f"cut {WAYS[strike.way]}")
        if strike.rehomed:
            more.append(f"states up to {strike.oldest_state_ms:.0f} ms old")
        if strike.restart is not None:
            served = _number(strike.restart.served_s, " s", "{:.1f}")
            stages = ", ".join(f"{n} {ms:.0f} ms" for n, ms in strike.restart.stages_ms.items())
            more.append(f"served again after {served} ({stages})")
        table.add_row(
            strike.kind,
            f"{strike.second:.1f}",
            strike.victim,
            f"{strike.lasted_s:.1f} s",
            f"{strike.stood_still:,}",
            f"{strike.recovered_s:.2f} s" + _at_most(strike.allowed_s),
            f"{strike.rehomed:,}",
            ", ".join(more),
        )
    return table


def _verdict(report: Report) -> Text:
    if report.ok:
        return Text("ok: every entity had exactly one owner in every tick", style="bold green")
    lines = "\n".join(f"  {line}" for line in report.why_not)
    return Text(f"NOT ok:\n{lines}", style="bold red")


def _shards_lost(number: int) -> str:
    return "1 shard lost" if number == 1 else f"{number} shards lost"


def _number(value: float | None, unit: str, form: str) -> str:
    return "none measured" if value is None else form.format(value) + unit


def _spread(quantiles: msgspec.Struct, unit: str) -> str:
    """``p50 1.0, p99 4.0, max 9.0 ms``."""
    values = {
        name: getattr(quantiles, name)
        for name in quantiles.__struct_fields__
        if getattr(quantiles, name) is not None
    }
    if not values:
        return "none measured"
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items()) + unit
