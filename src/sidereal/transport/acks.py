"""When to acknowledge: soon, but in company."""

from typing import Any

from sidereal.transport.settings import TransportSettings


class AckSchedule:
    """Decides when the next ack frame leaves; the opener knows what goes into it."""

    __slots__ = ("_delay_ns", "_every", "_opener", "_unacked", "at", "due")

    def __init__(self, opener: Any, settings: TransportSettings) -> None:
        self._opener = opener
        self._delay_ns = settings.ack_delay_ns
        self._every = settings.ack_every
        self._unacked = 0
        self.due = False
        """An ack is to leave with the next packet, or alone."""
        self.at: int | None = None
        """When one falls due, absolute nanoseconds."""

    def received(self, eliciting: int, gap: bool, now: int) -> None:
        """Count packets that want an ack; a gap in their numbers makes it urgent."""
        if not eliciting:
            return
        self._unacked += eliciting
        if gap or self._unacked >= self._every:
            self.due = True
        elif self.at is None:
            self.at = now + self._delay_ns

    def expire(self, now: int) -> None:
        """Let the clock make it due."""
        if self.at is not None and self.at <= now:
            self.due = True
            self.at = None

    @property
    def wanted(self) -> bool:
        """Whether an ack would tell the peer something new."""
        return self._unacked > 0

    def frame(self, now: int, room: int) -> bytes:
        """Build the ack; nothing is owed after it."""
        frame: bytes = self._opener.ack_frame(now, room)
        if frame:
            self._unacked = 0
            self.due = False
            self.at = None
        return frame
