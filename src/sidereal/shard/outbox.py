"""The flow of updates out of a shard: newest values, never old ones again.

Each tick the entities that changed are packed into datagrams by the kernel. The
transport tells which datagrams were lost; their entities are marked dirty, so
that the newest value goes next, and a world at rest converges exactly.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sidereal.kernel import ABSENT, EntityTable, SectorMap, pack_states, pack_updates
from sidereal.limits import BATCH_ROWS_MAX
from sidereal.shard.phase import CHANGED, MOVED
from sidereal.wire.base import Message
from sidereal.wire.datagrams import ENTITY_STATE, ENTITY_UPDATE
from sidereal.wire.shard_messages import EntityPlaces, EntityStates
from sidereal.world.columns import U8, U32, U64
from sidereal.world.entities import PlaceRows, StateRows
from sidereal.world.rules import WorldRules

DATAGRAM_PAYLOAD_BYTES = 1100
"""What fits a datagram of the default size beside its header, tag and acknowledgements."""


@dataclass(slots=True)
class Flight:
    """Datagrams that were sent together and not all answered for."""

    first_token: int
    row_offsets: U32
    ids: U64
    bit: int
    open: int


class Outbox:
    """Packs what is dirty, and marks dirty again what was lost."""

    def __init__(self, rules: WorldRules) -> None:
        self._rules = rules
        self._flights: deque[Flight] = deque()
        self._unsent: deque[tuple[U32, U64, int]] = deque()
        self._oversized: U32 = np.empty(0, np.uint32)
        self._afar: U32 = np.empty(0, np.uint32)

    def collect(self, table: EntityTable, own: SectorMap, tick: int) -> list[bytes]:
        """Return the datagrams of this tick. Only held rows of `tick` are looked at."""
        held = (table.phase == 0) & (table.tick == tick)
        dirty = table.dirty
        moved = np.flatnonzero(held & (dirty & MOVED != 0)).astype(np.uint32)
        due = tick - table.state_tick.astype(np.int64) >= self._rules.state_interval_ticks
        changed = np.flatnonzero(held & (dirty & CHANGED != 0) & due).astype(np.uint32)
        payloads: list[bytes] = []
        self._oversized = self._afar = np.empty(0, np.uint32)
        if len(moved):
            data, offsets, order, rows, skipped = pack_updates(
                table,
                moved,
                self._rules.sector_size,
                tick,
                own,
                ENTITY_UPDATE,
                DATAGRAM_PAYLOAD_BYTES,
            )
            dirty[moved] &= ~np.uint8(MOVED)
            self._afar = skipped
            payloads += self._cut(data, offsets, rows, table.ids[order], MOVED)
        if len(changed):
            table.state_tick[changed] = tick  # which the rows carry
            data, offsets, order, rows, skipped = pack_states(
                table, changed, ENTITY_STATE, DATAGRAM_PAYLOAD_BYTES
            )
            dirty[changed] &= ~np.uint8(CHANGED)
            self._oversized = skipped
            payloads += self._cut(data, offsets, rows, table.ids[order], CHANGED)
        return payloads

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

    def _cut(self, data: U8, offsets: U32, rows: U32, ids: U64, bit: int) -> list[bytes]:
        self._unsent.append((rows, ids, bit))
        view = data.tobytes()
        bounds = offsets.tolist()
        return [view[start:end] for start, end in pairwise(bounds)]

    def sent(self, first_token: int) -> None:
        """Say which token the first datagram of the last `collect` was given; -1 for none."""
        while self._unsent:
            rows, ids, bit = self._unsent.popleft()
            count = len(rows) - 1
            if first_token >= 0 and count:
                self._flights.append(Flight(first_token, rows, ids, bit, count))
                first_token += count

    def notice(self, table: EntityTable, acked: Sequence[int], lost: Sequence[int]) -> None:
        """Take the fate of datagrams; mark dirty what was lost."""
        noticed = np.sort(np.fromiter([*acked, *lost], np.int64, len(acked) + len(lost)))
        for flight in self._flights:
            end = flight.first_token + len(flight.row_offsets) - 1
            low, high = np.searchsorted(noticed, [flight.first_token, end])
            flight.open -= int(high - low)
        for token in lost:
            for flight in self._flights:
                number = token - flight.first_token
                if 0 <= number < len(flight.row_offsets) - 1:
                    start, end = flight.row_offsets[number : number + 2]
                    slots = table.slots(flight.ids[start:end])
                    table.dirty[slots[slots != ABSENT]] |= flight.bit
                    break
        while self._flights and self._flights[0].open <= 0:
            self._flights.popleft()

    def forget(self) -> None:
        """A session ended: nothing is in flight any more."""
        self._flights.clear()
        self._unsent.clear()
