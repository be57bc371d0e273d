"""The life of a connection, as one table.

A client's connection begins in ``HELLO``, a server's in ``HALF_OPEN`` once the
peer's cookie and key were good; it opens when the peer shows that it can
decrypt. The side that closes first delivers what was queued (``FLUSHING``), then
says so until it is acknowledged (``CLOSING``); the other side keeps just enough
to acknowledge that again (``DRAINING``).
"""

from enum import Enum, auto
from typing import Final


class State(Enum):
    """Where a connection stands."""

    HELLO = auto()
    HALF_OPEN = auto()
    OPEN = auto()
    FLUSHING = auto()
    CLOSING = auto()
    DRAINING = auto()
    CLOSED = auto()


class Trigger(Enum):
    """What moves it."""

    ACCEPTED = auto()
    """ACCEPT came, and was made with our key."""
    CONFIRMED = auto()
    """The first authentic data packet came."""
    REJECTED = auto()
    CLOSE_CALLED = auto()
    FLUSHED = auto()
    """All that was queued is acknowledged, or has taken too long."""
    FAREWELL_ACKED = auto()
    PEER_CLOSED = auto()
    PEER_WRONG = auto()
    """The peer broke the protocol."""
    TIMED_OUT = auto()


TRANSITIONS: Final[dict[tuple[State, Trigger], State]] = {
    (State.HELLO, Trigger.ACCEPTED): State.OPEN,
    (State.HELLO, Trigger.REJECTED): State.CLOSED,
    (State.HELLO, Trigger.CLOSE_CALLED): State.CLOSED,
    (State.HELLO, Trigger.TIMED_OUT): State.CLOSED,
    (State.HALF_OPEN, Trigger.CONFIRMED): State.OPEN,
    (State.HALF_OPEN, Trigger.TIMED_OUT): State.CLOSED,
    (State.OPEN, Trigger.CLOSE_CALLED): State.FLUSHING,
    (State.OPEN, Trigger.PEER_CLOSED): State.DRAINING,
    (State.OPEN, Trigger.PEER_WRONG): State.CLOSING,
    (State.OPEN, Trigger.TIMED_OUT): State.CLOSED,
    (State.FLUSHING, Trigger.FLUSHED): State.CLOSING,
    (State.FLUSHING, Trigger.PEER_CLOSED): State.DRAINING,
    (State.FLUSHING, Trigger.PEER_WRONG): State.CLOSING,
    (State.FLUSHING, Trigger.TIMED_OUT): State.CLOSED,
    (State.CLOSING, Trigger.FAREWELL_ACKED): State.CLOSED,
    (State.CLOSING, Trigger.PEER_CLOSED): State.DRAINING,
    (State.CLOSING, Trigger.PEER_WRONG): State.CLOSING,
    (State.CLOSING, Trigger.TIMED_OUT): State.CLOSED,
    (State.DRAINING, Trigger.PEER_CLOSED): State.DRAINING,
    (State.DRAINING, Trigger.PEER_WRONG): State.DRAINING,
    (State.DRAINING, Trigger.TIMED_OUT): State.CLOSED,
}


def after(state: State, trigger: Trigger) -> State:
    """Return the state that follows; a pair outside the table is a fault of this program."""
    try:
        return TRANSITIONS[state, trigger]
    except KeyError:
        raise AssertionError(f"{trigger.name} cannot happen in {state.name}") from None
