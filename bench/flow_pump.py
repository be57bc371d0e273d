"""What an update costs at least on this machine: the flow without a protocol around it.

`python bench/flow_pump.py [--lean] [ENTITIES [TICK_HZ [DATAGRAM_BYTES [SECONDS]]]]`

Four processes and one, as in ``sidereal demo``, and the same compiled steps over the same columns:
rows copied out, moved and taken back, crossings looked for, updates packed, sealed and sent;
received, opened and written to the record. There is no handoff, no journal, no audit, no
acknowledgement, nothing lost goes again: what the demo takes beyond these figures is for those. The
last line says how many rows arrived; where that is not all, the run fails.

With ``--lean`` the game has no columns of its own and there are no states: rows move in the table,
and the record's table is in no order. That is the work of the prototype that was measured before
there was any of this; what it takes here beside what it took there compares the two machines.
"""

import multiprocessing
import os
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from sidereal import kernel
from sidereal.runtime import memory
from sidereal.runtime.stages import Stages
from sidereal.transport.codec import COMPILED
from sidereal.transport.keys import KeyChain
from sidereal.transport.layout import DATAGRAM, OVERHEAD_BYTES, UNSEQUENCED
from sidereal.transport.sockets import UdpSocket

SHARDS = 4
SIZE = 50.0
CROWD = 200
STATE_BYTES = 32
STATES_EVERY_TICKS = 10
UPDATE, STATE = 1, 2
KEY = bytes(32)
NS_PER_S = 1_000_000_000


class Forgotten:
    """In place of the record of what is out."""

    def record_datagram_run(self, *_: Any) -> None:
        """Forget it."""


def region(shard: int, rows: int) -> tuple[Any, Any, Any]:
    """A shard's ids, positions and velocities: a square of its own, each row away from borders."""
    rng = np.random.default_rng(shard)
    side = int(np.ceil(np.sqrt(rows / CROWD)))
    cell = rng.integers(0, side, (rows, 2)) + [shard * side, 0]
    position = (cell + rng.uniform(0.1, 0.9, (rows, 2))) * SIZE
    return np.arange(rows, dtype=np.uint64) + shard * rows, position, rng.normal(0, 3, (rows, 2))


def table_of(shards: list[int], rows: int, *, arranged: bool = True) -> tuple[Any, Any]:
    """The table of these shards' rows, and the owners of their sectors; handles in no order."""
    table, owners = kernel.EntityTable(SIZE, rows * len(shards)), kernel.SectorMap()
    for shard in shards:
        ids, position, velocity = region(shard, rows)
        table.upsert(ids, position, velocity)
        slots = table.slots(ids)
        handles = np.random.default_rng(shard + 100).permutation(rows) + shard * rows + (1 << 24)
        table.bind(slots, handles.astype(np.uint32))
        table.shard[slots] = shard + 1
        table.set_states(
            slots, np.full(rows, STATE_BYTES, np.uint32), np.zeros(rows * STATE_BYTES, np.uint8)
        )
        owners.set(np.unique(table.sector[slots], axis=0), shard + 1, 1)
    if arranged:
        table.arrange()
    return table, owners


def move_in_place(table: Any, tick: int, stages: Stages) -> None:
    """A tick of all rows without a copy of them."""
    table.position[:] += table.velocity * (1e-3 if tick % 2 else -1e-3)
    table.dirty[:] = 1
    table.tick[:] = tick
    stages.lap("moved")


