"""The two codecs, compiled and readable, behind one name.

Programs use `COMPILED`; the tests run everything over `READABLE` too, and let
each talk to the other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sidereal.transport import _flight, _packet, flight_twin, packet_twin


@dataclass(frozen=True, slots=True)
class Codec:
    """The classes and functions that a connection needs."""

    opener: Callable[..., Any]
    sealer: Callable[..., Any]
    inbox: Callable[[], Any]
    flight: Callable[[], Any]
    route: Callable[..., dict[int, tuple[Any, list[bytes]]]]


COMPILED = Codec(
    opener=_packet.Opener,
    sealer=_packet.Sealer,
    inbox=_packet.Inbox,
    flight=_flight.Flight,
    route=_packet.route,
)
READABLE = Codec(
    opener=packet_twin.Opener,
    sealer=packet_twin.Sealer,
    inbox=packet_twin.Inbox,
    flight=flight_twin.Flight,
    route=packet_twin.route,
)
