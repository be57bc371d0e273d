"""The base of every message: a frozen struct, tagged by a small number, without field names."""

from typing import Annotated

import msgspec

from sidereal.limits import SECTOR_MAX

PROTOCOL_VERSION = 2
"""Both sides of a session must speak the same one; it rises when bytes change meaning."""


Coordinate = Annotated[int, msgspec.Meta(ge=-SECTOR_MAX, le=SECTOR_MAX)]
Coords = tuple[Coordinate, Coordinate]
"""A sector ``(x, y)``."""

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
"""How many of something there are; more than any world holds is no number but a mistake."""

Id = Annotated[int, msgspec.Meta(ge=0)]
"""An entity's id; what does not fit 64 bits does not parse."""


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One message. Field order is the wire format: append, never reorder."""
