"""The base of every message: a frozen struct, tagged by a small number, without field names."""

import msgspec

PROTOCOL_VERSION = 1
"""Both sides of a session must speak the same one; it rises when bytes change meaning."""


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One message. Field order is the wire format: append, never reorder."""
