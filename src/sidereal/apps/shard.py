"""``sidereal shard``: a simulation as a shard process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="A TOML file.")
@click.option("--name", help="This shard's name, for which the server holds a key.")
@click.option("--server", metavar="HOST:PORT", help="Where the replication server listens.")
@click.option("--simulation", metavar="NAME", help="trace, drift, flock, or package.module:Class.")
@click.option("--key", metavar="FILE", help="Its key; keys/shard-NAME.key by default.")
@click.option("--verbose", is_flag=True, help="Log details too.")
def shard(config: Path | None, verbose: bool, **flags: str | None) -> int:
    """Run a shard until it is told to stop.

    A simulation's module is looked for in the working directory too.
    """
    sys.path.insert(0, os.getcwd())
    from sidereal.runtime import config as configuration
    from sidereal.runtime import logs

    chosen = configuration.load(config, {f"shard.{key}": value for key, value in flags.items()})
    logs.start(configuration.shard_of(chosen).name, verbose=verbose)
    from sidereal.runtime import shard_process

    return shard_process.run(chosen)
