"""What operators and tools ask for: entities, sectors, drains, and how things stand."""

import numpy as np

from sidereal.ids import LinkId, Sector
from sidereal.kernel import ABSENT, sectors
from sidereal.replication import lifecycle, transitions
from sidereal.replication.books import CUSTODY, Books, Send
from sidereal.replication.records import Cordoned, Destroyed
from sidereal.wire.operator_messages import (
    Command,
    CommandOutcome,
    DestroyByOperator,
    DestroyOutcome,
    SectorRows,
    ShardStatus,
    SpawnEntities,
    SpawnOutcome,
    Status,
    StatusRequest,
    Why,
)
from sidereal.wire.shard_messages import EntitiesDestroyed
from sidereal.world.entities import NO_SECTOR, ClaimRows, EntityRows
from sidereal.world.places import unique_sectors
from sidereal.world.sectors import SectorState

CLOCKS_APART_TICKS = 1
"""How far a shard's state may be ahead of the server's tick without being of the future."""

_STATE_NUMBER = {state: number for number, state in enumerate(SectorState)}


def spawn(books: Books, link: LinkId, message: SpawnEntities, now: int) -> None:
    """Create entities, in loaded and in unloaded sectors alike."""
    rows = message.entities
    where, _ = sectors(rows.position, books.rules.sector_size)
    granted, used = books.tool_ids.judge(rows.ids)
    good = granted & (where[:, 0] != NO_SECTOR)
    reason = ""
    if not good.all():
        reason = (
            f"{int((~granted & ~used).sum())} ids were not granted to you,"
            f" {int(used.sum())} are used already,"
            f" {int((where[:, 0] == NO_SECTOR).sum())} positions lie outside the world"
        )
    if int(good.sum()) > books.handles.left():
        good = np.zeros(len(rows), bool)
        reason = f"the record is full: {len(books.table)} entities are alive; destroy some first"
    columns = {name: getattr(rows, name) for name in EntityRows.LAYOUT}
    columns["sector"] = where
    columns["tick"] = np.where(rows.tick == 0, np.uint32(books.tick_at(now)), rows.tick)
    placed = EntityRows(**columns, lengths=rows.lengths, states=rows.states).take(good)
    if len(placed):
        books.tool_ids.use(placed.ids)
        transitions.place(books, placed, now)
    refused = rows.ids[~good].tolist()
    outcome = SpawnOutcome(message.request, len(placed), refused, reason, rows.ids[used].tolist())
    books.out.append(Send(link, outcome))


def destroy(books: Books, link: LinkId, message: DestroyByOperator) -> None:
    """Destroy entities whoever holds them, and tell all who were sent them or await them."""
    ids = np.unique(np.array(message.ids, np.uint64))
    claims = forget(books, ids)
    books.out.append(Send(link, DestroyOutcome(message.request, claims)))


def forget(books: Books, ids: np.ndarray) -> ClaimRows:
    """Take entities out of the record; return those that were in it, at their last version."""
    table = books.table
    slots = table.slots(ids)
    known = slots != ABSENT
    ids, slots = ids[known], slots[known]
    claims = ClaimRows(ids=ids, version=table.version[slots])
    if not len(ids):
        return claims
    holders = table.shard[slots]
    for shard_id in np.unique(holders[holders != CUSTODY]):
        told = claims.take(holders == shard_id)
        books.send(books.shards.get(int(shard_id)), EntitiesDestroyed(told))
    for coords in unique_sectors(table.sector[slots[holders == CUSTODY]]):
        for group in books.entry(coords).awaiting:
            gone = np.isin(group.ids, ids)
            if gone.any():
                told = ClaimRows(ids=group.ids[gone], version=group.asked[gone])
                books.send(books.shards.get(group.shard_id), EntitiesDestroyed(told))
    books.note(Destroyed(claims))
    books.audit.touch(table.sector[slots])
    books.handles.take_back(table.handle[slots])
    table.remove(ids)
    books.destroyed(ids)
    books.counters["destroyed"] += len(ids)
    return claims


def command(books: Books, link: LinkId, message: Command, now: int) -> None:
    """Do what an operator says, or say why not."""
    ok, detail = _obey(books, message, now)
    books.out.append(Send(link, CommandOutcome(message.request, ok, detail)))


def _obey(books: Books, message: Command, now: int) -> tuple[bool, str]:
    match message.verb:
        case "load" | "unload" | "migrate" if message.sector is None:
            return False, f"{message.verb} needs a sector"
        case "load":
            return _load(books, message.sector, now)
        case "unload":
            return _unload(books, message.sector, now)
        case "migrate":
            return _migrate(books, message.sector, message.shard, now)
        case "cordon" | "uncordon" | "drain":
            return _cordon(books, message.verb, message.shard)
        case _:
            return False, f"no such command: {message.verb!r}"


