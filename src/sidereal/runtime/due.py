"""Which world tick a shard simulates next: one after the other, but at first, and after a gap."""

from typing import Final

CATCH_UP_S: Final = 1.0
"""A shard that is late by no more simulates the ticks that it missed, one after the other; then
it skips. A machine that stalls for half a second costs nobody a tick then."""


def next_tick(ticked: int, current: int, tick_hz: float, lease_s: float) -> int | None:
    """Return the tick to simulate in tick `current`, after `ticked` (0: none yet); None: none.

    World time never goes back, and a shard's clock, once it knows better, by less than a lease.
    What is farther back is another world, which has begun since: a server without a journal.
    """
    if 0 <= ticked - current <= max(1, round(lease_s * tick_hz)):
        return None
    if not ticked or current < ticked:
        return current
    late = current - ticked > max(1, round(CATCH_UP_S * tick_hz))
    return current if late else ticked + 1
