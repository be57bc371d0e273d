"""Key files: who may speak to a replication server, one secret a name.

A key is 32 random bytes, written as 64 hexadecimal digits in a file that only its owner
may read. A directory holds ``clients.key`` (all game clients), ``admin.key`` (operators)
and ``shard-NAME.key`` (one for each shard); in memory their names are ``clients``,
``admin`` and ``shard:NAME``. No error and no log line ever holds a key's bytes.

While a key is being replaced its file has two lines: the new key, with which its owner
connects from now on, and the old one, which is still good. `Keyring` and `KeyFile` read
files again when they change, so no process is started again for it.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sidereal.errors import ConfigError
from sidereal.limits import KEYS_PER_NAME_MAX

log = logging.getLogger("sidereal.keys")

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


def rotate(directory: Path, names: Iterable[str]) -> list[Path]:
    """Put a new key in front of each name's own, which stays good until `retire`.

    Returns the files. Raises `ConfigError` where a name has another form, has no key, or
    has two already; then nothing is changed.
    """
    files = [directory / _file_name(name) for name in names]
    known = [read_all(file) for file in files]
    for file, keys in zip(files, known, strict=True):
        if len(keys) >= KEYS_PER_NAME_MAX:
            raise ConfigError(
                f"{file}: holds a new key and an old one already: once all who use it have "
                "the new one, end that with 'sidereal keys retire'"
            )
    for file, keys in zip(files, known, strict=True):
        _replace(file, (secrets.token_bytes(KEY_BYTES), *keys))
    return files


def retire(directory: Path, names: Iterable[str]) -> list[Path]:
    """Leave each name with its new key alone.

    Returns the files. Raises `ConfigError` where a name has another form or has no key.
    """
    files = [directory / _file_name(name) for name in names]
    known = [read(file) for file in files]
    for file, key in zip(files, known, strict=True):
        _replace(file, (key,))
    return files


def _replace(file: Path, keys: tuple[bytes, ...]) -> None:
    """Write a key file anew, at once: whoever reads it meanwhile sees the old or the new."""
    beside = file.with_name(f".{file.name}.new")
    try:
        beside.unlink(missing_ok=True)
        owner = file.stat()
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE_MAX)
        os.fchown(handle, owner.st_uid, owner.st_gid)
        with os.fdopen(handle, "w", encoding="ascii") as out:
            out.writelines(key.hex() + "\n" for key in keys)
            out.flush()
            os.fsync(handle)
        beside.replace(file)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from error


LOOK_S = 0.5
"""A look costs 0.1 ms, and anybody who has a cookie can ask for one."""


class Keyring:
    """The keys of a directory, as they are by now.

    Raises `ConfigError` as `load` does, at first; what is wrong later is logged, and the
    keys that were read before stay good. The directory is looked at once in `look_s` seconds,
    however many strangers ask.
    """

    def __init__(self, directory: Path, look_s: float = LOOK_S) -> None:
        self._directory = directory
        self._look_s = look_s
        self._look_at = time.monotonic() + look_s
        self._seen = _look(directory)
        self._keys = load(directory)

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, name: str) -> tuple[bytes, ...] | None:
        """Return the keys that are good under a name, the new one first; None for none."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + self._look_s
            self._read_again()
        return self._keys.get(name)

    def _read_again(self) -> None:
        try:
            seen = _look(self._directory)
            if seen != self._seen:
                self._seen = seen
                self._keys = load(self._directory)
                log.info("read %d keys again", len(self._keys))
        except (ConfigError, OSError) as error:
            log.warning("the keys as they were stay good: %s", error)


class KeyFile:
    """The key of one file, as it is by now: for whoever connects with it again and again.

    Raises `ConfigError` as `read` does, at first; later the last good key is used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key = read(path)

    def __call__(self) -> bytes:
        """Return the key to connect with."""
        try:
            self._key = read(self._path)
        except ConfigError as error:
            log.warning("the key as it was is used: %s", error)
        return self._key


def _look(directory: Path) -> tuple[tuple[str, int, int], ...]:
    """What shows that a key, or who may read it, has changed, without reading any."""
    found = []
    for file in sorted(directory.glob("*.key")):
        with suppress(FileNotFoundError):  # replaced at this moment: the next look sees it
            about = file.stat()
            found.append((file.name, max(about.st_mtime_ns, about.st_ctime_ns), about.st_ino))
    return tuple(found)


def load(directory: Path) -> dict[str, tuple[bytes, ...]]:
    """Every key of a directory, by name, sorted: the new one first where there are two.

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
        keys[form["role"] or f"shard:{form['shard']}"] = read_all(file)
    if not keys:
        raise ConfigError(f"{directory}: holds no keys: {_advice(directory)}")
    return keys


def read(path: Path) -> bytes:
    """The 32 bytes of the key to connect with: the first of a key file.

    Raises
    ------
    ConfigError
        As `read_all`.
    """
    return read_all(path)[0]


def read_all(path: Path) -> tuple[bytes, ...]:
    """The keys of one key file: one, or the new one and the one that it replaces.

    Raises
    ------
    ConfigError
        The file is missing, others may read or write it, or it does not hold a key.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(4 * KEY_BYTES * KEYS_PER_NAME_MAX)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}: {_advice(path.parent)}"
        ) from error
    if mode & ~_MODE_MAX:
        raise ConfigError(f"{path}: has mode {mode:04o}, a key needs 0600: chmod 600 {path}")
    lines = content.decode("ascii", errors="replace").split()
    good = all(_HEX.fullmatch(line) is not None for line in lines)
    if not good or not 0 < len(set(lines)) == len(lines) <= KEYS_PER_NAME_MAX:
        raise ConfigError(
            f"{path}: does not hold a key of {2 * KEY_BYTES} hexadecimal digits (or two, the new "
            "one first) and nothing else: remove it and make a new one with 'sidereal keys new'"
        )
    return tuple(bytes.fromhex(line) for line in lines)


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
