"""The two codecs, compiled and readable, behind one name.

Programs use `COMPILED`; the tests run everything over `READABLE` too, and let
each talk to the other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sidereal.transport._flight as _flight
import sidereal.transport._inbox as _inbox
import sidereal.transport._open as _open
import sidereal.transport._route as _route
import sidereal.transport._seal as _seal
import sidereal.transport._sieve as _sieve
from sidereal.transport import flight_twin, packet_twin, sieve_twin


@dataclass(frozen=True, slots=True)
class Codec:
    """The classes and functions that a connection needs."""

    opener: Callable[..., Any]
    sealer: Callable[..., Any]
    inbox: Callable[[], Any]
    flight: Callable[[], Any]
    route: Callable[..., dict[int, tuple[Any, list[Any]]]]
    sieve: Callable[[bytes | None, int], Any]


COMPILED = Codec(
    opener=_open.Opener,
    sealer=_seal.Sealer,
    inbox=_inbox.Inbox,
    flight=_flight.Flight,
    route=_route.route,
    sieve=_sieve.Sieve,
)
READABLE = Codec(
    opener=packet_twin.Opener,
    sealer=packet_twin.Sealer,
    inbox=packet_twin.Inbox,
    flight=flight_twin.Flight,
    route=packet_twin.route,
    sieve=sieve_twin.Sieve,
)
