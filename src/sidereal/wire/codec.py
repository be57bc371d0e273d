"""Messages to bytes and back.

A message is MessagePack: an array of its tag and its fields; columns are one
binary field each. Whatever does not parse into exactly one of the known
messages raises `ProtocolError`, which ends the link that sent it.
"""

from typing import Any, Union

import msgspec

from sidereal.errors import ProtocolError
from sidereal.wire import client_messages, operator_messages, shard_messages
from sidereal.wire.base import Message
from sidereal.world.columns import Columns


def _messages() -> list[type[Message]]:
    modules = (shard_messages, client_messages, operator_messages)
    found = [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Message) and value is not Message
    ]
    return sorted((m for m in found if m.__struct_config__.tag is not None), key=_tag)


def _tag(message: type[Message]) -> int:
    tag = message.__struct_config__.tag
    assert isinstance(tag, int)
    return tag


MESSAGES: dict[int, type[Message]] = {_tag(message): message for message in _messages()}
"""Every message by its tag."""


def columns_to_bytes(value: Any) -> bytes:
    """Encode what msgspec cannot: columns. An ``enc_hook``."""
    if isinstance(value, Columns):
        return value.to_bytes()
    raise TypeError(f"{type(value).__name__} cannot be encoded")


def columns_from_bytes(kind: type, value: Any) -> Any:
    """Decode columns. A ``dec_hook``."""
    if issubclass(kind, Columns) and isinstance(value, bytes):
        return kind.from_bytes(value)
    raise ProtocolError(f"{kind.__name__} came as {type(value).__name__}, not as bytes")


_encoder = msgspec.msgpack.Encoder(enc_hook=columns_to_bytes)
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(
    Union[tuple(MESSAGES.values())],  # noqa: UP007
    dec_hook=columns_from_bytes,
)


def encode(message: Message) -> bytes:
    """Return the bytes of `message`."""
    return _encoder.encode(message)


def decode(data: bytes) -> Message:
    """Return the message that `data` holds; raise `ProtocolError` where it holds none."""
    try:
        return _decoder.decode(data)
    except ProtocolError:
        raise
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        raise ProtocolError(f"malformed message of {len(data)} bytes: {error}") from error
