"""How faults of the replication server and of its store strike."""

from collections.abc import Callable
from random import Random

from sidereal.replication import records
from sidereal.replication.settings import MS
from sidereal.store import memory as store
from sidereal.testing.blows import Blows, span
from sidereal.testing.orders import moved_away
from sidereal.testing.shards import SimulatedShard


def server_pause(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """The server stands still, and goes on."""
    del shard
    server = blows.cluster.server
    if server.paused:
        return False
    server.paused = True

    def go_on() -> None:
        server.paused = False

    blows.until(span(blows, random, 0.4, 1.3, 2.0), go_on)
    return True


def _start_again(blows: Blows, after_ns: int) -> None:
    """Start the next server process so much later, unless one lives."""

    def start() -> None:
        if not blows.cluster.server.alive:
            blows.cluster.restart()

    blows.later(after_ns, start)


def _store_fault(
    blows: Blows,
    random: Random,
    *faults: store.Fault,
    worth: Callable[[], bool] = lambda: True,
) -> bool:
    """The next commit that is `worth` it meets one of the faults; the process stops."""
    cluster, fault = blows.cluster, random.choice(faults)
    if cluster.disk.strike is not store.no_strike or not cluster.server.alive:
        return False
    after_ns = random.choice([100, 300, 800]) * MS

    def strike(operation: store.Operation) -> store.Fault | None:
        if operation != "commit" or not worth():
            return None
        heal()
        _start_again(blows, after_ns)
        return fault

    def heal() -> None:
        cluster.disk.strike = store.no_strike

    cluster.disk.strike = strike
    blows.until(span(blows, random, 2.0), heal)
    return True


def server_crash(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """The server dies before its commit is durable."""
    del shard
    return _store_fault(blows, random, store.Fault.CRASH_BEFORE)


def server_unsent(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """It dies when its commit is durable, and nothing of it has been sent.

    Every other time it is the commit of a migration, which is ordered for that.
    """
    if random.random() < 0.5:
        return _store_fault(blows, random, store.Fault.CRASH_AFTER)
    cluster = blows.cluster

    def moves() -> bool:
        written = (records.decode(data) for data in cluster.server.writing)
        return any(isinstance(each, records.Assigned) and len(each.states) for each in written)

    if moved_away(blows, shard, random) is None:
        return False
    return _store_fault(blows, random, store.Fault.CRASH_AFTER, worth=moves)


def server_batch(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """It dies when it has sent some of what was decided."""
    del shard
    server = blows.cluster.server
    if not server.alive:
        return False
    server.dies_after = random.randrange(6)
    after_ns = random.choice([100, 300, 800]) * MS

    def once_dead() -> None:
        if server.alive and server.dies_after is not None:
            blows.later(100 * MS, once_dead)  # it has had little to send
        else:
            _start_again(blows, after_ns)

    blows.later(100 * MS, once_dead)
    return True


def store_fails(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """Disk full, a failed fsync, a torn tail: the process stops."""
    del shard
    faults = (store.Fault.DISK_FULL, store.Fault.FSYNC_FAILED, store.Fault.TORN)
    return _store_fault(blows, random, *faults)


def commit_unknown(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """Nobody knows whether a commit is durable: the process stops."""
    del shard
    return _store_fault(blows, random, store.Fault.UNKNOWN_KEPT, store.Fault.UNKNOWN_LOST)


def two_leaders(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """A second server takes over while the first lives, with the shards it has."""
    del shard
    if not blows.cluster.server.alive:
        return False
    blows.cluster.restart(elsewhere=random.random() < 0.5)
    return True


def late_write(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """A leader stands still, maybe in the middle of a commit, and goes on when it is deposed."""
    del shard
    old = blows.cluster.server
    if not old.alive or old.paused:
        return False
    old.paused = True
    for line in old.lines.values():
        line.quiet("peer")

    def go_on() -> None:
        old.paused = False

    blows.cluster.restart(elsewhere=random.random() < 0.5)
    blows.until(span(blows, random, 0.2, 0.7, 1.5), go_on)
    return True


def all_reconnect(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """The server dies, is there again at once, and everybody comes together."""
    del shard, random
    server = blows.cluster.server
    if not server.alive:
        return False
    server.crash()
    _start_again(blows, 1 * MS)
    return True


def outage(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """The server is away for longer than a lease."""
    del shard
    server = blows.cluster.server
    if not server.alive:
        return False
    server.crash(noticed=random.random() < 0.5)
    _start_again(blows, span(blows, random, 1.5, 3.0))
    return True
