"""An address is read once, prints as it was written, and says what it wants."""

import pytest

from sidereal.errors import ConfigError
from sidereal.runtime.address import Address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:7777", "127.0.0.1", 7777),
        ("shards.example:0", "shards.example", 0),
        ("[::1]:65535", "::1", 65535),
    ],
)
def test_an_address_comes_back_as_written(text: str, host: str, port: int) -> None:
    address = Address.parse(text)
    assert address == (host, port)
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "host", ":1", "host:", "host:65536", "::1:7", "a b:1"])
def test_another_form_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="give HOST:PORT") as refused:
        Address.parse(text)
    assert repr(text) in str(refused.value)
