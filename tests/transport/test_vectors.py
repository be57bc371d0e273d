"""tests/vectors/transport.json: what another implementation is to reproduce, read back here."""

import json

import pytest

from sidereal.transport.codec import COMPILED, READABLE
from sidereal.transport.keys import KeyChain
from sidereal.transport.noise import NoiseNNpsk0
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


def test_the_handshake_can_be_made_again_from_its_private_half():
    """As by another implementation: the server's side, and the packets that follow open."""
    keys = {name: bytes.fromhex(value) for name, value in VECTORS["handshake_keys"].items()}
    said = [(packet["from"], bytes.fromhex(packet["bytes"])) for packet in VECTORS["handshake"]]
    assert [data[0] for _, data in said[:4]] == [0x11, 0x12, 0x11, 0x13]
    hello, accept = said[2][1], said[3][1]
    noise = NoiseNNpsk0(
        initiator=False,
        psk=bytes.fromhex(VECTORS["psk"]),
        prologue=keys["prologue"],
        ephemeral=keys["server_ephemeral"],
    )
    at = 34 + hello[33]
    assert noise.read(hello[at : at + 64]) == keys["client_payload"]
    assert noise.write(keys["server_payload"]) == accept[9:]
    assert noise.split() == (keys["client_to_server_secret"], keys["server_to_client_secret"])
    followed = [(who, data) for who, data in said[4:] if data[0] == 0x15]
    assert followed
    for who, data in followed:
        other = "server" if who == "client" else "client"
        chain = KeyChain(keys[f"{who}_to_{other}_secret"], "aes-128-gcm")
        inbox = COMPILED.inbox()
        COMPILED.opener(chain).open_batch([data], 0, inbox)
        assert (inbox.opened, inbox.error) == (1, None)


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
