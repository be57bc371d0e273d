"""``sidereal journal``: look at what a replication server keeps, without changing any of it."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sidereal.store.examine import Examination

_DIRECTORY = click.argument("directory", type=click.Path(path_type=Path))


@click.group(no_args_is_help=False)
def journal() -> None:
    """Look at a journal: show, verify, digest."""


@journal.command()
@_DIRECTORY
@click.option(
    "--after",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="POSITION",
    help="Only the records after this position.",
)
def show(directory: Path, after: int) -> int:
    """List the records in DIRECTORY, a line each: position, term, bytes, CRC-32, what it is."""
    from sidereal.apps.describe import describe
    from sidereal.store.examine import Examination

    with Examination(directory) as found:
        click.echo("position  term      bytes     crc32  record")
        for record in found.records():
            if record.position > after:
                click.echo(
                    f"{record.position:8}  {record.term:4}  {len(record.data):9}  "
                    f"{zlib.crc32(record.data):08x}  {describe(record.data)}"
                )
        return _verdict(found)


@journal.command()
@_DIRECTORY
def verify(directory: Path) -> int:
    """Check every checksum in DIRECTORY; the exit status is 0 only where all of it holds."""
    from sidereal.store.examine import Examination

    with Examination(directory) as found:
        if found.head is not None:
            click.echo(f"term {found.head.term}, position {found.head.end.position}")
        if found.snapshot is not None:
            parts = found.parts
            click.echo(
                f"{found.snapshot.file}: of position {found.snapshot.position}, "
                f"{len(parts)} parts, {sum(map(len, parts)):,} bytes"
            )
        commits = records = size = 0
        for commit in found.commits():
            commits += 1
            records += commit.count
            size += len(commit.body)
        click.echo(f"{records:,} records in {commits:,} commits, {size:,} bytes")
        if found.log is None:
            click.echo("a server is running here: its write-ahead log was not looked at")
        else:
            click.echo(f"write-ahead log: {found.log.frames:,} pages")
            if found.log.torn_bytes:
                click.echo(
                    f"and {found.log.torn_bytes:,} bytes of a commit that was never finished: "
                    "the next start drops them"
                )
        return _verdict(found)


@journal.command()
@_DIRECTORY
def digest(directory: Path) -> int:
    """Print a SHA-256 of the snapshot in DIRECTORY and of the records after it."""
    from sidereal.store.examine import Examination

    with Examination(directory) as found:
        total = found.digest()
        if not found.problems:
            click.echo(total)
        return _verdict(found)


def _verdict(found: Examination) -> int:
    """Say what is wrong, and return the exit status."""
    for problem in found.problems:
        click.echo(f"damaged: {problem}", err=True)
    return 1 if found.problems else 0
