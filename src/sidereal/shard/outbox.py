"""The flow of updates out of a shard: newest values, never old ones again.

Each tick the entities that changed are packed into datagrams by the kernel. The
transport tells which datagrams were lost; their entities are marked dirty, so
that the newest value goes next, and a world at rest converges exactly.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sidereal.kernel import (
    ABSENT,
    EntityTable,
    SectorMap,
    collect_updates,
    cut,
    mark_updates,
    pack_states,
)
from sidereal.limits import BATCH_ROWS_MAX
from sidereal.shard.phase import CHANGED, MOVED
from sidereal.wire.base import Message
from sidereal.wire.datagrams import ENTITY_STATE, ENTITY_UPDATE, PAYLOAD_BYTES
from sidereal.wire.shard_messages import EntityPlaces, EntityStates
from sidereal.world.columns import I64, U32, U64
from sidereal.world.entities import PlaceRows, StateRows
from sidereal.world.rules import WorldRules

BEHIND_TICKS = 4
"""A shard that is late simulates every tick, but sends one of so many: what it saves is what lets
it catch up, and nobody wants to know where an entity was three ticks ago."""

_NO_ROWS = np.zeros(1, np.uint32)
_NO_IDS = np.empty(0, np.uint64)


@dataclass(slots=True)
class Flight:
    """Datagrams that were sent together and not all answered for."""

    payloads: list[bytes]
    moved: int
    """So many of them, the first, carry positions; the others carry states, of `ids`."""
    row_offsets: U32
    ids: U64
    first_token: int = 0
    open: int = 0

    def lost(self, table: EntityTable, numbers: I64) -> None:
        """Mark dirty what these datagrams carried, by their numbers (n,) among the payloads."""
        positions = numbers[numbers < self.moved].tolist()
        if positions:
            mark_updates(table, [self.payloads[number] for number in positions], MOVED)
        for number in (numbers[numbers >= self.moved] - self.moved).tolist():
            start, end = self.row_offsets[number : number + 2]
            slots = table.slots(self.ids[start:end])
            table.dirty[slots[slots != ABSENT]] |= CHANGED


class Outbox:
    """Packs what is dirty, and marks dirty again what was lost."""

    def __init__(self, rules: WorldRules) -> None:
        self._rules = rules
        self._flights: deque[Flight] = deque()
        self._unsent: Flight | None = None
        self._sent_tick = 0
        self._oversized: U32 = np.empty(0, np.uint32)
        self._afar: U32 = np.empty(0, np.uint32)

    def collect(
        self,
        table: EntityTable,
        own: SectorMap,
        tick: int,
        payload_bytes: int = PAYLOAD_BYTES,
        *,
        behind: bool = False,
    ) -> list[bytes]:
        """Return the datagrams of this tick. Only held rows of `tick` are looked at.

        A shard that is `behind` sends but one tick in a few; what changed stays dirty until then.
        """
        self._oversized = self._afar = np.empty(0, np.uint32)
        if behind and tick - self._sent_tick < BEHIND_TICKS:
            return []
        self._sent_tick = tick
        data, offsets, self._afar = collect_updates(
            table,
            self._rules.sector_size,
            tick,
            own,
            MOVED,
            ENTITY_UPDATE,
            payload_bytes,
        )
        payloads = cut(data, offsets)
        flight = Flight(payloads, len(payloads), _NO_ROWS, _NO_IDS)
        changed = self._changed(table, tick)
        if len(changed):
            table.state_tick[changed] = tick  # which the rows carry
            data, offsets, order, flight.row_offsets, self._oversized = pack_states(
                table, changed, ENTITY_STATE, payload_bytes
            )
            table.dirty[changed] &= ~np.uint8(CHANGED)
            flight.ids = table.ids[order]
            payloads += cut(data, offsets)
        self._unsent = flight if payloads else None
        return payloads

    def _changed(self, table: EntityTable, tick: int) -> U32:
        """Return the slots whose states are to be sent."""
        due = tick - self._rules.state_interval_ticks
        if due < 0:
            return np.empty(0, np.uint32)
        changed = (table.dirty & CHANGED != 0) & (table.state_tick <= due)
        changed &= (table.phase == 0) & (table.tick == tick)
        slots: U32 = changed.nonzero()[0].astype(np.uint32)
        return slots

    def messages(self, table: EntityTable) -> list[Message]:
        """Return what of the last `collect` no datagram holds: large states, places far away."""
        out: list[Message] = []
        slots = self._oversized
        if len(slots):
            lengths, states = table.states(slots)
            rows = StateRows(
                ids=table.ids[slots],
                version=table.version[slots],
                tick=table.tick[slots],
                lengths=lengths,
                states=states,
            )
            out.append(EntityStates(rows))
        slots = self._afar
        if len(slots):
            places = PlaceRows(
                ids=table.ids[slots],
                position=table.position[slots],
                velocity=table.velocity[slots],
                version=table.version[slots],
                tick=table.tick[slots],
            )
            out += [EntityPlaces(part) for part in places.split(BATCH_ROWS_MAX)]
        return out

    def sent(self, first_token: int) -> None:
        """Say which token the first datagram of the last `collect` was given; -1 for none."""
        flight, self._unsent = self._unsent, None
        if flight is not None and first_token >= 0:
            flight.first_token = first_token
            flight.open = len(flight.payloads)
            self._flights.append(flight)

    def notice(self, table: EntityTable, acked: Sequence[int], lost: Sequence[int]) -> None:
        """Take the fate of datagrams; mark dirty what was lost."""
        noticed, missing = sorted([*acked, *lost]), sorted(lost)
        for flight in self._flights:
            first, end = flight.first_token, flight.first_token + len(flight.payloads)
            flight.open -= bisect_left(noticed, end) - bisect_left(noticed, first)
            gone = missing[bisect_left(missing, first) : bisect_left(missing, end)]
            if gone:
                flight.lost(table, np.array(gone, np.int64) - first)
        while self._flights and self._flights[0].open <= 0:
            self._flights.popleft()

    def forget(self) -> None:
        """A session ended: nothing is in flight any more."""
        self._flights.clear()
        self._unsent = None
