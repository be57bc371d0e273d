"""``sidereal demo``: a whole world of real processes on this machine, and an audit at the end."""

from __future__ import annotations

from pathlib import Path

import click

from sidereal.apps.values import Number
from sidereal.demo.options import CHAOS_ENTITIES, LOOPBACK_DATAGRAM_BYTES, DemoOptions
from sidereal.demo.strikes import KINDS, read
from sidereal.limits import DATAGRAM_BYTES_DEFAULT
from sidereal.transport import netsim
from sidereal.transport.settings import DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_MIN

_USUAL = DemoOptions()
_READABLE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
_WRITABLE = click.Path(dir_okay=False, writable=True, path_type=Path)


@click.command()
@click.option("--trace", type=_READABLE, help="Recorded movement: CSV, CSV.gz, Parquet or .npz.")
@click.option(
    "--simulation",
    default=_USUAL.simulation,
    show_default=True,
    metavar="NAME",
    help="trace, drift or flock.",
)
@click.option(
    "--entities",
    type=click.IntRange(1, 10_000_000),
    help=f"Alive at once.  [default: {_USUAL.entities}; {CHAOS_ENTITIES} with --chaos]",
)
@click.option(
    "--shards",
    type=click.IntRange(1, 64),
    default=_USUAL.shards,
    show_default=True,
    help="Shard processes.",
)
@click.option(
    "--tick-hz",
    type=Number(0.1, 1000),
    default=_USUAL.tick_hz,
    show_default=True,
    help="World ticks a second.",
)
@click.option(
    "--seconds",
    type=Number(1, 1e6),
    default=_USUAL.seconds,
    show_default=True,
    help="How long the world runs.",
)
@click.option(
    "--speed",
    type=Number(1e-3, 1e4),
    default=_USUAL.speed,
    show_default=True,
    help="How many times as fast as recorded.",
)
@click.option(
    "--sector-size",
    type=Number(1e-6, 1e9),
    default=_USUAL.sector_size,
    show_default=True,
    help="Side of a sector, in units of the trace.",
)
@click.option(
    "--crowd",
    type=Number(1e-3, 1e6),
    default=_USUAL.crowd,
    show_default=True,
    help="Entities a sector, on average.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=_USUAL.seed,
    show_default=True,
    help="The same seed is the same world.",
)
@click.option("--json", type=_WRITABLE, help="Write the report to this file too.")
@click.option(
    "--kill-shard",
    type=Number(0.1, 1e6),
    metavar="SECONDS",
    help="Kill one shard process after this many seconds.",
)
@click.option(
    "--chaos",
    metavar="KINDS",
    help=f"Strike at times that the seed decides: some of {','.join(KINDS)}.",
)
@click.option(
    "--netsim",
    metavar="SPEC",
    help="A bad network between shards and server: lan, wifi, mobile or awful, or properties as in"
    " loss=2%,delay=80ms,jitter=20ms,reorder=5%,duplicate=1%,rate=20mbit, or both.",
)
@click.option(
    "--datagram-bytes",
    type=click.IntRange(DATAGRAM_BYTES_MIN, DATAGRAM_BYTES_MAX),
    help="UDP payload of a full packet between shards and server."
    f"  [default: {LOOPBACK_DATAGRAM_BYTES}; {DATAGRAM_BYTES_DEFAULT} with --netsim]",
)
def demo(**flags: object) -> int:
    """Run a whole world here, and audit it.

    Real processes that talk UDP play recorded movement; at the end an audit says whether
    any entity was lost or simulated twice. The exit status is 0 only where it is content.
    """
    chaos = flags["chaos"]
    kinds = read(chaos) if isinstance(chaos, str) else ()
    if flags["entities"] is None:
        flags["entities"] = CHAOS_ENTITIES if kinds else _USUAL.entities
    flags["chaos"] = kinds
    options = DemoOptions(**flags)  # type: ignore[arg-type]  # click has checked each value
    if kinds and options.kill_shard is not None:
        raise click.UsageError("--kill-shard beside --chaos: name kill-shard among its kinds.")
    if options.kill_shard is not None and options.kill_shard >= options.seconds:
        raise click.UsageError(
            f"--kill-shard {options.kill_shard:g} is not before the end: "
            f"give less than the {options.seconds:g} s that the world runs."
        )
    if options.netsim is not None:
        netsim.parse(options.netsim)
    from sidereal.demo import launcher

    return launcher.run(options)
