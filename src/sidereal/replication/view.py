"""What one client has been told of the world: which entities, and of which tick.

Columns, sorted by id. A datagram that the transport gives up makes its rows
stale again, unless something newer of them has been sent since, so that what
goes next is the newest value and a world at rest converges exactly.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidereal.world.columns import U32, U64

I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(slots=True)
class Flight:
    """Datagrams that were sent together and are not all answered for."""

    first_token: int
    row_offsets: U32
    ids: U64
    ticks: I64
    open: int


class View:
    """One client's view. ``ids`` u64 (n,), rising; ``tick`` i64 (n,), of what was sent last, and
    ``state_tick`` i64 (n,), of the state that was. ``doubtful`` bool (n,): what was sent last was
    a guess, of an entity in custody, or is lost; the record may never come to that tick.
    """

    def __init__(self) -> None:
        self.ids: U64 = np.empty(0, np.uint64)
        self.tick: I64 = np.empty(0, np.int64)
        self.state_tick: I64 = np.empty(0, np.int64)
        self.doubtful: Mask = np.empty(0, bool)
        self.allowance_bytes = 0.0
        self._unsent: deque[Flight] = deque()
        self._flights: deque[Flight] = deque()

    def __len__(self) -> int:
        return len(self.ids)

    def find(self, ids: U64) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return where each of `ids` is (or would be) in the view, and whether it is in it."""
        at = np.searchsorted(self.ids, ids)
        known = at < len(self.ids)
        known[known] = self.ids[at[known]] == ids[known]
        return at, known

    def enter(self, ids: U64, tick: U32, state_tick: U32, doubtful: Mask | bool = False) -> None:
        """Entities that were not in it came into view, told as of `tick`, with that state."""
        doubtful = np.broadcast_to(doubtful, len(ids))
        order = np.argsort(ids)
        at = np.searchsorted(self.ids, ids[order])
        self.ids = np.insert(self.ids, at, ids[order])
        self.tick = np.insert(self.tick, at, tick[order].astype(np.int64))
        self.state_tick = np.insert(self.state_tick, at, state_tick[order].astype(np.int64))
        self.doubtful = np.insert(self.doubtful, at, doubtful[order])

    def leave(self, gone: NDArray[np.bool_]) -> U64:
        """Take the rows that the mask selects out of view; return their ids."""
        ids = self.ids[gone]
        self.ids, self.tick = self.ids[~gone], self.tick[~gone]
        self.state_tick, self.doubtful = self.state_tick[~gone], self.doubtful[~gone]
        return ids

    def fly(self, row_offsets: U32, ids: U64, ticks: I64, doubtful: Mask | bool = False) -> None:
        """Rows are about to be sent, datagram after datagram; `sent` says under which tokens."""
        at, _ = self.find(ids)
        self.tick[at] = ticks
        self.doubtful[at] = doubtful
        self._unsent.append(Flight(-1, row_offsets, ids, ticks, len(row_offsets) - 1))

    def sent(self, first_token: int) -> None:
        """Say which token the oldest of what `fly` announced was given; -1: it was not sent."""
        flight = self._unsent.popleft()
        if first_token < 0:
            self._stale(flight.ids, flight.ticks)
        else:
            flight.first_token = first_token
            self._flights.append(flight)

    def notice(self, acked: Sequence[int], lost: Sequence[int]) -> None:
        """Take the fate of datagrams."""
        noticed, missing = sorted([*acked, *lost]), sorted(lost)
        for flight in self._flights:
            first = flight.first_token
            past = first + len(flight.row_offsets) - 1
            flight.open -= bisect_left(noticed, past) - bisect_left(noticed, first)
            for token in missing[bisect_left(missing, first) : bisect_left(missing, past)]:
                start, end = flight.row_offsets[token - first : token - first + 2]
                self._stale(flight.ids[start:end], flight.ticks[start:end])
        while self._flights and self._flights[0].open <= 0:
            self._flights.popleft()

    def _stale(self, ids: U64, ticks: I64) -> None:
        at, known = self.find(ids)
        at, ticks = at[known], ticks[known]
        still = self.tick[at] == ticks
        self.tick[at[still]] = ticks[still] - 1
        self.doubtful[at[still]] = True
