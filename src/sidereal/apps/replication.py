"""``sidereal replication``: the replication server as a process."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file.")
@click.option("--listen", metavar="HOST:PORT", help="Where to listen; port 0 is any free one.")
@click.option("--keys", metavar="DIRECTORY", help="Where the key files are.")
@click.option("--data", metavar="DIRECTORY", help="Where the world's journal is kept.")
@click.option("--verbose", is_flag=True, help="Log details too.")
def replication(
    config: Path | None, listen: str | None, keys: str | None, data: str | None, verbose: bool
) -> int:
    """Run a replication server until it is told to stop."""
    from sidereal.runtime import config as configuration
    from sidereal.runtime import logs

    flags = {"replication.listen": listen, "replication.keys": keys, "replication.data": data}
    chosen = configuration.load(config, flags)
    logs.start("replication", verbose=verbose)
    from sidereal.runtime import replication_process

    return replication_process.run(chosen)
