"""``sidereal keys``: make the keys that shards, clients and operators need."""

from __future__ import annotations

from pathlib import Path

import click


@click.group(no_args_is_help=False)
def keys() -> None:
    """Make keys."""


@keys.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--keys",
    "directory",
    type=click.Path(path_type=Path),
    default=Path("keys"),
    show_default=True,
    help="The directory to write to.",
)
def new(names: tuple[str, ...], directory: Path) -> None:
    """Write a new key for each NAME: clients, admin, or shard:NAME.

    An existing key is never overwritten.
    """
    from sidereal.runtime import keys as files

    for file in files.create(directory, names):
        click.echo(file)