def move_by_copies(table: Any, slots: Any, lengths: Any, tick: int, stages: Stages) -> None:
    """A tick of all rows as a game has it: columns of its own, and states that change."""
    _, position, velocity, _, _, _ = table.batch(slots)
    _, state = table.states(slots)
    stages.lap("copied out")
    position += velocity * (1e-3 if tick % 2 else -1e-3)
    state.view("<u4")[:: STATE_BYTES // 4] += 1
    stages.lap("moved")
    table.advance(slots, position, velocity, 1)
    table.set_states(slots, lengths, state, 2)
    table.stamp(slots, tick)
    stages.lap("taken back")


def pumping_shard(
    pipe: Connection, shard: int, rows: int, hz: float, size: int, lean: bool
) -> None:
    """One shard: a tick of all its rows, at the world's pace."""
    memory.keep()
    table, owners = table_of([shard], rows)
    slots = np.arange(rows, dtype=np.uint32)
    lengths = np.full(rows, STATE_BYTES, np.uint32)
    sealer = COMPILED.sealer(KeyChain(KEY, "aes-128-gcm"), shard)
    room = size - OVERHEAD_BYTES - DATAGRAM.size
    pipe.send("ready")
    port, start_ns, ticks = pipe.recv()
    target, late, sent_bytes = ("127.0.0.1", port), 0, 0
    with UdpSocket(spin_ns=0) as sock:
        stages = Stages()
        for tick in range(1, ticks + 1):
            wait_s = (start_ns + round(tick * NS_PER_S / hz) - time.monotonic_ns()) / NS_PER_S
            late += wait_s < 0
            time.sleep(max(0.0, wait_s))
            stages.lap("rest")
            if lean:
                move_in_place(table, tick, stages)
            else:
                move_by_copies(table, slots, lengths, tick, stages)
            kernel.crossings(table.position, table.sector, SIZE, 2.0, owners)
            stages.lap("crossings")
            data, offsets, _ = kernel.collect_updates(table, SIZE, tick, owners, 1, UPDATE, room)
            payloads = kernel.cut(data, offsets)
            if not lean:
                some = slots[tick % STATES_EVERY_TICKS :: STATES_EVERY_TICKS].copy()
                table.state_tick[some] = tick
                packed = kernel.pack_states(table, some, STATE, room)
                payloads += kernel.cut(packed[0], packed[1])
            stages.lap("packed")
            out: list[Any] = []
            none, head = bytearray([UNSEQUENCED]) * len(payloads), 0
            while head < len(payloads):
                head = sealer.seal_datagrams(
                    payloads, none, head, 0, size, 1 << 40, 256, 0, Forgotten(), target, out
                )
            stages.lap("sealed")
            sock.send(out)
            stages.lap("sent")
            sent_bytes += sum(len(payload) + OVERHEAD_BYTES + DATAGRAM.size for payload in payloads)
    pipe.send((rows * ticks, stages.used_ns, late, sent_bytes))


def pumped_server(pipe: Connection, rows: int, lean: bool) -> None:
    """The record: what arrives is opened and written."""
    memory.keep()
    table, owners = table_of(list(range(SHARDS)), rows, arranged=not lean)
    openers = {shard: COMPILED.opener(KeyChain(KEY, "aes-128-gcm")) for shard in range(SHARDS)}
    inbox, applied = COMPILED.inbox(), 0
    with UdpSocket(("127.0.0.1", 0), spin_ns=0) as sock:
        pipe.send(sock.address[1])
        stages = Stages()
        while not pipe.poll() or sock.wait(0):
            sock.wait(20_000_000)
            time.sleep(0.005)
            stages.lap("rest")
            batch = sock.receive_runs(8192)
            stages.lap("received")
            for shard, opener in openers.items():
                mine = [one if len(one) == 3 else one[0] for one in batch if one[0][1] == shard]
                inbox.clear()
                opener.open_batch(mine, 0, inbox)
                stages.lap("opened")
                updates = [data for data in inbox.datagrams if data[0] == UPDATE]
                states = [data for data in inbox.datagrams if data[0] == STATE]
                applied += kernel.apply_updates(table, updates, shard + 1, owners, SIZE).applied
                kernel.apply_states(table, states, shard + 1)
                stages.lap("applied")
    pipe.recv()
    pipe.send((applied, stages.used_ns))


def main(entities: int, hz: float, size: int, seconds: float, *, lean: bool = False) -> int:
    """Pump, and print what each stage took for a row."""
    rows, ticks = entities // SHARDS, round(seconds * hz)
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    work: list[tuple[Any, tuple[Any, ...]]] = [(pumped_server, (rows, lean))]
    work += [(pumping_shard, (shard, rows, hz, size, lean)) for shard in range(SHARDS)]
    for function, arguments in work:
        ours, theirs = context.Pipe()
        processes.append(context.Process(target=function, args=(theirs, *arguments), daemon=True))
        processes[-1].start()
        pipes.append(ours)
    port, *_ = [pipe.recv() for pipe in pipes]
    start_ns = time.monotonic_ns() + NS_PER_S // 2
    for pipe in pipes[1:]:
        pipe.send((port, start_ns, ticks))
    shards = [pipe.recv() for pipe in pipes[1:]]
    time.sleep(0.2)
    pipes[0].send("over")
    arrived, used = pipes[0].recv()
    sent = sum(done for done, _, _, _ in shards)
    late = sum(late for _, _, late, _ in shards)
    row_bytes = sum(sent_bytes for _, _, _, sent_bytes in shards) / sent
    print(
        f"{entities:,} at {hz:g} Hz, {size:,} bytes, {row_bytes:.1f} an update;"
        f" {os.cpu_count()} cores; {late} ticks late"
    )
    mean = {stage: sum(each[stage] for _, each, _, _ in shards) / sent for stage in shards[0][1]}
    for name, stages in (("shard", mean), ("server", {k: v / arrived for k, v in used.items()})):
        listed = ", ".join(f"{stage} {ns:.1f}" for stage, ns in stages.items())
        print(f"{name:7}{sum(stages.values()):6.1f} ns a row: {listed}")
    total = sum(mean.values()) + sum(used.values()) / arrived
    print(f"{total:13.1f} ns an update; {arrived:,} of {sent:,} applied")
    return 0 if arrived == sent else 1


if __name__ == "__main__":
    lean = "--lean" in sys.argv[1:]
    given = [float(value) for value in sys.argv[1:] if value != "--lean"]
    chosen = [*given, *(500_000, 10, 9_000, 10)[len(given) :]]
    sys.exit(main(int(chosen[0]), chosen[1], int(chosen[2]), chosen[3], lean=lean))
