"""Faults of the replication server, each with the invariants that kill it."""

from mutants.invariants import (
    AGREES,
    AUDIT,
    BREAKS,
    DROPPED,
    DURABLE,
    EPOCH,
    GROUPS,
    HONEST,
    ONE,
    REPLAY,
    RESTS,
    RISE,
    TAKEOVER,
    TICK,
)
from mutants.sabotage import Cut, Mutant

SERVER = (
    Mutant(
        "hasty-leader",
        "a new leader that does not wait",
        (TAKEOVER, AGREES),
        (
            Cut(
                "replication.leases",
                "begin",
                "info.answered_ns = max(info.answered_ns, now)",
                "info.answered_ns = now - 10**11",
            ),
        ),
    ),
    Mutant(
        "early-death",
        "death declared before the lease is over",
        (TAKEOVER,),
        (
            Cut(
                "replication.leases",
                "dead",
                "settings.lease_ns + settings.drift_allowance_ns",
                "settings.lease_ns // 2",
            ),
        ),
    ),
    Mutant(
        "half-allowance",
        "one-sided drift allowance",
        (TAKEOVER,),
        (
            Cut(
                "replication.leases",
                "dead",
                "settings.drift_allowance_ns",
                "settings.drift_allowance_ns // 2",
            ),
        ),
    ),
    Mutant(
        "send-first",
        "send before commit",
        (DURABLE, AGREES, ONE, TAKEOVER, EPOCH),
        (
            Cut(
                "testing.server",
                "ServerProcess.drain",
                "self._steps.append(step)",
                "self._release(step.outputs)\n    self._steps.append(Step(step.records, []))",
            ),
        ),
    ),
    Mutant(
        "incarnation-ignored",
        "the incarnation ignored",
        (HONEST, AGREES, RESTS, DROPPED),
        (
            Cut(
                "replication.admission",
                "_admit",
                "shard = books.shards.register(",
                "for older in books.shards:\n"
                "        if older.name == message.name:\n"
                "            books.shards.attach(older, link)\n"
                "            older.answered_ns = now\n"
                "            books.send(older, _answer(books, older, message.sent_ns, now))\n"
                "            return\n"
                "    shard = books.shards.register(",
            ),
        ),
    ),
    Mutant(
        "custody-lost",
        "custody lost when a Loading shard dies",
        (DROPPED,),
        (
            Cut(
                "replication.leases",
                "fence",
                "table = books.table\n",
                "table = books.table\n"
                "    for coords in sorted(shard.sectors):\n"
                "        if books.sectors[coords].state.value == 'Loading':\n"
                "            table.remove(table.ids[books.rows_in(shard.shard_id, coords)])\n",
            ),
        ),
    ),
    Mutant(
        "member-forgotten",
        "a group's second member forgotten",
        (GROUPS, RESTS, AGREES),
        (
            Cut(
                "replication.transitions",
                "_whole_groups",
                "return whole",
                "second = np.flatnonzero(grouped & (rows.group != rows.ids))[1:2]\n"
                "    whole[second] = False\n"
                "    return whole",
            ),
        ),
    ),
    Mutant(
        "outdated-refused",
        "an out-of-date request refused",
        (AGREES, ONE),
        (
            Cut(
                "replication.transitions",
                "request",
                "books.send(shard, ConfirmTransitionExit(_claims(rows, outdated)))",
                "_refuse(books, shard, rows.take(outdated), 'out of date')",
            ),
            Cut(
                # In a session that is in order, what was decided is told by the verdict.
                "replication.resumption",
                "_judge",
                "verdict[accepted & mine] = Verdict.ACK",
                "verdict[accepted & mine] = Verdict.BACK",
            ),
        ),
    ),
    Mutant(
        "deposed-answers",
        "a deposed leader that answers heartbeats",
        (TAKEOVER, EPOCH, AGREES),
        (
            Cut(
                "testing.server",
                "ServerProcess._write",
                "except (Crashed, Deposed, StoreFailed):",
                "except Deposed:\n        return True\n    except (Crashed, StoreFailed):",
            ),
            Cut(
                "testing.server",
                "ServerProcess._release",
                "for output in outputs:",
                "for output in [o for o in outputs if self is self.cluster.server"
                " or isinstance(getattr(o, 'message', None), sm.HeartbeatAck)]:",
            ),
        ),
    ),
    Mutant(
        "no-attempt",
        "no attempt number on freezes",
        (AGREES, TAKEOVER, TICK, HONEST),
        (
            Cut(
                "replication.lifecycle",
                "removed",
                "or entry.attempt != message.attempt",
                "or entry.attempt < 0",
            ),
        ),
    ),
    Mutant(
        "record-without-states",
        "an ownership record without states",
        (TICK, REPLAY),
        (
            Cut(
                "replication.replay",
                "Replay.apply",
                "self._write(record.states, SENT)",
                "new = record.states.take(books.table.slots(record.states.ids) == ABSENT)\n"
                "            self._write(new, SENT)",
            ),
        ),
    ),
    Mutant(
        "unordered-updates",
        "updates of one version unordered",
        (RISE,),
        (
            Cut(
                "replication.manager",
                "SectorManager.receive_datagrams",
                "if updates:\n",
                "if updates:\n"
                "        table, newest = books.table, books.table.tick.copy()\n"
                "        table.tick[table.shard == shard.shard_id] = 0\n",
            ),
            Cut(
                "replication.manager",
                "SectorManager.receive_datagrams",
                'counters["updates"] += tally.applied',
                "stale = table.tick == 0\n"
                "        table.tick[stale] = newest[stale]\n"
                "        counters['updates'] += tally.applied",
            ),
        ),
    ),
    Mutant(
        "destroy-untold",
        "a destroy not told to whom the entity was sent",
        (AUDIT, RESTS, DROPPED, AGREES),
        (
            Cut(
                "replication.operators",
                "forget",
                "books.send(books.shards.get(int(shard_id)), EntitiesDestroyed(told))",
                "assert told",
            ),
        ),
    ),
    Mutant(
        "destroy-unwritten",
        "a destroy that is answered and not journaled",
        (DURABLE, REPLAY),
        (Cut("replication.operators", "forget", "books.note(Destroyed(claims))", "assert claims"),),
    ),
    Mutant(
        "spawn-repeated",
        "a repeated spawn",
        (DROPPED,),
        (
            Cut(
                "replication.transitions",
                "_may_spawn",
                "(ids > shard.spawn_serial) & shard.granted(ids)",
                "(ids > 0)",
            ),
            Cut(
                "replication.resumption",
                "_judge",
                "& (listed.ids > shard.spawn_serial)",
                "",
            ),
            Cut(
                "replication.resumption",
                "_judge",
                "undecided &= shard.granted(listed.ids)",
                "undecided &= True",
            ),
        ),
    ),
    Mutant(
        "restart-is-death",
        "a fast restart taken as proof of death",
        (TAKEOVER,),
        (
            Cut(
                "replication.admission",
                "_admit",
                "shard = books.shards.register(",
                "from sidereal.replication import leases\n"
                "    for older in books.shards:\n"
                "        if older.name == message.name:\n"
                "            leases.fence(books, older, now)\n"
                "    shard = books.shards.register(",
            ),
        ),
    ),
    Mutant(
        "books-by-name",
        "books by ShardId",
        (EPOCH, AGREES, HONEST, RESTS, DROPPED, BREAKS),
        (
            Cut(
                "replication.registry",
                "ActiveShards.register",
                "info = ShardInfo(ShardId(self.next_id),",
                "old = next((i for i in self._by_id.values() if i.name == name), None)\n"
                "    if old is not None:\n"
                "        old.incarnation, old.answered_ns = incarnation, now\n"
                "        self.attach(old, link)\n"
                "        return old\n"
                "    info = ShardInfo(ShardId(self.next_id),",
            ),
        ),
    ),
    Mutant(
        "verdict-late",
        "the verdict not first",
        (HONEST,),
        (
            Cut(
                "replication.resumption",
                "resume",
                "books.shards.attach(shard, link)\n",
                "books.shards.attach(shard, link)\n"
                "    _send_lacking(books, shard, verdicts, run)\n",
            ),
        ),
    ),
    Mutant(
        "handoff-overtakes",
        "a handoff that overtakes",
        (HONEST, AGREES, RESTS),
        (
            Cut(
                "replication.books",
                "Books.send",
                "self.out.append(Send(shard.link, message))",
                "at = 0 if type(message).__name__ == 'EntityEnterSector' else len(self.out)\n"
                "        self.out.insert(at, Send(shard.link, message))",
            ),
        ),
    ),
    Mutant(
        "record-skipped",
        "a journal record skipped on replay",
        (DURABLE, REPLAY, AGREES),
        (
            Cut(
                "replication.replay",
                "Replay.apply",
                "table.version[slots] = rows.version",
                "table.version[slots] += 0",
            ),
        ),
    ),
    Mutant(
        "unload-unmarks",
        "who was sent an entity forgotten by the journal of its sector's unloading",
        (REPLAY,),
        (
            Cut(
                "replication.replay",
                "Replay._renew",
                "self.books.table.phase[self._slots(rows.ids)].copy()",
                "0",
            ),
        ),
    ),
    Mutant(
        "spawn-unmarked",
        "a spawn across a border that by the journal nobody was sent",
        (REPLAY,),
        (
            Cut(
                "replication.replay",
                "Replay.apply",
                "self._sent(record.entities, record.shard_id)",
                "0",
            ),
        ),
    ),
)
