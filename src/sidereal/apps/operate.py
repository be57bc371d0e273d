"""What an operator asks of a running world: its status, and that sectors move, come or go.

Each command is one question to the replication server, under the operators' key. With
``--json`` the answer is one JSON document; without, the same values for a person to read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sidereal.apps.values import AddressType, SectorType
from sidereal.ids import Sector

if TYPE_CHECKING:
    from sidereal.runtime.address import Address
    from sidereal.runtime.operator import Operator

# Sectors may begin with a minus sign, which is then no flag.
_SIGNED = {"ignore_unknown_options": True}


def _asks(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags that every question has."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Answer in JSON."),
        click.option(
            "--key",
            type=click.Path(path_type=Path),
            default=Path("keys/admin.key"),
            show_default=True,
            help="The operators' key.",
        ),
        click.option(
            "--server",
            type=AddressType(),
            default="127.0.0.1:7777",
            show_default=True,
            help="Where the replication server listens.",
        ),
    ):
        command = option(command)
    return command


def _ask(
    server: Address, key: Path, as_json: bool, question: Callable[[Operator], Mapping[str, Any]]
) -> None:
    """Connect, ask, print the answer."""
    from sidereal.runtime import keys

    secret = keys.read(key)
    from sidereal.runtime.operator import Operator

    with Operator(server, secret) as operator:
        answer = question(operator)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(answer))
    else:
        from sidereal.apps.show import show

        show(answer)


@click.command()
@_asks
def status(server: Address, key: Path, as_json: bool) -> None:
    """Shards, sectors, entities and load, now."""
    _ask(server, key, as_json, lambda operator: operator.status())


@click.command(context_settings=_SIGNED)
@click.argument("sector", type=SectorType())
@_asks
def why(sector: Sector, server: Address, key: Path, as_json: bool) -> None:
    """Why SECTOR (X,Y) is where it is."""
    _ask(server, key, as_json, lambda operator: operator.why(sector))


@click.command(context_settings=_SIGNED)
@click.argument("sector", type=SectorType())
@click.argument("shard")
@_asks
def migrate(sector: Sector, shard: str, server: Address, key: Path, as_json: bool) -> None:
    """Move SECTOR (X,Y) to another shard as it runs."""
    _ask(server, key, as_json, lambda operator: operator.migrate(sector, shard))


@click.command(context_settings=_SIGNED)
@click.argument("sector", type=SectorType())
@_asks
def load(sector: Sector, server: Address, key: Path, as_json: bool) -> None:
    """Activate SECTOR (X,Y) where it fits best."""
    _ask(server, key, as_json, lambda operator: operator.load(sector))


@click.command(context_settings=_SIGNED)
@click.argument("sector", type=SectorType())
@_asks
def unload(sector: Sector, server: Address, key: Path, as_json: bool) -> None:
    """Deactivate SECTOR (X,Y)."""
    _ask(server, key, as_json, lambda operator: operator.unload(sector))


@click.command()
@click.argument("shard")
@_asks
def cordon(shard: str, server: Address, key: Path, as_json: bool) -> None:
    """Give a shard no more sectors; it keeps those it has."""
    _ask(server, key, as_json, lambda operator: operator.cordon(shard))


@click.command()
@click.argument("shard")
@_asks
def uncordon(shard: str, server: Address, key: Path, as_json: bool) -> None:
    """Let a shard be given sectors again, after cordon or drain."""
    _ask(server, key, as_json, lambda operator: operator.uncordon(shard))


@click.command()
@click.argument("shard")
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Return once the shard has no sector; after so long, fail.",
)
@_asks
def drain(shard: str, wait: float, server: Address, key: Path, as_json: bool) -> None:
    """Move every sector off a shard, as it runs.

    It gets no more, and once it has none it can leave. The sectors move some at a time.
    """
    _ask(server, key, as_json, lambda operator: operator.drain(shard, wait_s=wait))
