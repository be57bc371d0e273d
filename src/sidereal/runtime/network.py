"""`Network`: a simulated network between a process's channel and its real socket.

What the channel sends and receives passes `NetSim`, so that a real process meets loss, delay and
partitions at known times. While the network is perfect and whole, nothing is in its way.
"""

from collections.abc import Callable, Sequence

from sidereal.transport.events import Address
from sidereal.transport.netsim import PRESETS, Conditions, NetSim
from sidereal.transport.transmits import Transmit, apart

HERE: Address = ("this process", 0)
DEAD = Conditions(loss=1.0)

Datagram = tuple[bytes, Address]
Cuts = tuple[bool, bool]
"""Whether nothing leaves, and whether nothing arrives."""


class Network:
    """Both directions between this process and everybody.

    Parameters
    ----------
    sim
        Its conditions hold where nothing is cut.
    cuts
        Asked at each passage; None: nothing is ever cut.
    """

    def __init__(self, sim: NetSim, cuts: Callable[[], Cuts] | None = None) -> None:
        self._sim = sim
        self._cuts = cuts
        self._whole = sim.conditions
        self._cut: Cuts = (False, False)
        self._peers: set[Address] = set()
        self._leaving: list[Datagram] = []
        self._arriving: list[Datagram] = []

    def leave(self, transmits: Sequence[Transmit], now: int) -> Sequence[Transmit]:
        """Take what the channel sends; return what goes to the socket now.

        Runs of datagrams pass a network that is perfect and whole as they are.
        """
        if self._transparent():
            return transmits
        for data, peer in apart(transmits):
            self._send(HERE, peer, data, now)
        self._deliver(now)
        out, self._leaving = self._leaving, []
        return out

    def arrive(self, transmits: Sequence[Transmit], now: int) -> Sequence[Transmit]:
        """Take what the socket received; return what reaches the channel now."""
        if self._transparent():
            return transmits
        for data, peer in apart(transmits):
            self._send(peer, HERE, data, now)
        self._deliver(now)
        into, self._arriving = self._arriving, []
        return into

    def next_time(self) -> int | None:
        """When something that is under way arrives; None for nothing."""
        return self._sim.next_time()

    def _transparent(self) -> bool:
        cut = (False, False) if self._cuts is None else self._cuts()
        if cut != self._cut:
            self._cut = cut
            for peer in sorted(self._peers):
                self._set(peer)
        perfect = self._whole == PRESETS["perfect"] and not any(cut)
        return perfect and self._sim.next_time() is None

    def _send(self, source: Address, target: Address, data: bytes, now: int) -> None:
        peer = target if source == HERE else source
        if peer not in self._peers:
            self._peers.add(peer)
            self._set(peer)
        self._sim.send(source, target, data, now)

    def _set(self, peer: Address) -> None:
        out, into = self._cut
        self._sim.set_path(HERE, peer, DEAD if out else self._whole)
        self._sim.set_path(peer, HERE, DEAD if into else self._whole)

    def _deliver(self, now: int) -> None:
        for source, target, data in self._sim.deliver(now):
            if source == HERE:
                self._leaving.append((data, target))
            else:
                self._arriving.append((data, source))
