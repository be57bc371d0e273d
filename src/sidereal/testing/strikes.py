"""How each aimed fault strikes, and how what it did is healed.

Each function is given the shard that was found in the strike's phase. It returns
whether it struck.
"""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from sidereal.ids import Sector
from sidereal.kernel import ABSENT
from sidereal.replication.settings import MS
from sidereal.testing import orders
from sidereal.testing import server_strikes as server
from sidereal.testing.blows import Blows, span
from sidereal.testing.shards import SimulatedShard
from sidereal.wire import operator_messages as om
from sidereal.world.sectors import SectorState

if TYPE_CHECKING:
    pass


def crash(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """The process dies at once."""
    blows.crash(shard, random)
    return True


def delay(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """Everything on its link comes later by up to two leases."""
    line, extra = shard.line, span(blows, random, 0.5, 1.2, 2.0)
    for pipe in (line.up, line.down):
        pipe.extra_ns += extra

    def undo() -> None:
        for pipe in (line.up, line.down):
            pipe.extra_ns -= extra

    blows.until(span(blows, random, 0.5, 2.0), undo)
    return True


def one_way(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """One direction is cut."""
    blows.hold(shard.line, span(blows, random, 0.3, 1.3, 3.0), random.choice(["up", "down"]))
    return True


def partition(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """Both directions are cut."""
    blows.hold(shard.line, span(blows, random, 0.3, 1.3, 3.0), "up", "down")
    return True


def flapping(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """The link breaks at once, or is cut again and again."""
    if random.random() < 0.6:
        shard.line.snap("the link broke")
        return True
    for number in range(5):
        blows.later(number * 250 * MS, partial(blows.hold, shard.line, 150 * MS, "up", "down"))
    return True


def clog(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """Nothing gets through for less than a lease; then all of it at once."""
    directions = random.choice([("up",), ("down",), ("up", "down")])
    blows.hold(shard.line, span(blows, random, 0.2, 0.6), *directions)
    return True


def pause(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """The process stands still beyond its lease, then goes on."""
    shard.paused = True

    def go_on() -> None:
        shard.paused = False

    blows.until(span(blows, random, 0.6, 1.5, 1.5, 3.0), go_on)
    return True


def fast_restart(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """The process dies and its next incarnation is there within milliseconds."""
    blows.crash(shard, random, back_ns=random.choice([1, 10, 50]) * MS)
    return True


def zombie(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """What it says is held back until it is fenced, and comes then."""
    blows.hold(shard.line, span(blows, random, 1.6, 2.2), "up")
    return True


def crash_loop(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """It dies again and again soon after it started."""
    name = shard.name

    def again() -> None:
        for other in blows.cluster.shards:
            if other.alive and other.name == name:
                blows.crash(other, random, back_ns=100 * MS)

    blows.crash(shard, random, back_ns=100 * MS)
    for number in range(1, 4):
        blows.later(number * 450 * MS, again)
    return True


def slow(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """Its steps take longer than ticks."""
    if shard.busy_ns:
        return False
    shard.busy_ns = random.choice([40, 150, 400]) * MS

    def recover() -> None:
        shard.busy_ns = 0

    blows.until(span(blows, random, 1.0, 3.0), recover)
    return True


def crash_both(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """Source and target of a migration die together."""
    books = blows.cluster.manager.books
    targets = {
        entry.target
        for entry in books.sectors.values()
        if entry.shard_id == shard.core.shard_id and entry.target is not None
    }
    at = blows.simulation.phases.sessions[shard.link]
    for coords in at.decided:
        targets.add(books.entry(coords).shard_id)
    others = [
        other
        for other in blows.simulation.standing()
        if other.core.shard_id in targets and other is not shard
    ]
    if not others:
        return False
    for victim in (shard, *others):
        blows.crash(victim, random)
    return True


def crash_all(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """All die."""
    del shard
    for victim in blows.cluster.alive():
        blows.crash(victim, random)
    return True


def destroy_in_transit(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """An operator destroys an entity that is between two shards."""
    at = blows.simulation.phases.sessions[shard.link]
    ids = [*at.asked, *at.heard, *at.answered, *at.arriving, *at.spawning]
    unheard = random.random() < 0.4
    if unheard:  # the shard hears neither what became of its request nor of the end
        table = blows.cluster.manager.books.table
        settled = [*at.spawning, *at.answered, *at.arriving]
        ids = [e for e in settled if (table.slots(np.array([e], np.uint64)) != ABSENT).all()]
    if not ids:
        return False
    blows.cluster.order(om.DestroyByOperator(1, [random.choice(ids)]))
    if unheard:
        shard.line.snap("the link broke")
    return True


def join_or_drain(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """A shard joins, or this one is drained for a while."""
    if random.random() < 0.4:
        return blows.simulation.join() is not None
    shard_id = shard.core.shard_id
    cluster = blows.cluster
    cluster.order(om.Command(1, "drain", None, shard_id))
    blows.until(
        span(blows, random, 1.0, 3.0),
        lambda: cluster.order(om.Command(1, "uncordon", None, shard_id)),
    )
    return True


def migration_back(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """A sector of its is moved, and back as soon as it has moved."""
    cluster = blows.cluster
    source = shard.core.shard_id
    others, entry = orders.others(blows, source), orders.fullest(blows, shard)
    if source is None or entry is None or not others:
        return False
    target = random.choice(others)
    cluster.order(om.Command(1, "migrate", entry.coords, target))
    if len(others) > 1 and random.random() < 0.5:
        other, unload = random.choice([i for i in others if i != target]), random.random() < 0.6
        _abort(blows, entry.coords, target, other, unload=unload)
        return True
    tries = 60

    def back() -> None:
        nonlocal tries
        tries -= 1
        if entry.shard_id == target and entry.state is SectorState.ACTIVE:
            cluster.order(om.Command(1, "migrate", entry.coords, source))
        elif tries:
            cluster.clock.at(cluster.clock.now + 20 * MS, back)

    back()
    return True


def _abort(blows: Blows, coords: Sector, target: int, other: int, *, unload: bool) -> None:
    """The target's link breaks while the source is frozen, and its `SectorRemoved` on the way. The
    sector is to go to another then, or to be unloaded: frozen again at once, without a copy.
    """
    cluster = blows.cluster
    delay_ns = blows.simulation.plan.weather.delay_ns
    tries = 60

    def snap() -> None:
        for shard in cluster.alive():
            if shard.core.shard_id == target and shard.linked:
                shard.line.snap("the link broke")

    def again() -> None:
        if unload:
            cluster.order(om.Command(1, "unload", coords, None))
        else:
            cluster.order(om.Command(1, "migrate", coords, other))

    def once_frozen() -> None:
        nonlocal tries
        tries -= 1
        entry = cluster.manager.books.sectors.get(coords)
        if entry is not None and entry.state is SectorState.UNLOADING and entry.target == target:
            blows.later(delay_ns * 5 // 4, snap)
            blows.later(delay_ns * 5 // 4 + 1 * MS, again)
        elif tries:
            cluster.clock.at(cluster.clock.now + max(delay_ns // 8, MS), once_frozen)

    once_frozen()


def custody_full(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """Custody has no room for more. Every other time what is asked for is refused for that while
    the sector that it stays in is being frozen.
    """
    books = blows.cluster.manager.books
    before = books.custody_max
    if before < 1000:
        return False
    busy = blows.simulation.phases.of(shard) != ["idle"]
    if random.random() < 0.5 and busy and not _refused_at_a_freeze(blows, shard, random):
        return False
    books.custody_max = random.choice([0, 1, 3])

    def room() -> None:
        books.custody_max = before

    blows.until(span(blows, random, 0.5, 2.0), room)
    return True


def _refused_at_a_freeze(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """Have the sectors moved that a request on its way comes from and leads to."""
    table = blows.cluster.manager.books.table
    for entity, target in blows.simulation.phases.sessions[shard.link].asked.items():
        slot = table.slots(np.array([entity], np.uint64))[0]
        if slot == ABSENT:
            continue
        x, y = table.sector[slot].tolist()
        if orders.move(blows, (x, y), random):
            return orders.move(blows, target, random)
    return False


def unload_races(blows: Blows, shard: SimulatedShard, random: Random) -> bool:
    """An operator unloads a sector into which something is on its way."""
    at = blows.simulation.phases.sessions[shard.link]
    books = blows.cluster.manager.books
    targets = [*at.asked.values(), *at.heard.values(), *at.answered.values(), *at.arriving.values()]
    targets += at.loading
    active = [c for c in targets if books.entry(c).state is SectorState.ACTIVE]
    if not active:
        return False
    blows.cluster.order(om.Command(1, "unload", random.choice(active), None))
    return True


STRIKES: dict[str, Callable[[Blows, SimulatedShard, Random], bool]] = {
    "delay": delay,
    "one-way": one_way,
    "partition": partition,
    "flapping": flapping,
    "clog": clog,
    "crash-idle": crash,
    "crash-asked": crash,
    "crash-answered": crash,
    "crash-arriving": crash,
    "crash-frozen": crash,
    "crash-removed": crash,
    "crash-loading": crash,
    "pause": pause,
    "fast-restart": fast_restart,
    "zombie": zombie,
    "crash-loop": crash_loop,
    "slow": slow,
    "crash-both": crash_both,
    "crash-all": crash_all,
    "destroy-in-transit": destroy_in_transit,
    "join-or-drain": join_or_drain,
    "migration-back": migration_back,
    "custody-full": custody_full,
    "unload-races": unload_races,
    "server-pause": server.server_pause,
    "server-crash": server.server_crash,
    "server-unsent": server.server_unsent,
    "server-batch": server.server_batch,
    "two-leaders": server.two_leaders,
    "late-write": server.late_write,
    "store-fails": server.store_fails,
    "commit-unknown": server.commit_unknown,
    "all-reconnect": server.all_reconnect,
    "outage": server.outage,
}
"""Each aimed fault by its name."""
