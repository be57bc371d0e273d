"""A bad network between shards and their server, in real time: `netsim` with sockets around it.

``python -m sidereal.runtime.relay SERVER SPEC SEED`` prints where it listens. Whoever speaks to
that address speaks to the server, each by a socket of its own, and what passes is lost, delayed
and shuffled as the specification says, each way.
"""

import selectors
import sys
from collections.abc import Callable

from sidereal.errors import SiderealError
from sidereal.runtime.address import Address
from sidereal.runtime.clock import now_ns
from sidereal.runtime.signals import stop_on_signals
from sidereal.transport import netsim
from sidereal.transport.events import Address as SocketAddress
from sidereal.transport.sockets import UdpSocket, resolve

PEERS_MAX = 1024
"""Addresses that may speak through one relay: each has a socket."""
PATIENCE_S = 0.2
BATCH = 1024


class Relay:
    """Carries datagrams between a server and everyone who takes this for the server.

    Parameters
    ----------
    server
        Where the real one listens.
    conditions
        Of each direction, for each peer.
    seed
        Of chance.
    """

    def __init__(self, server: Address, conditions: netsim.Conditions, seed: int) -> None:
        self._server = resolve(server.host, server.port)
        self._net = netsim.NetSim(seed, conditions)
        self._front = UdpSocket((server.host, 0), spin_ns=0, drain=False)
        self._backs: dict[SocketAddress, UdpSocket] = {}
        self._peers: dict[UdpSocket, SocketAddress] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._front.fileno(), selectors.EVENT_READ, self._front)
        self.turned_away = 0

    @property
    def address(self) -> SocketAddress:
        """Where it listens."""
        return self._front.address

    def run(self, until: Callable[[], bool]) -> None:
        """Carry until `until` says so."""
        while not until():
            self.turn()

    def turn(self) -> None:
        """Wait for something to arrive or to be due, and carry it one step on."""
        due = self._net.next_time()
        left = PATIENCE_S if due is None else min(PATIENCE_S, max(0.0, (due - now_ns()) / 1e9))
        for key, _ in self._selector.select(left):
            sock: UdpSocket = key.data
            now = now_ns()
            for data, source in sock.receive(BATCH):
                if sock is not self._front:
                    self._net.send(self._server, self._peers[sock], data, now)
                elif self._back(source) is not None:
                    self._net.send(source, self._server, data, now)
        leaving: dict[UdpSocket, list[tuple[bytes, SocketAddress]]] = {}
        for source, target, data in self._net.deliver(now_ns()):
            sock = self._front if source == self._server else self._backs[source]
            leaving.setdefault(sock, []).append((data, target))
        for sock, transmits in leaving.items():
            sock.send(transmits)

    def _back(self, peer: SocketAddress) -> UdpSocket | None:
        back = self._backs.get(peer)
        if back is None:
            if len(self._backs) >= PEERS_MAX:
                self.turned_away += 1
                return None
            back = self._backs[peer] = UdpSocket(
                ipv6=":" in self._server[0], spin_ns=0, drain=False
            )
            self._peers[back] = peer
            self._selector.register(back.fileno(), selectors.EVENT_READ, back)
        return back

    def close(self) -> None:
        """Close all sockets; what was under way is lost."""
        self._selector.close()
        for sock in (self._front, *self._backs.values()):
            sock.close()


def main(server: str, spec: str, seed: str) -> int:
    """Run until a signal; return the exit status."""
    relay = Relay(Address.parse(server), netsim.parse(spec), int(seed))
    stop = stop_on_signals()
    host, port = relay.address[:2]
    print(f"listening on {host}:{port}", flush=True)
    try:
        relay.run(stop)
    finally:
        relay.close()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:4]))
    except SiderealError as error:
        print(f"sidereal relay: {error}", file=sys.stderr)
        sys.exit(2)
