"""docs/messages.md and tests/vectors/messages.json are what the code does, to the byte."""

import json

import pytest

from sidereal.errors import ProtocolError
from sidereal.wire import codec
from wire import page

VECTORS = json.loads(page.VECTORS.read_text())


def test_the_page_and_the_vectors_are_those_of_the_code():
    assert page.PAGE.read_text() == page.page(), "run: PYTHONPATH=tests python -m wire.page"
    assert page.vectors() == VECTORS, "run: PYTHONPATH=tests python -m wire.page"


def test_every_message_has_a_vector_that_comes_back_to_the_byte():
    assert [vector["tag"] for vector in VECTORS["valid"]] == list(codec.MESSAGES)
    for vector in VECTORS["valid"]:
        data = bytes.fromhex(vector["bytes"])
        message = codec.decode(data)
        assert type(message).__name__ == vector["message"]
        assert codec.encode(message) == data


@pytest.mark.parametrize("why", sorted({vector["why"] for vector in VECTORS["malformed"]}))
def test_malformed_vectors_are_refused(why):
    for vector in VECTORS["malformed"]:
        if vector["why"] == why:
            with pytest.raises(ProtocolError):
                codec.decode(bytes.fromhex(vector["bytes"]))
