"""``sidereal keys``: make and replace the keys that shards, clients and operators need."""

from __future__ import annotations

from pathlib import Path

import click


@click.group(no_args_is_help=False)
def keys() -> None:
    """Make and replace keys."""


_names = click.argument("names", nargs=-1, required=True, metavar="NAME...")
_directory = click.option(
    "--keys",
    "directory",
    type=click.Path(path_type=Path),
    default=Path("keys"),
    show_default=True,
    help="The directory to write to.",
)


@keys.command()
@_names
@_directory
def new(names: tuple[str, ...], directory: Path) -> None:
    """Write a new key for each NAME: clients, admin, or shard:NAME.

    An existing key is never overwritten.
    """
    from sidereal.runtime import keys as files

    for file in files.create(directory, names):
        click.echo(file)


@keys.command()
@_names
@_directory
def rotate(names: tuple[str, ...], directory: Path) -> None:
    """Begin to replace the key of each NAME.

    Its file has two lines then: the new key, and the old one, which a running server goes
    on to accept. Copy the file to whoever connects with it, and end it with 'retire'.
    """
    from sidereal.runtime import keys as files

    for file in files.rotate(directory, names):
        click.echo(file)


@keys.command()
@_names
@_directory
def retire(names: tuple[str, ...], directory: Path) -> None:
    """End it: only the new key of each NAME stays good.

    Links that were made with the old one stay open until they break.
    """
    from sidereal.runtime import keys as files

    for file in files.retire(directory, names):
        click.echo(file)
