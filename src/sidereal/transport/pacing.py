"""How fast packets leave: a bucket that fills at the controller's rate."""

from typing import Final

from sidereal.transport.settings import MS, SECOND

QUANTUM_PACKETS: Final = 10
QUANTUM_NS: Final = 1 * MS
"""What leaves at once: some packets, or what the rate allows in this time. Segmentation
offload wants runs, and clocks are no finer."""
LATE_NS: Final = 200 * MS
"""A caller who comes late while data waits may send what it missed, up to so much."""


class Pacer:
    """A token bucket; ``rate`` in bytes a second, 0 for none.

    Who had nothing to send saves up one quantum and no more. Who had, and was
    called late, finds everything that the rate allowed meanwhile: a game that looks
    at its network once a frame is not slowed down.
    """

    __slots__ = ("_at", "_credit", "_quantum_min", "_waiting", "rate")

    def __init__(self, datagram_bytes: int) -> None:
        self.rate = 0.0
        self._quantum_min = QUANTUM_PACKETS * datagram_bytes
        self._credit = float(self._quantum_min)
        self._at = 0
        self._waiting = False

    @property
    def _quantum(self) -> float:
        quantum = self.rate * QUANTUM_NS / SECOND
        return quantum if quantum > self._quantum_min else self._quantum_min

    def room(self, now: int) -> int:
        """Bytes that may leave now; negative after an overdraft."""
        if not self.rate:
            return 1 << 62
        elapsed = now - self._at
        if elapsed:
            self._at = now
            if elapsed > LATE_NS:
                elapsed = LATE_NS
            gained = self.rate * elapsed / SECOND if elapsed > 0 else 0.0
            bound = self._quantum
            if self._waiting and gained > bound:
                bound = gained
            credit = self._credit + gained
            self._credit = credit if credit < bound else bound
        return int(self._credit)

    def sent(self, size: int) -> None:
        """Count bytes that left."""
        self._credit -= size
        self._waiting = False

    def wait(self) -> int:
        """Data waits for the rate: return when half a quantum may leave, absolute nanoseconds."""
        self._waiting = True
        return self._at + 1 + int((self._quantum / 2 - self._credit) * SECOND / self.rate)
