"""One UDP socket and its endpoint, pumped: the part that every process shares.

`pump` moves what has arrived into the endpoint and what it wants to say out of
it. Events come back typed; nothing here knows what a message means.
"""

import os
import select
from collections.abc import Sequence

from sidereal.ids import LinkId
from sidereal.runtime.clock import now_ns
from sidereal.runtime.network import Network
from sidereal.runtime.stages import Stages
from sidereal.transport import Endpoint, Event, TransportSettings
from sidereal.transport.acceptor import PskOf
from sidereal.transport.sockets import UdpSocket
from sidereal.transport.transmits import Transmit, datagrams
from sidereal.world.rules import NS_PER_S

Address = tuple[str, int]

RECEIVE_BATCH = 2048
"""Datagrams taken from the socket before others get their turn: about 10 ms of a full stream."""

BATCHES_MAX = 4
"""In one `pump`: peers that send faster than this process reads must not keep it from its ticks."""


class Channel:
    """A socket with an endpoint.

    Parameters
    ----------
    bind
        Address to listen on; None for a client's, which the system chooses.
    psk_of
        Key by name, for those who connect to us; None where nobody may.
    network
        A simulated network before the real one; None: there is none.
    stages
        The account of the processor time that its stages take: receive, open, seal, send.
    settings
        The endpoint's; the defaults where there are none.
    """

    def __init__(
        self,
        bind: Address | None,
        psk_of: PskOf | None = None,
        network: Network | None = None,
        stages: Stages | None = None,
        settings: TransportSettings | None = None,
    ) -> None:
        self.network = network
        self.stages = stages or Stages()
        # Ticks are milliseconds apart, and processes share cores: nobody waits awake.
        self.socket = UdpSocket(bind, spin_ns=0)
        self.endpoint = Endpoint(now=now_ns(), rng=os.urandom, psk_of=psk_of, settings=settings)

    def connect(self, address: Address, key_name: str, psk: bytes) -> LinkId:
        """Begin a connection; `Connected` or `LinkClosed` will follow from `pump`."""
        return self.endpoint.connect(address, key_name, psk, now_ns())

    def pump(self) -> list[Event]:
        """Receive, keep time, send; return what happened."""
        now = now_ns()
        self.stages.lap("rest")
        for _ in range(BATCHES_MAX):
            batch = self.socket.receive_runs(RECEIVE_BATCH)
            self.stages.lap("receive")
            self._take(batch, now)
            self.stages.lap("open")
            if datagrams(batch) < RECEIVE_BATCH:
                break
        if self.network is not None:
            self._take([], now)
        due = self.endpoint.next_timeout()
        if due is not None and due <= now:
            self.endpoint.handle_timeout(now)
        events = self.endpoint.events()
        self.stages.lap("open")
        self.flush()
        return events

    def flush(self) -> None:
        """Send what the endpoint wants to say now."""
        transmits: Sequence[Transmit] = self.endpoint.poll_runs(now_ns())
        if self.network is not None:
            transmits = self.network.leave(transmits, now_ns())
        self.stages.lap("seal")
        if transmits:
            self.socket.send(transmits)
            self.stages.lap("send")

    def wait(self, until_ns: int) -> bool:
        """Sleep until a datagram arrives, the endpoint is due, or `until_ns`."""
        left = self._deadline(until_ns) - now_ns()
        return self.socket.wait(left) if left > 0 else False

    def wait_with(self, other: int, until_ns: int) -> bool:
        """As `wait`, and wake as well when the file descriptor `other` becomes readable.

        Returns whether a datagram has arrived.
        """
        left = self._deadline(until_ns) - now_ns()
        if left <= 0:
            return False
        mine = self.socket.fileno()
        ready, _, _ = select.select([mine, other], [], [], left / NS_PER_S)
        return mine in ready

    def _take(self, batch: Sequence[Transmit], now: int) -> None:
        arrived = batch if self.network is None else self.network.arrive(batch, now)
        if arrived:
            self.endpoint.receive(arrived, now)

    def _deadline(self, until_ns: int) -> int:
        network = None if self.network is None else self.network.next_time()
        return min(at for at in (until_ns, self.endpoint.next_timeout(), network) if at is not None)

    def close(self) -> None:
        """Say what is left to say, and close the socket."""
        self.flush()
        self.socket.close()
