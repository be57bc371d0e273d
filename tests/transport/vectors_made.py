"""Makes tests/vectors/transport.json from the code: packets, wrong epochs, a whole handshake.

``PYTHONPATH=tests python -m transport.vectors_made``; `test_vectors.py` reads it back.
"""

import json
from pathlib import Path
from typing import Any

from sidereal.transport import Endpoint, TransportSettings, layout
from sidereal.transport.handshake import Parameters, parse_hello
from sidereal.transport.keys import KeyChain
from sidereal.transport.noise import NoiseNNpsk0
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


def drawing(seed: int, drawn: list[bytes]) -> Any:
    """`seeded`, and what it gives is kept."""
    rng = seeded(seed)

    def draw(size: int) -> bytes:
        drawn.append(rng(size))
        return drawn[-1]

    return draw


def handshake() -> tuple[list[dict[str, str]], dict[str, str]]:
    """A handshake between two endpoints whose randomness is `seeded`, and its private half."""
    now, said = SECOND, []
    drawn: dict[str, list[bytes]] = {"client": [], "server": []}
    client = Endpoint(now=now, rng=drawing(1, drawn["client"]), psk_of=None)
    server = Endpoint(now=now, rng=drawing(2, drawn["server"]), psk_of={"shard": KEY}.get)
    client.connect(SERVER, "shard", KEY, now)
    for _ in range(3):
        for who, one, other, address in (
            ("client", client, server, CLIENT),
            ("server", server, client, SERVER),
        ):
            for data, _ in one.poll_transmit(now):
                said.append({"from": who, "bytes": data.hex()})
                other.receive([(data, address)], now)
    ephemeral = {who: next(d for d in all_ if len(d) == 32) for who, all_ in drawn.items()}
    hello, accept = (
        bytes.fromhex([s["bytes"] for s in said if s["bytes"][1] == kind][-1]) for kind in "13"
    )
    parsed = parse_hello(hello)
    assert parsed is not None
    noise = NoiseNNpsk0(
        initiator=True, psk=KEY, prologue=parsed.bound, ephemeral=ephemeral["client"]
    )
    one = Parameters.of(TransportSettings(), int.from_bytes(hello[9:13], "little")).pack()
    assert noise.write(one) == parsed.noise
    other_payload = noise.read(accept[9:])
    there, back = noise.split()
    return said, {
        "client_ephemeral": ephemeral["client"].hex(),
        "server_ephemeral": ephemeral["server"].hex(),
        "prologue": parsed.bound.hex(),
        "client_payload": one.hex(),
        "server_payload": other_payload.hex(),
        "client_to_server_secret": there.hex(),
        "server_to_client_secret": back.hex(),
    }


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
    said, keys = handshake()
    return {
        "secret": SECRET.hex(), "connection_id": CONNECTION, "psk": KEY.hex(), "valid": valid,
        "malformed": malformed, "wrong_epoch": wrong, "handshake": said,
        "handshake_keys": keys,
    }  # fmt: skip


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1) + "\n")
