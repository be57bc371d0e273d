"""What a fuzzer throws bytes at: each function takes any bytes, and raises if a promise is broken.

Each has seeds to start from. `fuzz.py` drives them with atheris; `test_fuzz_targets.py`
drives them with seeds and chance, so that they stay true.
"""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

from sidereal.errors import HandshakeError, ProtocolError
from sidereal.transport import BulkReceived, Endpoint, MessageReceived, TransportSettings, layout
from sidereal.transport import handshake as hs
from sidereal.transport._intake import open_some
from sidereal.transport.codec import COMPILED, READABLE, Codec
from sidereal.transport.cookie import CookieJar
from sidereal.transport.initiator import Initiator
from sidereal.transport.keys import KeyChain
from sidereal.transport.transmits import Transmit
from sidereal.wire import codec as wire

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
MS, SECOND = 1_000_000, 1_000_000_000
KEY = bytes(range(32))
PEER = ("10.0.0.1", 1000)
SETTINGS = TransportSettings(
    receive_window_bytes=8_000, send_queue_bytes=20_000, datagram_queue_bytes=8_000
)
FINDINGS = (
    "datagrams", "sequenced", "overtaken", "segments", "acks", "credits", "close", "error",
    "opened", "eliciting", "opened_bytes", "forged", "replayed", "gap",
)  # fmt: skip


def cut(data: bytes) -> Iterator[bytes]:
    """Cut bytes into pieces: a length of two bytes, then so many (or what there is)."""
    at = 0
    while at + 2 <= len(data):
        length = int.from_bytes(data[at : at + 2], "little")
        yield data[at + 2 : at + 2 + length]
        at += 2 + length


def joined(pieces: list[bytes]) -> bytes:
    """The reverse of `cut`."""
    return b"".join(len(piece).to_bytes(2, "little") + piece for piece in pieces)


def in_runs(pieces: list[bytes]) -> list[Transmit]:
    """The pieces as a socket may give them: equal ones in a row, and a shorter last, as one."""
    runs: list[list[bytes]] = []
    for piece in pieces:
        last = runs[-1] if runs else [b""]
        if 0 < len(piece) <= len(last[-1]) == len(last[0]):
            last.append(piece)
        else:
            runs.append([piece])
    return [(b"".join(run), PEER, len(run[0])) if len(run) > 1 else (run[0], PEER) for run in runs]


def _endpoint(codec: Codec) -> Endpoint:
    rng = random.Random(1).randbytes
    return Endpoint(now=SECOND, rng=rng, psk_of={"k": KEY}.get, settings=SETTINGS, codec=codec)


def packets(data: bytes) -> None:
    """Datagrams from strangers: both codecs answer alike, and nobody is let in."""
    results = []
    for codec in (COMPILED, READABLE):
        endpoint = _endpoint(codec)
        endpoint.connect(PEER, "k", KEY, SECOND)
        endpoint.poll_transmit(SECOND)
        batch = list(cut(data))
        endpoint.receive(in_runs(batch), SECOND)
        endpoint.handle_timeout(SECOND)
        results.append(
            (endpoint.poll_transmit(SECOND), endpoint.events(), endpoint.endpoint_stats())
        )
        assert sum(len(d) for d, _ in results[-1][0]) <= 1200 + sum(map(len, batch))
    assert results[0] == results[1]


def frames(data: bytes) -> None:
    """A peer that has the key sends any frames: both parsers agree, memory keeps its bounds."""
    pieces = [piece[: layout.REPLAY_WINDOW] for piece in cut(data)][:64]
    told = []
    for codec in (COMPILED, READABLE):
        opener, sealer = codec.opener(_chain()), codec.sealer(_chain(), 7)
        found = []
        for piece in pieces:
            inbox = codec.inbox()
            opener.open_batch([sealer.seal(piece)], SECOND, inbox)
            found.append({name: getattr(inbox, name) for name in FINDINGS})
        told.append((found, opener.ack_frame(SECOND, 1000), _at_once(codec, pieces)))
        _converse(codec, pieces)
    assert told[0] == told[1]


def _at_once(codec: Codec, pieces: list[bytes]) -> dict[str, object]:
    """What the same frames are in one batch, in runs, where segments end at some offset."""
    sealer, inbox = codec.sealer(_chain(), 7), codec.inbox()
    batch = in_runs([sealer.seal(piece) for piece in pieces])
    groups = codec.route(batch, {7: (PEER, None)}, [])
    end = sum(map(len, pieces[:2]))
    inbox.cut_at(end, end + 4)
    for _, packets in groups.values():
        open_some(codec.opener(_chain()), packets, SECOND, inbox, 1 << 40)
    return {name: getattr(inbox, name) for name in FINDINGS}


