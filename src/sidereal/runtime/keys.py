"""Key files: who may speak to a replication server, one secret a name.

A key is 32 random bytes, written as 64 hexadecimal digits in a file that only its owner
may read. A directory holds ``clients.key`` (all game clients), ``admin.key`` (operators)
and ``shard-NAME.key`` (one for each shard); in memory their names are ``clients``,
``admin`` and ``shard:NAME``. No error and no log line ever holds a key's bytes.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from sidereal.errors import ConfigError

KEY_BYTES = 32
"""A pre-shared key of the Noise framework is exactly this long."""

_MODE_MAX = 0o600
_HEX = re.compile(rf"[0-9A-Fa-f]{{{2 * KEY_BYTES}}}")
_NAME = re.compile(r"clients|admin|shard:(?P<shard>[A-Za-z0-9][A-Za-z0-9._-]{0,63})")
_FILE = re.compile(
    r"(?P<role>clients|admin)\.key|shard-(?P<shard>[A-Za-z0-9][A-Za-z0-9._-]{0,63})\.key"
)


def looks_like_a_key(text: str) -> bool:
    """Whether a text is a key itself, where the path of a key file was meant."""
    return _HEX.fullmatch(text.strip()) is not None


def hide(text: str) -> str:
    """The text with whatever could be a key left out: for messages and logs."""
    return _HEX.sub("(not shown)", text)


def create(directory: Path, names: Iterable[str]) -> list[Path]:
    """Write one new key for each name; an existing key is never overwritten.

    Parameters
    ----------
    directory
        Made, for its owner alone, where it does not exist.
    names
        ``clients``, ``admin`` or ``shard:NAME``.

    Returns
    -------
    list of Path
        The files written, in the order of the names.

    Raises
    ------
    ConfigError
        A name has another form, a file exists already, or the directory cannot be written.
    """
    files = [directory / _file_name(name) for name in names]
    for file in files:
        if file.exists():
            raise ConfigError(f"{file}: exists already: remove it first to replace the key")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in files:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE_MAX)
            with os.fdopen(handle, "w", encoding="ascii") as out:
                out.write(secrets.token_hex(KEY_BYTES) + "\n")
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be written: {error.strerror}") from error
    return files


def load(directory: Path) -> dict[str, bytes]:
    """Every key of a directory, by name, sorted.

    Raises
    ------
    ConfigError
        There is no such directory, no key in it, a ``.key`` file of another name, or a
        file that `read` refuses.
    """
    if not directory.is_dir():
        raise ConfigError(f"{directory}: no such directory of keys: {_advice(directory)}")
    keys = {}
    for file in sorted(directory.glob("*.key")):
        form = _FILE.fullmatch(file.name)
        if form is None:
            raise ConfigError(
                f"{file}: not a key's name: clients.key, admin.key or shard-NAME.key are"
            )
        keys[form["role"] or f"shard:{form['shard']}"] = read(file)
    if not keys:
        raise ConfigError(f"{directory}: holds no keys: {_advice(directory)}")
    return keys


def read(path: Path) -> bytes:
    """The 32 bytes of one key file.

    Raises
    ------
    ConfigError
        The file is missing, others may read or write it, or it does not hold a key.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(4 * KEY_BYTES)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}: {_advice(path.parent)}"
        ) from error
    if mode & ~_MODE_MAX:
        raise ConfigError(f"{path}: has mode {mode:04o}, a key needs 0600: chmod 600 {path}")
    text = content.decode("ascii", errors="replace").strip()
    if _HEX.fullmatch(text) is None:
        raise ConfigError(
            f"{path}: does not hold a key of {2 * KEY_BYTES} hexadecimal digits and nothing else: "
            "remove it and make a new one with 'sidereal keys new'"
        )
    return bytes.fromhex(text)


def _file_name(name: str) -> str:
    """The file of a key's name."""
    form = _NAME.fullmatch(name)
    if form is None:
        raise ConfigError(
            f"{name!r} is not a key's name: give clients, admin or shard:NAME "
            "(letters, digits, '.', '_' and '-', at most 64)"
        )
    return f"shard-{form['shard']}.key" if form["shard"] else f"{name}.key"


def _advice(directory: Path) -> str:
    """How to come by keys."""
    return f"make them with 'sidereal keys new --keys {directory} clients admin shard:NAME'"
