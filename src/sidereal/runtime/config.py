"""Configuration: one TOML file and flags become frozen structs that cannot be wrong.

Sections `[world]`, `[replication]` and `[shard]`, each a struct below: its fields are
the keys, its defaults the defaults. A flag wins over the file. What is unknown, of the
wrong type or out of bounds is a `ConfigError` of one line that names the file (or the
flag), the key, the value, the bound and what to do. Paths in a file are relative to it.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta, Struct

from sidereal.errors import ConfigError
from sidereal.limits import DATAGRAM_BYTES_DEFAULT
from sidereal.runtime.address import Address
from sidereal.runtime.keys import hide, looks_like_a_key
from sidereal.transport.settings import DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_MIN

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
DatagramBytes = Annotated[int, Meta(ge=DATAGRAM_BYTES_MIN, le=DATAGRAM_BYTES_MAX)]
"""UDP payload of a full packet, as large as the path carries whole: most of what a datagram costs,
it costs whatever its size. The smaller of both ends' holds."""

_SIMULATION = r"^[A-Za-z_][\w.]*(:[A-Za-z_]\w*)?$"


class WorldConfig(Struct, frozen=True, kw_only=True):
    """Space and time: the same for every process, told to shards when they register.

    Lengths are in units of the world; a margin and a radius are shares of the sector size.
    """

    sector_size: Annotated[float, Meta(ge=1e-6, le=1e9)] = 1000.0
    tick_hz: Annotated[float, Meta(ge=0.1, le=1000.0)] = 20.0
    handoff_margin: Annotated[float, Meta(ge=0.0, le=0.25)] = 0.02
    ghost_radius: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.1
    activation_horizon_s: Annotated[float, Meta(ge=0.0, le=60.0)] = 2.0


class ReplicationConfig(Struct, frozen=True, kw_only=True):
    """The replication server: where it listens, how long it waits, how often it looks."""

    listen: Address = Address("127.0.0.1", 7777)
    lease_s: Annotated[float, Meta(ge=0.1, le=600.0)] = 3.0
    heartbeat_s: Annotated[float, Meta(ge=0.01, le=60.0)] = 0.5
    drift_allowance_s: Annotated[float, Meta(ge=0.0, le=60.0)] = 0.1
    load_report_s: Annotated[float, Meta(ge=0.1, le=600.0)] = 5.0
    idle_unload_s: Annotated[float, Meta(ge=0.1, le=1e7)] = 300.0
    rebalance_s: Annotated[float, Meta(ge=0.1, le=1e6)] = 60.0
    keys: Path = Path("keys")
    store: Literal["sqlite", "memory"] = "sqlite"
    data: Path = Path("data")
    snapshot_s: Annotated[float, Meta(ge=0.1, le=3600.0)] = 5.0
    datagram_bytes: DatagramBytes = DATAGRAM_BYTES_DEFAULT


class ShardConfig(Struct, frozen=True, kw_only=True):
    """A shard: its name, its server, what it simulates, and the file of its key.

    Where no key file is named, it is ``shard-NAME.key`` in the directory of keys.
    """

    name: Annotated[str, Meta(pattern=_NAME)]
    simulation: Annotated[str, Meta(pattern=_SIMULATION)]
    server: Address = Address("127.0.0.1", 7777)
    key: Path
    datagram_bytes: DatagramBytes = DATAGRAM_BYTES_DEFAULT
    options: Mapping[str, Any] = {}


class Config(Struct, frozen=True, kw_only=True):
    """Everything; ``shard`` is None in a process that is not one."""

    world: WorldConfig = WorldConfig()
    replication: ReplicationConfig = ReplicationConfig()
    shard: ShardConfig | None = None


_SECTIONS: dict[str, type[Struct]] = {
    "world": WorldConfig,
    "replication": ReplicationConfig,
    "shard": ShardConfig,
}
_HINTS = {
    (section, key): hint
    for section, kind in _SECTIONS.items()
    for key, hint in get_type_hints(kind, include_extras=True).items()
}
_WANTED = {
    "listen": "HOST:PORT, such as '127.0.0.1:7777'",
    "server": "HOST:PORT, such as '127.0.0.1:7777'",
    "keys": "the path of a directory of key files, such as 'keys'",
    "key": "the path of a key file, such as 'keys/shard-east.key'",
    "name": "letters, digits, '.', '_' and '-', at most 64, such as 'east'",
    "simulation": "trace, drift, flock, or package.module:Class",
    "options": "a table, [shard.options]",
    "store": "sqlite, which outlives the process, or memory",
    "data": "the path of a directory for the world's journal, such as 'data'",
}


class _Given(Struct, frozen=True):
    """One value as someone gave it: where (for the error line), and what a path starts from."""

    value: object
    place: str
    base: Path


