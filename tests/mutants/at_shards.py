"""Faults of shards, each with the invariants that kill it."""

from mutants.invariants import (
    AGREES,
    AUDIT,
    DROPPED,
    GROUPS,
    HONEST,
    NEWEST,
    ONE,
    REPLAY,
    RESTS,
    TAKEOVER,
    TICK,
    WISHED,
)
from mutants.sabotage import Cut, Mutant

SHARDS = (
    Mutant(
        "request-repeated",
        "a request repeated within a session",
        (AGREES, DROPPED, RESTS, TAKEOVER, HONEST, ONE),
        (
            Cut(
                "shard.core",
                "ShardCore.complete",
                "rows = self.holdings.crossing()",
                "again = np.flatnonzero(\n"
                "            (self.holdings.table.phase == 1) & (self.holdings.table.group == 0)"
                "\n        ).astype(np.uint32)\n"
                "        if len(again):\n"
                "            where, _ = sectors(self.holdings.table.position[again],"
                " self.rules.sector_size)\n"
                "            self._request(self.holdings.request(again, where))\n"
                "        rows = self.holdings.crossing()",
            ),
        ),
    ),
    Mutant(
        "resumes-itself",
        "the source resumes by itself",
        (AGREES, TICK, ONE, HONEST, TAKEOVER),
        (
            Cut(
                "shard.sectors",
                "Sectors.propose",
                "for coords, held in self.held.items():",
                "for coords, held in self.held.items():\n"
                "        if held.attempt is not None:\n"
                "            self._holdings.start(self._holdings.rows_in(coords))",
            ),
        ),
    ),
    Mutant(
        "precopy-runs",
        "the target runs its pre-copy plus changes",
        (ONE, AGREES, AUDIT, TICK),
        (
            Cut(
                "shard.sectors",
                "Sectors.initial_state",
                "copy.moved(message.places)])",
                "copy.moved(message.places)])\n"
                "    if held.heard is not None and held.chunks_open == 1:\n"
                "        early, named = held.heard.parts[0], [*held.arrived, arrived]\n"
                "        named = EntityRows.concat(named).ids\n"
                "        early = early.take(~np.isin(early.ids, named))\n"
                "        arrived = EntityRows.concat([arrived, early])",
            ),
        ),
    ),
    Mutant(
        "pending-missing",
        "pending entities missing from SectorRemoved",
        (TICK,),
        (
            Cut(
                "shard.sectors",
                "Sectors._listed",
                "(SPAWNING | DESTROYING) == 0",
                "(SPAWNING | DESTROYING | PENDING) == 0",
            ),
        ),
    ),
    Mutant(
        "cleans-up-early",
        "the shard cleans up before it is released",
        (TAKEOVER, HONEST, AUDIT, AGREES, TICK, RESTS, REPLAY),
        (
            Cut(
                "shard.sectors",
                "Sectors.freeze",
                "out.append(ev.SectorFrozen(message.sector, *columns))",
                "table.remove(table.ids[listed])\n    del self.held[message.sector]",
            ),
            Cut(
                "shard.sectors",
                "Sectors.release",
                "held = self._fenced(message)",
                "held = self.held.get(message.sector)\n    if held is None:\n        return",
            ),
        ),
    ),
    Mutant(
        "arrival-ignored",
        "an arrival ignored while the lease is out",
        (AUDIT, RESTS, AGREES, HONEST),
        (
            Cut(
                "shard.core",
                "ShardCore.receive",
                "self._answers.enter(message.entities, self._events)",
                "if self.session.has_lease(now):\n"
                "                self._answers.enter(message.entities, self._events)",
            ),
        ),
    ),
    Mutant(
        "nothing-dirty",
        "nothing dirty on a new session",
        (RESTS,),
        (
            Cut(
                "shard.resumption",
                "obey",
                "table.dirty[table.phase == 0] |= MOVED | CHANGED",
                "table.dirty[table.phase == 0] |= 0",
            ),
        ),
    ),
    Mutant(
        "end-outlives-copy",
        "what a shadow was to end with ends who comes back",
        (WISHED,),
        (
            Cut(
                "shard.doomed",
                "Doomed.forget_gone",
                "if len(self._ids):",
                "if len(self._ids) and not len(table):",
            ),
        ),
    ),
    Mutant(
        "group-in-two-sectors",
        "a group over two sectors",
        (GROUPS, HONEST, AGREES),
        (
            Cut(
                "shard.holdings",
                "Holdings._with_members",
                "return np.concatenate([slots, members]), np.concatenate([target, target[at]])",
                "own = np.floor(table.position[members] / self.rules.sector_size).astype(np.int32)"
                "\n    return np.concatenate([slots, members]), np.concatenate([target, own])",
            ),
            Cut(
                "replication.transitions",
                "_whole_groups",
                "if (wanted[1:, 0] == wanted[:-1, 0]).any():",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "lost-bytes-again",
        "lost update bytes retransmitted instead of the newest value",
        (NEWEST,),
        (
            Cut(
                "shard.outbox",
                "Outbox.notice",
                "flight.lost(table, np.array(gone, np.int64) - first)",
                "numbers = np.array(gone, np.int64) - first\n"
                "            old = [flight.payloads[n] for n in numbers[numbers < flight.moved]]\n"
                "            self.again = [*self.__dict__.get('again', []), *old]\n"
                "            flight.lost(table, numbers[numbers >= flight.moved])",
            ),
            Cut(
                "shard.outbox",
                "Outbox.collect",
                "payloads = cut(data, offsets)",
                "payloads = [*self.__dict__.pop('again', []), *cut(data, offsets)]",
            ),
        ),
    ),
)
