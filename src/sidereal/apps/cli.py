"""``sidereal``: the command line. Each command lives in its own file and loads when it is called.

Whatever a person gave wrongly ends in one line on standard error and exit status 2;
a traceback means a fault of Sidereal's own.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from sidereal.errors import SiderealError
from sidereal.runtime.signals import INTERRUPTED

COMMANDS = {
    "demo": "sidereal.apps.demo:demo",
    "replication": "sidereal.apps.replication:replication",
    "shard": "sidereal.apps.shard:shard",
    "keys": "sidereal.apps.keys:keys",
    "journal": "sidereal.apps.journal:journal",
    "status": "sidereal.apps.operate:status",
    "why": "sidereal.apps.operate:why",
    "migrate": "sidereal.apps.operate:migrate",
    "load": "sidereal.apps.operate:load",
    "unload": "sidereal.apps.operate:unload",
    "cordon": "sidereal.apps.operate:cordon",
    "uncordon": "sidereal.apps.operate:uncordon",
    "drain": "sidereal.apps.operate:drain",
    "simulate": "sidereal.apps.simulate:simulate",
}
"""Where each command is found, in the order in which ``--help`` lists them."""


class _Commands(click.Group):
    """A group that imports a command only to run it or to list it."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Every command, in the table's order."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.command(cls=_Commands)
@click.version_option(package_name="sidereal-sectors", message="sidereal %(version)s")
def sidereal() -> None:
    """A game world larger than one process."""


def main(args: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    args
        Words after the program's name; those of this process by default.

    Returns
    -------
    int
        The exit status: the command's own; 2 where it was asked for something that
        cannot be done; 130 where it was interrupted.
    """
    words = list(sys.argv[1:] if args is None else args) or ["--help"]
    try:
        status = sidereal.main(words, prog_name="sidereal", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        click.echo("sidereal: interrupted", err=True)
        return INTERRUPTED
    except click.UsageError as error:
        asked = error.ctx.command_path if error.ctx else "sidereal"
        return _refuse(f"{error.format_message()} Try: {asked} --help")
    except click.ClickException as error:
        return _refuse(error.format_message())
    except SiderealError as error:
        return _refuse(str(error))
    return status if isinstance(status, int) else 0


def _refuse(reason: str) -> int:
    """One line, whatever the reason holds, and the status of a refusal."""
    click.echo(f"sidereal: {' '.join(reason.split())}", err=True)
    return 2
