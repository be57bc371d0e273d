"""What an endpoint tells its user: values, drained with `Endpoint.events`."""

from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from sidereal.ids import LinkId

Address = tuple[Any, ...]
"""A socket address as Python's ``socket`` gives it: ``(host, port)``, or four items for IPv6."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A link is open, both ends know each other's key."""

    link: LinkId
    key_name: str
    address: Address
    incoming: bool


class MessageReceived(Struct, frozen=True, gc=False):
    """One message of the control channel, whole, in order.

    A Struct, for it is made a million times a second.
    """

    link: LinkId
    data: bytes


class BulkReceived(Struct, frozen=True, gc=False):
    """Part of a message of the bulk channel, as it comes and in order.

    ``data`` are its bytes from ``start`` on; it has ``size`` in all, and is over with the
    part that reaches them.
    """

    link: LinkId
    data: bytes
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class DatagramsReceived:
    """The datagrams that one call of `Endpoint.receive` brought for a link.

    Of a ``sequence`` (None: of no sequence) they come in the order of sending, and what was
    overtaken does not come at all.
    """

    link: LinkId
    payloads: list[bytes]
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class DatagramNotice:
    """What became of datagrams sent: each token appears once, in ``acked`` or in ``lost``.

    ``lost`` means that the transport gave it up; it may have arrived all the same.
    """

    link: LinkId
    acked: list[int]
    lost: list[int]


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """A link has ended; nothing more comes of it."""

    link: LinkId
    reason: str
    by_peer: bool


Event = Connected | MessageReceived | BulkReceived | DatagramsReceived | DatagramNotice | LinkClosed


@dataclass(frozen=True, slots=True)
class LinkStats:
    """One link's counters since it opened; ``rtt_ns`` is 0 before the first sample."""

    rtt_ns: int
    rtt_variation_ns: int
    """The jitter: the smoothed distance of a round trip from the mean."""
    sent_bytes_per_s: float
    received_bytes_per_s: float
    """Over the last whole second or more in which the link was looked after."""
    window_bytes: int
    bytes_in_flight: int
    bytes_sent: int
    bytes_received: int
    packets_sent: int
    packets_received: int
    packets_lost: int
    packets_lost_wrongly: int
    datagrams_sent: int
    datagrams_received: int
    datagrams_lost: int
    datagrams_overtaken: int
    """Of sequences: arrived after a newer one, and dropped."""
    messages_sent: int
    messages_received: int
    retransmitted_bytes: int
    send_queue_bytes: int
    datagram_queue_bytes: int
    forged: int
    replayed: int
    unheard: int
    """Packets dropped unopened, for the user does not drain what came before."""


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """One reliable channel of a link. Round trip, jitter and loss of packets are the link's."""

    messages_sent: int
    messages_received: int
    bytes_sent: int
    """Without what went again."""
    bytes_received: int
    retransmitted_bytes: int
    send_queue_bytes: int
    """Queued, or sent and not acknowledged."""
    blocked_by_peer: bool
    """Something waits to be sent, and the peer has no room for it."""
    early_bytes: int
    """Arrived before what belongs in front of them."""
    unread_bytes: int
    """Delivered, and not drained by the user yet."""
    sent_bytes_per_s: float
    received_bytes_per_s: float
    """Over the last whole second or more in which the link was looked after."""


@dataclass(frozen=True, slots=True)
class EndpointStats:
    """What arrived at one endpoint and belonged to no connection, and how many it has."""

    connections: int
    half_open: int
    malformed: int
    unknown_connection: int
    wrong_address: int
    hellos: int
    hellos_unanswered: int
    """Those of a flood: beyond `limits.HELLO_ANSWERS_PER_S_MAX`."""
    cookies_sent: int
    cookies_refused: int
    handshakes_postponed: int
    """HELLOs with a good cookie beyond `limits.HANDSHAKES_PER_S_MAX`, or one host's share of it."""
    rejects_sent: int
    forged: int
    replayed: int
