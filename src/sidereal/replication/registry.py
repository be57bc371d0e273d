"""The shards that the replication server knows: `ActiveShards` and `ShardInfo` of the seed.

A registration is one incarnation of one name and gets a `ShardId` of its own,
never used again: books kept by ShardId are books kept by incarnation.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sidereal.ids import Incarnation, LinkId, Sector, ShardId
from sidereal.wire.shard_messages import ShardLoadStats
from sidereal.world.columns import U64


@dataclass(slots=True)
class ShardInfo:
    """One registered incarnation of a shard."""

    shard_id: ShardId
    name: str
    incarnation: Incarnation
    link: LinkId | None
    """None once its session has ended; it lives on until its lease is over."""
    answered_ns: int
    """When its lease was last extended: the last answered heartbeat, or the registration."""
    wants_ghosts: bool = False
    load: ShardLoadStats = field(default_factory=lambda: ShardLoadStats(0, 0))
    assigned_since_report: float = 0.0
    sectors: set[Sector] = field(default_factory=set)
    cordoned: bool = False
    """It gets no sectors, by an operator's word."""
    draining: bool = False
    """And what it has goes to others."""
    untaken_ns: int | None = None
    """When a move to it was last given up that it had not done its part of."""
    spawn_serial: int = 0
    """The highest id that it has spawned: ids below are decided."""
    grants: list[tuple[int, int]] = field(default_factory=list)
    mail_sent: int = 0
    mail_seen: int = 0
    mail_taken: int | None = 0
    """The number of its last letter that came; None where none has since this server took over."""
    heard_ns: int = 0
    """The time of the newest answer that it says it has heard."""
    hears_ns: int = 0
    """When it last said that it had heard a newer one."""
    spared: bool = False
    """Whether, since it was answered, its death was put off because the server stood still."""

    def opened(self, now: int) -> None:
        """A session opens: its lease begins, or goes on."""
        self.answered_ns = self.hears_ns = now
        self.spared = False

    def hears(self, answer_ns: int, now: int) -> None:
        """It says which answer was the newest that came."""
        if answer_ns > self.heard_ns:
            self.heard_ns = min(answer_ns, now)
            self.hears_ns = now

    def load_score(self, player_weight: float) -> float:
        """The seed's score: entities plus weighted players, plus what was assigned since."""
        return (
            self.load.entity_count
            + player_weight * self.load.player_count
            + self.assigned_since_report
        )

    def granted(self, ids: U64) -> NDArray[np.bool_]:
        """Return which ids lie in the blocks that it was granted and has not spawned all of."""
        mine = np.zeros(len(ids), bool)
        for first, count in self.grants:
            mine |= (ids >= first) & (ids < first + count)
        return mine

    def decided(self, serial: int) -> None:
        """All ids up to `serial` are decided: blocks that end there are used up."""
        self.spawn_serial = max(self.spawn_serial, serial)
        self.grants = [(f, count) for f, count in self.grants if f + count - 1 > serial]


class ActiveShards:
    """The registry: shards by id and by link."""

    def __init__(self) -> None:
        self._by_id: dict[ShardId, ShardInfo] = {}
        self._by_link: dict[LinkId, ShardInfo] = {}
        self.next_id = 0

    def register(
        self, name: str, incarnation: Incarnation, link: LinkId, wants_ghosts: bool, now: int
    ) -> ShardInfo:
        """Add one incarnation under a new id."""
        info = ShardInfo(ShardId(self.next_id), name, incarnation, link, now, wants_ghosts)
        info.opened(now)
        self.next_id += 1
        self._by_id[info.shard_id] = info
        self._by_link[link] = info
        return info

    def restore(self, info: ShardInfo) -> ShardInfo:
        """Add one that an earlier server registered; it has no session yet."""
        self._by_id[info.shard_id] = info
        self.next_id = max(self.next_id, info.shard_id + 1)
        return info

    def attach(self, info: ShardInfo, link: LinkId) -> None:
        """A new session of a known incarnation."""
        info.link = link
        self._by_link[link] = info

    def find(self, name: str, incarnation: int) -> ShardInfo | None:
        """Return the shard of that name and incarnation, or None where it is dead or unknown."""
        for info in self._by_id.values():
            if (info.name, info.incarnation) == (name, incarnation):
                return info
        return None

    def end_session(self, link: LinkId) -> ShardInfo | None:
        """Forget the link; the shard stays until its lease is over."""
        info = self._by_link.pop(link, None)
        if info is not None:
            info.link = None
        return info

    def remove(self, info: ShardInfo) -> None:
        """Forget a dead shard."""
        if info.link is not None:
            self._by_link.pop(info.link, None)
        del self._by_id[info.shard_id]

    def by_link(self, link: LinkId) -> ShardInfo | None:
        """Return the shard behind `link`, or None."""
        return self._by_link.get(link)

    def get(self, shard_id: int) -> ShardInfo | None:
        """Return the shard, or None where it is dead or was never there."""
        return self._by_id.get(ShardId(shard_id))

    def __iter__(self) -> Iterator[ShardInfo]:
        """All shards, in the order of their ids."""
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def candidates(self) -> list[ShardInfo]:
        """Shards that may be given a sector: connected and not cordoned, by id."""
        return [info for info in self if info.link is not None and not info.cordoned]
