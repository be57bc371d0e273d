"""The invariants of ownership, checked from outside after every instant.

Written without the manager's own reasoning: they look at what each shard holds
and may simulate, at the record, and at what both were an instant ago.
"""

from typing import TYPE_CHECKING

import numpy as np

from sidereal.ids import Sector
from sidereal.kernel import ABSENT
from sidereal.shard.phase import DESTROYING, SHADOW, STILL
from sidereal.world.columns import U32, U64
from sidereal.world.sectors import SectorState

if TYPE_CHECKING:
    from sidereal.testing.cluster import Cluster, SimulatedShard

REST = 1e-6
"""How far, in sector sizes, a position at rest may differ: an update's rounding."""


def simulated_by(shard: "SimulatedShard", now: int) -> U64:
    """Return the ids that a shard may simulate with authority at `now`."""
    found: U64 = shard.core.holdings.table.ids[_running(shard, now)]
    return found


def _running(shard: "SimulatedShard", now: int) -> U32:
    if not shard.alive or not shard.core.has_lease(now):
        return np.empty(0, np.uint32)
    phase = shard.core.holdings.table.phase
    return np.flatnonzero(phase & (SHADOW | DESTROYING | STILL) == 0).astype(np.uint32)


class History:
    """What an instant is compared with: everything that was true before it."""

    def __init__(self) -> None:
        self._ids: U64 = np.empty(0, np.uint64)
        self._version: U32 = np.empty(0, np.uint32)
        self._tick: U32 = np.empty(0, np.uint32)
        self.ended: set[int] = set()
        """Ids that were in the record at some instant, and are no more."""
        self._holders: dict[tuple[Sector, int], str] = {}

    def record(self, cluster: "Cluster") -> None:
        """Versions only rise, within a version ticks; what has ended never comes back."""
        table, now = cluster.manager.books.table, cluster.clock.now
        order = np.argsort(table.ids)
        ids, version, tick = table.ids[order], table.version[order], table.tick[order]
        if not np.array_equal(ids, self._ids):
            new = np.setdiff1d(ids, self._ids, assume_unique=True)
            self.ended.update(np.setdiff1d(self._ids, ids, assume_unique=True).tolist())
            back = self.ended.intersection(new.tolist())
            assert not back, f"at {now}: {sorted(back)[:5]} were destroyed and are recorded again"
        _, before, after = np.intersect1d(self._ids, ids, assume_unique=True, return_indices=True)
        fell = version[after] < self._version[before]
        assert not fell.any(), f"at {now}: the versions of {ids[after][fell][:5]} fell"
        fell = (version[after] == self._version[before]) & (tick[after] < self._tick[before])
        assert not fell.any(), f"at {now}: the ticks of {ids[after][fell][:5]} fell"
        self._ids, self._version, self._tick = ids, version, tick

    def owners(self, cluster: "Cluster") -> None:
        """Whoever has had a sector at an epoch is the only one who ever does."""
        for shard in cluster.shards:
            life = f"{shard.name}/{shard.core.incarnation}"
            for coords, held in shard.core.sectors.held.items():
                first = self._holders.setdefault((coords, held.epoch), life)
                assert first == life, (
                    f"at {cluster.clock.now}: {life} has sector {coords} at epoch {held.epoch},"
                    f" which {first} had"
                )


def every_instant(cluster: "Cluster") -> None:
    """Hold all invariants against the cluster as it stands; raise `AssertionError` with a story."""
    now = cluster.clock.now
    running = [_running(shard, now) for shard in cluster.shards]
    parts = [
        shard.core.holdings.table.ids[slots]
        for shard, slots in zip(cluster.shards, running, strict=True)
    ]
    everywhere = np.concatenate(parts) if parts else np.empty(0, np.uint64)
    unique, times = np.unique(everywhere, return_counts=True)
    twice = unique[times > 1]
    assert not len(twice), (
        f"at {now}: entity {int(twice[0])} is simulated with authority by "
        + " and ".join(
            shard.name
            for shard, ids in zip(cluster.shards, parts, strict=True)
            if int(twice[0]) in ids
        )
    )
    books = cluster.manager.books
    counters = books.counters
    assert counters["created"] == len(books.table) + counters["destroyed"], (
        f"at {now}: {counters['created']} created, {len(books.table)} in the record,"
        f" {counters['destroyed']} destroyed"
    )
    cluster.history.record(cluster)
    assert len(cluster.history.ended) <= counters["destroyed"], (
        f"at {now}: {len(cluster.history.ended)} have gone from the record,"
        f" {counters['destroyed']} of them destroyed"
    )
    cluster.history.owners(cluster)
    _agrees(cluster, running)


