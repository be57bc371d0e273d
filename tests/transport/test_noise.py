"""The Noise handshake: against the public vectors, and against whoever tampers with it."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from sidereal.errors import HandshakeError
from sidereal.transport.noise import NoiseNNpsk0

VECTORS = json.loads((Path(__file__).parent / "vectors" / "noise_nnpsk0.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda v: v["protocol_name"])
def test_the_public_vectors_pass(vector):
    *_, cipher, digest = vector["protocol_name"].split("_")
    sides = [
        NoiseNNpsk0(
            initiator=role == "init",
            psk=bytes.fromhex(vector[f"{role}_psks"][0]),
            prologue=bytes.fromhex(vector[f"{role}_prologue"]),
            ephemeral=bytes.fromhex(vector[f"{role}_ephemeral"]),
            cipher=cipher,
            digest=digest,
        )
        for role in ("init", "resp")
    ]
    messages = [
        (bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in vector["messages"]
    ]
    for (payload, expected), writer, reader in zip(messages, sides, sides[::-1], strict=False):
        assert writer.write(payload) == expected
        assert reader.read(expected) == payload
    assert sides[0].split() == sides[1].split()
    for side in sides:
        assert side.handshake_hash.hex() == vector["handshake_hash"]
    # What follows travels in turns, each direction with its own key and count.
    aead, order = (AESGCM, "big") if cipher == "AESGCM" else (ChaCha20Poly1305, "little")
    for index, (payload, expected) in enumerate(messages[2:]):
        nonce = bytes(4) + (index // 2).to_bytes(8, order)
        assert aead(sides[0].split()[index % 2]).encrypt(nonce, payload, b"") == expected


def side(initiator=True, **changes):
    known = {"psk": b"k" * 32, "prologue": b"p", "ephemeral": bytes([7 + initiator]) * 32}
    return NoiseNNpsk0(initiator=initiator, **{**known, **changes})


def test_both_ends_agree_and_each_direction_has_its_own_secret():
    client, server = side(), side(False)
    assert server.read(client.write(b"hi")) == b"hi"
    assert client.read(server.write(b"ho")) == b"ho"
    assert client.split() == server.split()
    assert client.split()[0] != client.split()[1]


def test_fresh_keys_on_either_side_give_other_secrets():
    secrets = set()
    for mine, theirs in ((1, 2), (1, 3), (4, 2)):
        client = side(ephemeral=bytes([mine]) * 32)
        server = side(False, ephemeral=bytes([theirs]) * 32)
        server.read(client.write(b""))
        client.read(server.write(b""))
        secrets.update(client.split())
    assert len(secrets) == 6


@pytest.mark.parametrize("changes", [{"psk": b"K" * 32}, {"prologue": b"q"}])
def test_another_key_or_prologue_is_refused(changes):
    with pytest.raises(HandshakeError, match="another key"):
        side(False, **changes).read(side().write(b"payload"))


def test_each_byte_of_a_message_counts():
    message = side().write(b"payload")
    for at in range(len(message)):
        changed = message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]
        with pytest.raises(HandshakeError):
            side(False).read(changed)
    for size in range(len(message)):
        with pytest.raises(HandshakeError):
            side(False).read(message[:size])


def test_a_low_order_key_is_refused():
    """A peer that knows the psk could otherwise choose the shared secret alone."""
    client = side()
    client.write(b"")
    with pytest.raises(HandshakeError, match="low-order"):
        client.read(bytes(32) + bytes(16))
