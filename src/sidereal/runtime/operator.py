"""`Operator`: a tool's link to a running world, one question at a time.

Where the link ends before an answer, it is made anew, and the question asked again if that does
no harm: entities are created once, however often they are asked for, because an id is used once.
"""

import itertools
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sidereal.errors import HandshakeError, SiderealError
from sidereal.ids import Sector
from sidereal.limits import BATCH_ROWS_MAX, ID_BLOCK
from sidereal.runtime.channel import Address, Channel
from sidereal.runtime.clock import now_ns
from sidereal.runtime.line import Line
from sidereal.transport import LinkClosed, MessageReceived
from sidereal.wire import codec
from sidereal.wire import operator_messages as om
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import Message
from sidereal.world.batch import Spawn
from sidereal.world.columns import F32, F64, U32, U64
from sidereal.world.entities import EntityRows
from sidereal.world.rules import NS_PER_S

ANSWER_S = 10.0
STATES = ("Unloaded", "Loading", "Active", "Unloading")


class OperatorError(SiderealError):
    """The server would not do it; the message says why."""


class Operator:
    """Asks the replication server, under the operators' key.

    Parameters
    ----------
    server, key
        Where it listens, and the key named ``admin``.
    patience_s
        How long an answer may take, the server's restart included.

    Raises
    ------
    HandshakeError
        No server answers there, or it does not take the key.
    """

    def __init__(self, server: Address, key: bytes, *, patience_s: float = ANSWER_S) -> None:
        self._patience_ns = round(patience_s * NS_PER_S)
        self._channel = Channel(None)
        self._line = Line(self._channel, server, "admin", key)
        self._server = server
        self._requests = itertools.count(1)
        self._answers: list[Message] = []
        self._breaks = 0
        self._left = range(0)
        deadline = now_ns() + self._patience_ns
        while not self._line.open:
            self._pump(deadline)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self._line.close("done")

    # --- questions -----------------------------------------------------------

    def status_message(self) -> om.Status:
        """Return how the world stands, as the server says it."""
        answer = self._ask(om.StatusRequest(next(self._requests)))
        assert isinstance(answer, om.Status)
        return answer

    def status(self) -> dict[str, Any]:
        """Return how the world stands, as plain values."""
        status = self.status_message()
        rows = status.sectors
        columns = [getattr(rows, name).tolist() for name in rows.LAYOUT]
        return {
            "tick": status.tick,
            "term": status.term,
            "entities": status.entities,
            "scheduled": status.scheduled,
            "custody": status.custody,
            "shards": [
                {name: getattr(shard, name) for name in shard.__struct_fields__}
                for shard in status.shards
            ],
            "sectors": [
                {
                    "sector": tuple(sector),
                    "epoch": epoch,
                    "entities": entities,
                    "shard_id": shard,
                    "state": STATES[state],
                }
                for sector, epoch, entities, shard, state in zip(*columns, strict=True)
            ],
            "counters": dict(sorted(status.counters.items())),
        }

    def ids(self, count: int) -> tuple[int, int]:
        """Return the first id and the size of a block that is ours to spawn with."""
        answer = self._ask(om.RequestIds(count))
        assert isinstance(answer, sm.GrantIds)
        return answer.first, answer.count

    def spawn(
        self,
        position: F64,
        velocity: F64,
        *,
        state: NDArray[Any] | None = None,
        flags: U32 | None = None,
        sensor: F32 | None = None,
    ) -> U64:
        """Create entities anywhere in the world, in loaded and unloaded sectors alike.

        The columns are those of `sidereal.Spawn`. Returns their ids, u64 (n,), in the order of
        the rows; they are simulated from the tick after the server has them.

        Raises
        ------
        ValueError
            A value is not finite, or the columns differ in length.
        OperatorError
            The server refuses some: positions outside the world, or no room. What it did not
            refuse among them exists.
        """
        wanted = Spawn(position, velocity, state, flags, sensor)
        count = len(wanted)
        ids = np.empty(count, np.uint64)
        for start in range(0, count, BATCH_ROWS_MAX):
            part = slice(start, min(start + BATCH_ROWS_MAX, count))
            ids[part] = self._take_ids(part.stop - start)
            answer = self.spawn_rows(entity_rows(wanted, part, ids[part]))
            if answer.refused:
                raise OperatorError(
                    f"{len(answer.refused)} of {part.stop - start} entities were not created:"
                    f" {answer.reason}"
                )
        return ids

    def spawn_rows(self, entities: EntityRows) -> om.SpawnOutcome:
        """Create entities under ids that `ids` gave; return what became of them.

        A ``tick`` of 0 stands for the present one. Where the question had to be asked again, what
        the first asking created counts as created.
        """
        breaks = self._breaks
        answer = self._ask(om.SpawnEntities(next(self._requests), entities))
        assert isinstance(answer, om.SpawnOutcome)
        if breaks == self._breaks or not answer.used:
            return answer
        used = set(answer.used)
        refused = [entity for entity in answer.refused if entity not in used]
        reason = answer.reason if refused else ""
        return om.SpawnOutcome(answer.request, answer.created + len(used), refused, reason)

    def destroy(self, ids: Iterable[int] | U64) -> int:
        """Destroy entities wherever they are; return how many there were.

        After a break of the link it is asked again, and those that the first asking destroyed are
        not counted. Nor is what a shard has asked for and the record does not have yet: that lives
        on. A spawn can be in that state again after the server was started anew.
        """
        listed = [int(i) for i in np.asarray(list(ids), np.uint64)]
        answer = self._ask(om.DestroyByOperator(next(self._requests), listed))
        assert isinstance(answer, om.DestroyOutcome)
        return len(answer.destroyed)

    def migrate(self, sector: Sector, shard: str) -> dict[str, Any]:
        """Move a sector to the shard of that name."""
        return self._command("migrate", sector, shard)

    def load(self, sector: Sector) -> dict[str, Any]:
        """Have a sector loaded."""
        return self._command("load", sector, None)

    def unload(self, sector: Sector) -> dict[str, Any]:
        """Have a sector unloaded."""
        return self._command("unload", sector, None)

    def cordon(self, shard: str) -> dict[str, Any]:
        """Give a shard no more sectors; it keeps those it has."""
        return self._command("cordon", None, shard)

    def uncordon(self, shard: str) -> dict[str, Any]:
        """Let a shard be given sectors again, after `cordon` or `drain`."""
        return self._command("uncordon", None, shard)

    def drain(self, shard: str, *, wait_s: float = 0.0) -> dict[str, Any]:
        """Move everything off a shard and give it nothing more.

        The sectors move as they run, some at a time. With `wait_s` this returns once the shard
        has none, so that it can leave; `OperatorError` where it then still has some.
        """
        answer = self._command("drain", None, shard)
        deadline = now_ns() + round(wait_s * NS_PER_S)
        while wait_s and (left := self._sectors_of(shard)):
            if now_ns() >= deadline:
                raise OperatorError(
                    f"shard {shard} still has {left} sectors after {wait_s:g} s: are there others"
                    " that may be given them?"
                )
            self._channel.wait(min(deadline, now_ns() + NS_PER_S // 5))
        return {**answer, "drained": True} if wait_s else answer

    def why(self, sector: Sector) -> dict[str, Any]:
        """Return why a sector is where it is."""
        return self._done(om.Why(next(self._requests), sector))

    # --- inside --------------------------------------------------------------

    def _take_ids(self, count: int) -> U64:
        """Return ids of the blocks that were granted; what is left of one is for the next."""
        taken = [np.arange(0, dtype=np.uint64)]
        while count:
            if not self._left:
                self._left = self._granted(ID_BLOCK)
            some, self._left = self._left[:count], self._left[count:]
            taken.append(np.arange(some.start, some.stop, dtype=np.uint64))
            count -= len(some)
        return np.concatenate(taken)

    def _granted(self, count: int) -> range:
        first, count = self.ids(count)
        return range(first, first + count)

    def _sectors_of(self, shard: str) -> int:
        return sum(s.sectors for s in self.status_message().shards if s.name == shard)

    def _command(self, verb: str, sector: Sector | None, shard: str | None) -> dict[str, Any]:
        shard_id = None
        if shard is not None:
            known = {s.name: s.shard_id for s in self.status_message().shards if s.alive}
            if shard not in known:
                raise OperatorError(
                    f"no shard {shard!r} is connected; there are {', '.join(sorted(known))}"
                )
            shard_id = known[shard]
        return self._done(om.Command(next(self._requests), verb, sector, shard_id))

    def _done(self, question: Message) -> dict[str, Any]:
        answer = self._ask(question)
        assert isinstance(answer, om.CommandOutcome)
        if not answer.ok:
            raise OperatorError(answer.detail)
        return {"ok": True, "detail": answer.detail}

    def _ask(self, question: Message) -> Message:
        """Ask, again after each break of the link; return the answer."""
        deadline = now_ns() + self._patience_ns
        asked = self._breaks - 1
        while not self._answers:
            if self._line.open and asked != self._breaks:
                asked = self._breaks
                self._line.send(codec.encode(question))
                self._channel.flush()
            self._pump(deadline)
            if asked < self._breaks and isinstance(question, om.Command):
                raise OperatorError(
                    f"the link broke before the answer to {question.verb!r}: the status tells"
                    " whether it was done"
                )
        return self._answers.pop(0)

    def _pump(self, deadline: int) -> None:
        for event in self._line.pump(now_ns()):
            if isinstance(event, MessageReceived):
                self._answers.append(codec.decode(event.data))
            elif isinstance(event, LinkClosed):
                self._answers.clear()
                self._breaks += 1
                if not self._line.reached:
                    raise HandshakeError(f"cannot join as an operator: {event.reason}")
        if self._line.open and self._answers:
            return
        if now_ns() >= deadline:
            raise SiderealError(
                f"no answer from {self._server[0]}:{self._server[1]}"
                f" in {self._patience_ns / NS_PER_S:g} s"
            )
        self._channel.wait(min(deadline, now_ns() + NS_PER_S // 10))


def entity_rows(spawn: Spawn, part: slice, ids: U64) -> EntityRows:
    """Return some rows of a spawn as the entities that the server is sent."""
    count = len(ids)
    item = 0 if spawn.state is None else spawn.state.dtype.itemsize
    state = b"" if spawn.state is None else spawn.state[part].tobytes()
    return EntityRows(
        ids=ids,
        group=np.zeros(count, np.uint64),
        position=spawn.position[part],
        velocity=spawn.velocity[part],
        sector=np.zeros((count, 2), np.int32),
        version=np.zeros(count, np.uint32),
        handle=np.zeros(count, np.uint32),
        tick=np.zeros(count, np.uint32),
        flags=np.zeros(count, np.uint32) if spawn.flags is None else spawn.flags[part],
        sensor=np.zeros(count, np.float32) if spawn.sensor is None else spawn.sensor[part],
        lengths=np.full(count, item, np.uint32),
        states=np.frombuffer(state, np.uint8),
    )
