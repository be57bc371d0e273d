"""Makes tests/vectors/transport.json from the code: packets, wrong epochs, a whole handshake.

``PYTHONPATH=tests python -m transport.vectors_made``; `test_vectors.py` reads it back.
"""

import json
from pathlib import Path
from typing import Any

from sidereal.transport import Endpoint, layout
from sidereal.transport.keys import KeyChain
from transport.pair import CLIENT, KEY, SECOND, SERVER, seeded
from transport.test_packets import MALFORMED

FILE = Path(__file__).resolve().parents[1] / "vectors" / "transport.json"
SECRET = bytes(range(100, 132))
CONNECTION = 0x01020304
FRAMES = {
    "a ping": b"\x01",
    "padding": b"\x01\x00\x00\x00",
    "a datagram": layout.DATAGRAM.pack(layout.FRAME_DATAGRAM, 3) + b"abc",
    "a sequenced datagram": layout.SEQUENCED.pack(layout.FRAME_SEQUENCED, 15, 2) + b"de",
    "control stream": layout.STREAM.pack(layout.FRAME_STREAM, 0, 0, 7) + b"\x03\x00\x00\x00one",
    "bulk far on": layout.STREAM.pack(layout.FRAME_STREAM, 1, 1 << 33, 2) + b"hi",
    "an ack": layout.ACK.pack(layout.FRAME_ACK, 70, 250, 1) + bytes([1]) + bytes(7),
    "credit": layout.CREDIT.pack(layout.FRAME_CREDIT, 1, 4_194_304),
    "farewell": layout.CLOSE.pack(layout.FRAME_CLOSE, 0, 3) + b"bye",
}


def packet(frames: bytes, number: int, cipher: Any, epoch: int | None = None) -> bytes:
    """Seal frames under a number, in its own epoch or in another one's key."""
    chain = KeyChain(SECRET, cipher)
    for before in range((number >> chain.shift if epoch is None else epoch) + 1):
        encrypt = chain.encryptor(before)
    head = layout.HEADER.pack((layout.VERSION << 4) | layout.DATA, CONNECTION, number & 0xFFFFFFFF)
    out = bytearray(len(frames) + layout.TAG_BYTES)
    encrypt(bytes(4) + number.to_bytes(8, "little"), frames, head, out)
    return head + bytes(out)


def handshake() -> list[dict[str, str]]:
    """A handshake between two endpoints whose randomness is `seeded`."""
    now, said = SECOND, []
    client = Endpoint(now=now, rng=seeded(1), psk_of=None)
    server = Endpoint(now=now, rng=seeded(2), psk_of={"shard": KEY}.get)
    client.connect(SERVER, "shard", KEY, now)
    for _ in range(3):
        for who, one, other, address in (
            ("client", client, server, CLIENT),
            ("server", server, client, SERVER),
        ):
            for data, _ in one.poll_transmit(now):
                said.append({"from": who, "bytes": data.hex()})
                other.receive([(data, address)], now)
    return said


def vectors() -> dict[str, Any]:
    """Everything in the file."""
    shift = KeyChain(SECRET, "aes-128-gcm").shift
    valid = [
        {"name": name, "cipher": cipher, "number": number, "frames": frames.hex(),
         "bytes": packet(frames, number, cipher).hex()}
        for cipher in ("aes-128-gcm", "chacha20-poly1305")
        for number, (name, frames) in enumerate(FRAMES.items())
    ] + [
        {"name": "the first of epoch 1", "cipher": "aes-128-gcm", "number": 1 << shift,
         "frames": "01", "bytes": packet(b"\x01", 1 << shift, "aes-128-gcm").hex()}
    ]  # fmt: skip
    malformed = [
        {"name": name, "cipher": "aes-128-gcm", "number": 0,
         "bytes": packet(frames, 0, "aes-128-gcm").hex()}
        for name, frames in MALFORMED.items()
    ]  # fmt: skip
    wrong = [
        {"name": "sealed in the epoch after its number's", "number": 0,
         "bytes": packet(b"\x01", 0, "aes-128-gcm", 1).hex()},
        {"name": "sealed in the epoch before its number's", "number": 1 << shift,
         "bytes": packet(b"\x01", 1 << shift, "aes-128-gcm", 0).hex()},
        {"name": "two epochs ahead", "number": 2 << shift,
         "bytes": packet(b"\x01", 2 << shift, "aes-128-gcm").hex()},
    ]  # fmt: skip
    return {
        "secret": SECRET.hex(), "connection_id": CONNECTION, "psk": KEY.hex(), "valid": valid,
        "malformed": malformed, "wrong_epoch": wrong, "handshake": handshake(),
    }  # fmt: skip


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1) + "\n")
