"""Two endpoints, a simulated network between them, and one clock: what most tests here drive."""

import random
from collections.abc import Callable, Iterable
from typing import Any

from sidereal.ids import LinkId
from sidereal.transport import (
    BULK,
    CONTROL,
    BulkReceived,
    Connected,
    DatagramNotice,
    DatagramsReceived,
    Endpoint,
    Event,
    LinkClosed,
    MessageReceived,
    TransportSettings,
)
from sidereal.transport.codec import COMPILED, Codec
from sidereal.transport.netsim import PRESETS, Conditions, NetSim

MS = 1_000_000
SECOND = 1_000_000_000
CLIENT = ("10.0.0.1", 1000)
SERVER = ("10.0.0.2", 2000)
KEY = bytes(range(32))


def seeded(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


class Side:
    """One endpoint and everything it was told."""

    def __init__(self, address: Any, endpoint: Endpoint) -> None:
        self.address = address
        self.endpoint = endpoint
        self.events: list[Event] = []
        self.link = LinkId(0)
        self.reading = True
        self.arrived: list[tuple[int, bytes]] = []
        """Each whole message, by its channel."""
        self._bulk: dict[LinkId, bytearray] = {}

    def drain(self) -> None:
        if self.reading:
            self.take(self.endpoint.events())

    def take(self, events: Iterable[Event]) -> None:
        for event in events:
            self.events.append(event)
            if isinstance(event, Connected):
                self.link = event.link
            elif isinstance(event, MessageReceived):
                self.arrived.append((CONTROL, event.data))
            elif isinstance(event, BulkReceived):
                whole = self._bulk.setdefault(event.link, bytearray())
                assert len(whole) == event.start
                whole += event.data
                if len(whole) == event.size:
                    self.arrived.append((BULK, bytes(self._bulk.pop(event.link))))

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def messages(self) -> list[bytes]:
        return [data for _, data in self.arrived]

    @property
    def datagrams(self) -> list[bytes]:
        return [data for event in self.of(DatagramsReceived) for data in event.payloads]

    @property
    def acked(self) -> list[int]:
        return [token for event in self.of(DatagramNotice) for token in event.acked]

    @property
    def lost(self) -> list[int]:
        return [token for event in self.of(DatagramNotice) for token in event.lost]

    @property
    def closed(self) -> list[LinkClosed]:
        return self.of(LinkClosed)


class Pair:
    """A client and a server, and the network between them in virtual time."""

    def __init__(
        self,
        conditions: Conditions = PRESETS["perfect"],
        *,
        seed: int = 1,
        settings: TransportSettings | None = None,
        server_settings: TransportSettings | None = None,
        codecs: tuple[Codec, Codec] = (COMPILED, COMPILED),
        keys: dict[str, bytes] | None = None,
        now: int = 1_000 * SECOND,
    ) -> None:
        self.now = now
        self.net = NetSim(seed, conditions)
        self.settings = settings or TransportSettings()
        self.server_settings = server_settings or self.settings
        known = {"shard": KEY} if keys is None else keys
        self.client = Side(
            CLIENT,
            Endpoint(
                now=now, rng=seeded(seed + 1), psk_of=None, settings=self.settings, codec=codecs[0]
            ),
        )
        self.server = Side(
            SERVER,
            Endpoint(
                now=now,
                rng=seeded(seed + 2),
                psk_of=known.get,
                settings=self.server_settings,
                codec=codecs[1],
            ),
        )
        self.sides = {CLIENT: self.client, SERVER: self.server}
        self.transmitted: list[tuple[Any, Any, bytes]] = []
        self.record = False
        self.steps = 0

    def connect(self, key: bytes = KEY, key_name: str = "shard") -> LinkId:
        self.client.link = self.client.endpoint.connect(SERVER, key_name, key, self.now)
        return self.client.link

    def pump(self) -> None:
        """Everything that can happen without the clock moving."""
        self.steps += 1
        for side in self.sides.values():
            side.drain()
            for data, target in side.endpoint.poll_transmit(self.now):
                if self.record:
                    self.transmitted.append((side.address, target, data))
                self.net.send(side.address, target, data, self.now)
        arrived: dict[Any, list[tuple[bytes, Any]]] = {}
        for source, target, data in self.net.deliver(self.now):
            arrived.setdefault(target, []).append((data, source))
        for target, batch in arrived.items():
            if target in self.sides:
                self.sides[target].endpoint.receive(batch, self.now)
                self.sides[target].drain()

    def next_time(self) -> int | None:
        times = [self.net.next_time(), *(s.endpoint.next_timeout() for s in self.sides.values())]
        return min((t for t in times if t is not None), default=None)

    def run(
        self, duration_ns: int, until: Callable[[], bool] | None = None, steps_max: int = 200_000
    ) -> bool:
        """Let time pass, event by event; stop early, with True, once ``until`` holds."""
        end = self.now + duration_ns
        for _ in range(steps_max):
            self.pump()
            if until is not None and until():
                return True
            at = self.next_time()
            if at is None or at > end:
                self.now = end
                for side in self.sides.values():
                    side.endpoint.handle_timeout(self.now)
                    side.drain()
                return until() if until is not None else True
            self.now = max(self.now, at)
            for side in self.sides.values():
                side.endpoint.handle_timeout(self.now)
        raise AssertionError(f"still busy after {steps_max} steps")

    def open(self, duration_ns: int = 20 * SECOND) -> "Pair":
        self.connect()
        assert self.run(
            duration_ns, lambda: bool(self.client.of(Connected) and self.server.of(Connected))
        ), (self.client.events, self.server.events)
        return self
