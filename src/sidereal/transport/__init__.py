"""Floor 1: moves bytes over UDP, encrypted: a state machine, and beside it the sockets.

`Endpoint` holds every connection of one UDP socket and never sees the socket;
`sidereal.transport.sockets` has that, `sidereal.transport.netsim` a network for tests.
"""

from sidereal.transport.endpoint import BULK, CONTROL, Endpoint
from sidereal.transport.events import (
    Address,
    BulkReceived,
    ChannelStats,
    Connected,
    DatagramNotice,
    DatagramsReceived,
    EndpointStats,
    Event,
    LinkClosed,
    LinkStats,
    MessageReceived,
)
from sidereal.transport.settings import TransportSettings

__all__ = [
    "BULK",
    "CONTROL",
    "Address",
    "BulkReceived",
    "ChannelStats",
    "Connected",
    "DatagramNotice",
    "DatagramsReceived",
    "Endpoint",
    "EndpointStats",
    "Event",
    "LinkClosed",
    "LinkStats",
    "MessageReceived",
    "TransportSettings",
]