def load(file: Path | None, flags: Mapping[str, object] | None = None) -> Config:
    """Read a file, lay the flags over it, check everything.

    Parameters
    ----------
    file
        A TOML file, or None for the defaults.
    flags
        Values by ``"section.key"``, as in ``{"replication.listen": "0.0.0.0:7777"}``.
        A value of None is a flag that was not given.

    Raises
    ------
    ConfigError
        The file is missing or not TOML; a section or key is unknown; a value is of the
        wrong type or out of bounds. One line, and never a key's bytes.
    """
    given = _read(file) if file is not None else {}
    for dotted, value in (flags or {}).items():
        if value is not None:
            section, key = dotted.split(".")
            given.setdefault(section, {})[key] = _Given(value, f"--{key}", Path())
    values = {
        section: {key: _value(section, key, entry) for key, entry in entries.items()}
        for section, entries in given.items()
    }
    source = str(file) if file is not None else "configuration"
    replication = ReplicationConfig(**values.get("replication", {}))
    _check_waits(replication, source)
    return Config(
        world=WorldConfig(**values.get("world", {})),
        replication=replication,
        shard=_shard(values["shard"], replication.keys, source) if "shard" in values else None,
    )


def shard_of(config: Config) -> ShardConfig:
    """The shard's section, for a process that cannot do without.

    Raises
    ------
    ConfigError
        Neither the file nor a flag says anything of a shard.
    """
    if config.shard is None:
        raise ConfigError("no shard is configured: give --name and --simulation, or [shard]")
    return config.shard


def _read(file: Path) -> dict[str, dict[str, _Given]]:
    """The file's values with their places; every section and key is a known one."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: not TOML in UTF-8: {hide(str(error))}") from error
    given: dict[str, dict[str, _Given]] = {}
    for section, entries in content.items():
        if section not in _SECTIONS:
            raise ConfigError(
                f"{file}: unknown section [{hide(section)}]: {_known(section, _SECTIONS)}"
            )
        if not isinstance(entries, dict):
            raise ConfigError(f"{file}: {section} is not a section: write [{section}]")
        keys = _SECTIONS[section].__struct_fields__
        for key in entries:
            if key not in keys:
                raise ConfigError(
                    f"{file}: [{section}] has no key {hide(repr(key))}: {_known(key, keys)}"
                )
        given[section] = {
            key: _Given(value, f"{file}: [{section}] {key} =", file.parent)
            for key, value in entries.items()
        }
    return given


def _known(word: str, known: Iterable[str]) -> str:
    """Words that help whoever mistyped one."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"


def _value(section: str, key: str, given: _Given) -> Any:
    """One value in its own type and bounds, or a `ConfigError` that names all of it."""
    value, hint = given.value, _HINTS[section, key]
    if isinstance(value, str) and looks_like_a_key(value):
        raise ConfigError(
            f"{given.place} (not shown) is a key itself: keep it in a file of mode 0600 and give "
            "the path of that"
        )
    try:
        if hint is Address:
            return Address.parse(msgspec.convert(value, str))
        if hint is Path:
            return given.base / msgspec.convert(str(value), Annotated[str, Meta(min_length=1)])
        converted = msgspec.convert(value, hint)
        if isinstance(converted, float) and not math.isfinite(converted):
            raise ConfigError("NaN passes every bound")
        return converted
    except (msgspec.ValidationError, ConfigError) as error:
        wanted = _WANTED.get(key) or _bounds(hint)
        raise ConfigError(
            f"{given.place} {hide(repr(value))} cannot be used: give {wanted}"
        ) from error


def _bounds(hint: Any) -> str:
    """The bounds of a number, in words."""
    meta: Meta = hint.__metadata__[0]
    return f"a number from {meta.ge:g} to {meta.le:g}"


def _shard(values: Mapping[str, Any], keys: Path, source: str) -> ShardConfig:
    """The shard's section, which alone has keys without a default."""
    for key in ("name", "simulation"):
        if key not in values:
            raise ConfigError(f"{source}: [shard] {key} is missing: give --{key} {_WANTED[key]}")
    return ShardConfig(**{"key": keys / f"shard-{values['name']}.key", **values})


def _check_waits(replication: ReplicationConfig, source: str) -> None:
    """Bounds between keys: a lease must survive a lost heartbeat, a clock must keep inside it."""
    heartbeat, lease = replication.heartbeat_s, replication.lease_s
    if lease < 3 * heartbeat:
        raise ConfigError(
            f"{source}: [replication] lease_s = {lease} is less than three heartbeats of "
            f"{heartbeat} s: give at least {3 * heartbeat:g}, or a shorter heartbeat_s"
        )
    if replication.drift_allowance_s >= lease:
        raise ConfigError(
            f"{source}: [replication] drift_allowance_s = {replication.drift_allowance_s} is not "
            f"below the lease of {lease} s: give less"
        )
