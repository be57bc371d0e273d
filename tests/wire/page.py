"""Writes docs/messages.md and tests/vectors/messages.json from the code: every message, its bytes.

``PYTHONPATH=tests python -m wire.page`` after a message was added; `test_vectors.py` fails
until then.
"""

import collections.abc
import json
import types
import typing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from sidereal.wire import codec
from sidereal.world.columns import Columns

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "messages.md"
VECTORS = ROOT / "tests" / "vectors" / "messages.json"

HEAD = """# Every message and its bytes

Made from the code by `tests/wire/page.py`; `tests/vectors/messages.json` has one of each, and
broken ones. A message is a MessagePack array: its tag, then its fields in this order. A nested
struct is an array of its fields, or a map by name where it says so; a tuple is an array.
*Columns* are one binary field: `u32` rows, `u32` bytes of states in all, then each column in
turn, all rows of it, little-endian; where states are named, `u32` lengths close the columns and
the states' bytes follow. A message of another number of fields, another type or with trailing
bytes ends its link. Fields are only ever appended, under a higher protocol version, which
`RegisterShard`, `ResumeShard` and `ClientHello` name first.
"""


def kinds() -> dict[str, type]:
    """All columns and nested structs that messages carry, by name."""
    found: dict[str, type] = {}

    def look(hint: Any) -> None:
        known = isinstance(hint, type) and issubclass(hint, Columns | msgspec.Struct)
        if known and hint.__name__ not in found:
            found[hint.__name__] = hint
            for inner in typing.get_type_hints(hint).values():
                if issubclass(hint, msgspec.Struct):
                    look(inner)
        for part in typing.get_args(hint):
            look(part)

    for message in codec.MESSAGES.values():
        for hint in typing.get_type_hints(message).values():
            look(hint)
    return {name: found[name] for name in sorted(found)}


def words(hint: Any) -> str:
    """A type in words."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return " or ".join(words(part) for part in typing.get_args(hint))
    if typing.get_origin(hint) is list:
        return f"array of {words(typing.get_args(hint)[0])}"
    if typing.get_origin(hint) is tuple:
        parts = typing.get_args(hint)
        if parts[-1] is Ellipsis:
            return f"array of {words(parts[0])}"
        return f"[{', '.join(words(part) for part in parts)}]"
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(repr(part) for part in typing.get_args(hint))
    return "nil" if hint is type(None) else getattr(hint, "__name__", str(hint))


def fields(struct: type) -> str:
    """All fields of a struct in words."""
    hints = typing.get_type_hints(struct)
    listed = [f"`{f.name}` {words(hints[f.name])}" for f in msgspec.structs.fields(struct)]
    return " · ".join(listed) or "nothing"


def page() -> str:
    """The whole page."""
    lines = [HEAD, "## Messages", "", "| tag | message | fields |", "| --- | --- | --- |"]
    for tag, message in codec.MESSAGES.items():
        lines.append(f"| {tag} | {message.__name__} | {fields(message)} |")
    lines += ["", "## Columns and structs", "", "| name | what it holds |", "| --- | --- |"]
    for name, kind in kinds().items():
        if issubclass(kind, Columns):
            listed = [
                f"`{column}` {dtype.strip('<')}{f' x {width}' if width > 1 else ''}"
                for column, (dtype, width) in kind.LAYOUT.items()
            ]
            listed += ["`lengths` u4", "`states` bytes"] if kind.RAGGED else []
            lines.append(f"| {name} | columns: {' · '.join(listed)} |")
        else:
            how = "array" if kind.__struct_config__.array_like else "map"
            lines.append(f"| {name} | {how}: {fields(kind)} |")
    return "\n".join(lines) + "\n"


def sample(hint: Any) -> Any:
    """A value of a type, the same each time."""
    if isinstance(hint, type) and issubclass(hint, Columns):
        columns = {n: np.zeros((2, w), d) for n, (d, w) in hint.LAYOUT.items()}
        for distinct in ("ids", "sectors", "coords", "sector"):
            if distinct in columns:
                columns[distinct][:, 0] = (1, 2)
        ragged = {"lengths": [1, 2], "states": [7, 8, 9]} if hint.RAGGED else {}
        return hint(**columns, **ragged)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        hints = typing.get_type_hints(hint, include_extras=True)
        return hint(**{f.name: sample(hints[f.name]) for f in msgspec.structs.fields(hint)})
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return sample(parts[0])
    if origin in (types.UnionType, typing.Union, typing.Literal):
        return parts[0] if origin is typing.Literal else sample(parts[0])
    if origin is list:
        return [sample(parts[0])] * 2
    if origin in (dict, collections.abc.Mapping):
        return {sample(parts[0]): sample(parts[1])}
    if origin is tuple:
        return (sample(parts[0]),) * 2 if parts[-1] is Ellipsis else tuple(map(sample, parts))
    plain = {int: 3, float: 1.5, str: "east", bool: True, bytes: b"\x01\x02", type(None): None}
    return plain[hint]


def vectors() -> dict[str, Any]:
    """One of each message, and what must be refused."""
    valid, malformed = [], []
    for tag, message in codec.MESSAGES.items():
        data = codec.encode(sample(message))
        valid.append({"tag": tag, "message": message.__name__, "bytes": data.hex()})
        loose = msgspec.msgpack.decode(data)
        cases = [("cut by a byte", data[:-1]), ("a byte too many", data + b"\x00")]
        cases.append(("a field too many", msgspec.msgpack.encode([*loose, None])))
        for why, bad in cases:
            malformed.append({"message": message.__name__, "why": why, "bytes": bad.hex()})
    unknown = msgspec.msgpack.encode([max(codec.MESSAGES) + 100])
    malformed.append({"message": "", "why": "an unknown tag", "bytes": unknown.hex()})
    malformed.append({"message": "", "why": "nothing at all", "bytes": ""})
    return {"valid": valid, "malformed": malformed}


def main() -> None:
    """Write both files."""
    PAGE.write_text(page())
    VECTORS.parent.mkdir(exist_ok=True)
    VECTORS.write_text(json.dumps(vectors(), indent=1) + "\n")


if __name__ == "__main__":
    main()
