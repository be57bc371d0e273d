"""tests/vectors/transport.json: what another implementation is to reproduce, read back here."""

import json

import pytest

from sidereal.transport.codec import COMPILED, READABLE
from sidereal.transport.keys import KeyChain
from sidereal.transport.packet_twin import Inbox, parse_frames
from transport import vectors_made as made

VECTORS = json.loads(made.FILE.read_text())


def opened(codec, vector, cipher="aes-128-gcm"):
    opener, inbox = codec.opener(KeyChain(made.SECRET, cipher)), codec.inbox()
    data = bytes.fromhex(vector["bytes"])
    opener.open_batch([data], 0, inbox)
    return inbox


def findings(inbox):
    return inbox.datagrams, inbox.segments, inbox.acks, inbox.credits, inbox.close, inbox.error


def test_the_file_is_what_the_code_makes():
    assert made.vectors() == VECTORS, "run: PYTHONPATH=tests python -m transport.vectors_made"


@pytest.mark.parametrize("codec", [COMPILED, READABLE])
def test_valid_packets_open_to_their_frames(codec):
    for vector in VECTORS["valid"]:
        inbox, plain = opened(codec, vector, vector["cipher"]), Inbox()
        parse_frames(bytes.fromhex(vector["frames"]), plain, vector["number"], {})
        assert inbox.opened == 1
        assert findings(inbox) == findings(plain), vector["name"]


@pytest.mark.parametrize("codec", [COMPILED, READABLE])
def test_malformed_packets_open_to_an_error(codec):
    for vector in VECTORS["malformed"]:
        assert opened(codec, vector).error, vector["name"]


@pytest.mark.parametrize("codec", [COMPILED, READABLE])
def test_packets_of_a_wrong_epoch_are_counted_as_forged(codec):
    for vector in VECTORS["wrong_epoch"]:
        inbox = opened(codec, vector)
        assert (inbox.opened, inbox.forged) == (0, 1), vector["name"]