def _agrees(cluster: "Cluster", running: list[U32]) -> None:
    """What is simulated is the record's in version, sector and owner, or was just destroyed."""
    at = [i for i, slots in enumerate(running) if len(slots)]
    if not at:
        return
    books, story = cluster.manager.books, f"at {cluster.clock.now}: "
    record = books.table
    tables = [cluster.shards[i].core.holdings.table for i in at]
    ids = np.concatenate([t.ids[running[i]] for i, t in zip(at, tables, strict=True)])
    version = np.concatenate([t.version[running[i]] for i, t in zip(at, tables, strict=True)])
    sector = np.concatenate([t.sector[running[i]] for i, t in zip(at, tables, strict=True)])
    own = np.concatenate(
        [
            cluster.shards[i].core.holdings.own.get(t.sector[running[i]])[1]
            for i, t in zip(at, tables, strict=True)
        ]
    )
    shard_ids = [cluster.shards[i].core.shard_id for i in at]
    shard = np.repeat(np.array(shard_ids, np.int32), [len(running[i]) for i in at])

    there = record.slots(ids)
    gone = there == ABSENT
    if gone.any():
        lost = set(ids[gone].tolist()) - cluster.history.ended
        assert not lost, f"{story}{sorted(lost)[:5]} are simulated and were never recorded"
        ids, version, sector, own = ids[~gone], version[~gone], sector[~gone], own[~gone]
        shard, there = shard[~gone], there[~gone]
    owner, epoch = books.owners.get(sector)
    for wrong, what in (
        (version != record.version[there], "at versions that are not the record's"),
        ((sector != record.sector[there]).any(axis=1), "in sectors that are not the record's"),
        (shard != record.shard[there], "by shards to which they were not sent"),
        ((owner != shard) | (epoch != own), "in sectors that are not their shards'"),
    ):
        assert not wrong.any(), (
            f"{story}{ids[wrong][:5]} are simulated by shards {shard[wrong][:5]} {what}"
        )


def settled(cluster: "Cluster") -> None:
    """Every entity of the record is simulated, by the shard that the record says."""
    table = cluster.manager.books.table
    now = cluster.clock.now
    total = 0
    for shard in cluster.alive():
        ids, shard_id = simulated_by(shard, now), shard.core.shard_id
        slots = table.slots(ids)
        assert (slots != ABSENT).all(), f"shard {shard_id} simulates what is not recorded"
        wrong = table.shard[slots] != shard_id
        assert not wrong.any(), f"shard {shard_id} simulates {ids[wrong][:5]} of another"
        total += len(ids)
    assert total == len(table), f"{len(table)} recorded, {total} simulated"


def at_rest(cluster: "Cluster") -> None:
    """Settled; and nothing is on its way, undecided, or known here other than there.

    Entities must have stood still for long enough that their last updates arrived.
    """
    settled(cluster)
    books = cluster.manager.books
    stuck = [
        entry
        for entry in books.sectors.values()
        if entry.state not in (SectorState.ACTIVE, SectorState.UNLOADED)
        or entry.awaiting
        or entry.custody_since_ns is not None
    ]
    assert not stuck, f"not at rest: {stuck[0]}"
    table = books.table
    owner, _ = books.owners.get(table.sector)
    assert (owner == table.shard).all(), "an entity was sent to another than its sector's owner"
    for shard in cluster.alive():
        if not shard.core.has_lease(cluster.clock.now):
            continue
        here, shard_id = shard.core.holdings.table, shard.core.shard_id
        odd = here.ids[here.phase != 0]
        assert not len(odd), f"shard {shard_id} has {odd[:5]} undecided or standing still"
        has = {coords: held.epoch for coords, held in shard.core.sectors.held.items()}
        given = {e.coords: e.epoch for e in books.sectors.values() if e.shard_id == shard_id}
        assert has == given, f"shard {shard_id} and the record differ on the sectors it has"
        apart = np.abs(here.position - table.position[table.slots(here.ids)]).max(axis=1)
        far = apart > REST * books.rules.sector_size
        assert not far.any(), f"the record has {here.ids[far][:5]} where they are not"