def _chain() -> KeyChain:
    return KeyChain(b"s" * 32, "aes-128-gcm")


def _converse(codec: Codec, pieces: list[bytes]) -> None:
    """Give the pieces to a connection that is open, and look at what it holds."""
    endpoint = _endpoint(codec)
    connection = endpoint._add(PEER, "k", 7, SECOND)
    peer = hs.Parameters("aes-128-gcm", 1200, 8_000, 5_000, 9)
    connection.open(b"t" * 32, b"s" * 32, "aes-128-gcm", peer, SECOND)
    sealer = codec.sealer(_chain(), 7)
    now = SECOND
    for piece in [b"\x01", *pieces]:
        now += MS
        endpoint.receive([(sealer.seal(piece), PEER)], now)
        for channel, stream in enumerate(connection._receive):
            kind = (MessageReceived, BulkReceived)[channel]
            unread = sum(len(e.data) for e in endpoint._events if isinstance(e, kind))
            assert stream.waiting_bytes + unread <= 2 * SETTINGS.receive_window_bytes
        if len(piece) % 3 == 0:
            endpoint.events()
            endpoint.send(connection.link, piece[:1000])
            endpoint.send_datagrams(connection.link, [piece[:1000]])
        endpoint.handle_timeout(now)
        assert sum(len(packet) for packet, _ in endpoint.poll_transmit(now)) < 100_000
    endpoint.close(connection.link, "over", now) if connection.usable else None
    endpoint.handle_timeout(now + 60 * SECOND)
    endpoint.poll_transmit(now + 60 * SECOND)


def handshake(data: bytes) -> None:
    """A HELLO whose cookie is good but for what else it says; replies to one's own HELLO."""
    endpoint = _endpoint(COMPILED)
    jar = CookieJar(random.Random(1).randbytes(16), SECOND)
    for piece in cut(data):
        hello = bytes([hs.first_byte(hs.HELLO)]) + piece.ljust(hs.HELLO_BYTES_MIN, b"\0")
        bound_end = hs.NAME_AT + 1 + hello[hs.NAME_AT]
        bound = hello[: hs.COOKIE_AT] + hello[hs.NAME_AT : bound_end]
        cookie = jar.make(PEER, bound, SECOND)
        good = hello[: hs.COOKIE_AT] + cookie + hello[hs.NAME_AT :]
        endpoint.receive([(good, PEER)], SECOND)
        assert all(len(reply) < len(good) for reply, _ in endpoint.poll_transmit(SECOND))
    stats = endpoint.endpoint_stats()
    assert stats.connections == stats.half_open == 0, "nobody has the key"
    initiator = Initiator(
        address=PEER, key_name="k", psk=KEY,
        parameters=hs.Parameters("aes-128-gcm", 1200, 8_000, 5_000, 9),
        settings=SETTINGS, rng=random.Random(2).randbytes, now=SECOND,
    )  # fmt: skip
    initiator.hello(SECOND)
    for piece in cut(data):
        reply = piece[:1].ljust(1, b"\x13") + initiator.echo.to_bytes(8, "little") + piece[1:]
        try:
            assert initiator.receive(reply, SECOND) is not True, "nobody has the key"
        except HandshakeError:
            break


def messages(data: bytes) -> None:
    """A message is one of those known, the same after a round trip, or a `ProtocolError`."""
    try:
        message = wire.decode(data)
    except ProtocolError:
        return
    again = wire.encode(message)
    assert wire.encode(wire.decode(again)) == again


def _packet_seeds() -> list[bytes]:
    file = json.loads((VECTORS / "transport.json").read_text())
    said = [bytes.fromhex(packet["bytes"]) for packet in file["handshake"]]
    return [joined(said), *(joined([packet]) for packet in said)]


def _frame_seeds() -> list[bytes]:
    file = json.loads((VECTORS / "transport.json").read_text())
    valid = [bytes.fromhex(vector["frames"]) for vector in file["valid"]]
    return [joined(valid), *(joined([each]) for each in valid)]


def _handshake_seeds() -> list[bytes]:
    hello = hs.build_hello(hs.hello_bound(5, 9, "k"), bytes(20), bytes(hs.NOISE_BYTES), 256)
    return [joined([hello[1:]]), joined([b"\x14\x01\x01", b"\x12" + bytes(20)])]


def _message_seeds() -> list[bytes]:
    file = json.loads((VECTORS / "messages.json").read_text())
    return [bytes.fromhex(text) for text in _hex_of(file)]


def _hex_of(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "bytes" and isinstance(value, str):
                yield value
            else:
                yield from _hex_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from _hex_of(value)


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    "packets": (packets, _packet_seeds),
    "frames": (frames, _frame_seeds),
    "handshake": (handshake, _handshake_seeds),
    "messages": (messages, _message_seeds),
}
