"""What a person is shown of one record of the journal."""

from sidereal.errors import StoreError
from sidereal.replication import records
from sidereal.world.columns import Columns


def describe(record: bytes) -> str:
    """Return a record in words, on one line."""
    try:
        decoded = records.decode(record)
    except StoreError:
        return f"not a record of this version: {len(record):,} bytes"
    parts = [f"{name}={_short(getattr(decoded, name))}" for name in decoded.__struct_fields__]
    return f"{type(decoded).__name__} {' '.join(parts)}"


def _short(value: object) -> str:
    match value:
        case Columns() | list() if len(value) > 3 or isinstance(value, Columns):
            return f"{len(value)} rows"
        case bytes():
            return f"{len(value)} bytes"
        case records.Began():
            return f"term {value.term}"
        case _:
            return str(value)