def _load(books: Books, coords: Sector | None, now: int) -> tuple[bool, str]:
    assert coords is not None
    entry = books.entry(coords)
    if entry.state is not SectorState.UNLOADED:
        return False, f"sector {coords} is {entry.state.value} already"
    entry.occupied_ns = now
    books.wanted.setdefault(coords)
    return True, f"sector {coords} will be loaded"


def _unload(books: Books, coords: Sector | None, now: int) -> tuple[bool, str]:
    assert coords is not None
    entry = books.entry(coords)
    if entry.state is not SectorState.ACTIVE:
        return False, f"sector {coords} is {entry.state.value}; only an Active one is unloaded"
    lifecycle.unassign(books, entry, None, "an operator unloaded it", now)
    return True, f"sector {coords} is being unloaded"


def _migrate(books: Books, coords: Sector | None, shard: int | None, now: int) -> tuple[bool, str]:
    assert coords is not None
    entry = books.entry(coords)
    info = None if shard is None else books.shards.get(shard)
    if info is None or info.link is None:
        return False, f"no connected shard {shard}"
    if info.cordoned:
        return False, f"shard {info.name} is cordoned: uncordon it first"
    if entry.state is not SectorState.ACTIVE:
        return False, f"sector {coords} is {entry.state.value}; only an Active one can move"
    if entry.shard_id == info.shard_id:
        return False, f"sector {coords} is on shard {info.name} already"
    lifecycle.move(books, entry, info.shard_id, "an operator moved it", now)
    return True, f"sector {coords} moves to shard {info.name}"


def _cordon(books: Books, verb: str, shard: int | None) -> tuple[bool, str]:
    """Give a shard no sector any more (cordon), nor leave it those it has (drain), or let it be."""
    info = None if shard is None else books.shards.get(shard)
    if info is None:
        return False, f"no shard {shard}; see the status for those that are there"
    info.cordoned, info.draining = verb != "uncordon", verb == "drain"
    books.note(Cordoned(info.shard_id, info.cordoned, info.draining))
    if info.cordoned:
        lifecycle.abort_moves_to(books, info, "was cordoned")
    has = f"{len(info.sectors)} sectors"
    match verb:
        case "cordon":
            return True, f"shard {info.name} keeps its {has} and gets no more"
        case "drain":
            return True, f"shard {info.name} gets no more sectors; its {has} go to others"
        case _:
            return True, f"shard {info.name}, with {has}, may be given more"


def why(books: Books, link: LinkId, message: Why) -> None:
    """Say why a sector is where it is."""
    entry = books.sectors.get(message.sector)
    absent = "is unloaded and empty" if message.sector in books.resting else "was never touched"
    detail = f"sector {message.sector} {absent}" if entry is None else entry.why
    books.out.append(Send(link, CommandOutcome(message.request, entry is not None, detail)))


def status(books: Books, link: LinkId, message: StatusRequest, now: int) -> None:
    """Answer with everything that a live view shows."""
    table = books.table
    entries = [e for e in books.sectors.values() if e.state is not SectorState.UNLOADED]
    held = [e.custody_since_ns for e in books.sectors.values() if e.custody_since_ns is not None]
    holders = table.shard
    tick = books.tick_at(now)
    begun = table.tick <= tick + CLOCKS_APART_TICKS
    shards = [
        ShardStatus(
            info.shard_id,
            info.name,
            info.incarnation,
            info.link is not None,
            info.draining,
            len(info.sectors),
            int(np.count_nonzero((holders == info.shard_id) & begun)),
            info.load_score(books.settings.player_weight),
            info.load.avg_tick_time_ms,
            info.cordoned,
        )
        for info in books.shards
    ]
    rows = SectorRows(
        sector=np.array([e.coords for e in entries], np.int32).reshape(-1, 2),
        epoch=[e.epoch for e in entries],
        entities=[e.entities for e in entries],
        shard=[e.shard_id for e in entries],
        state=[_STATE_NUMBER[e.state] for e in entries],
    )
    answer = Status(
        request=message.request,
        tick=tick,
        term=books.term,
        entities=len(table),
        scheduled=len(table) - int(begun.sum()),
        custody=int((holders == CUSTODY).sum()),
        custody_oldest_ns=now - min(held) if held else 0,
        shards=shards,
        sectors=rows,
        counters=dict(books.counters),
        freezes_ns=list(books.freezes_ns),
        rehomed_age_ticks_max=books.rehomed_age_ticks_max,
    )
    books.out.append(Send(link, answer))
