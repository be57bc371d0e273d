"""A shard's session resumes: it says what it has, and lives with what the record says of it.

Until the verdict nothing is asked for; the simulation goes on under its lease.
After it every row that is held counts as changed, because nobody knows what of
the last session arrived.
"""

import numpy as np

from sidereal.kernel import ABSENT
from sidereal.shard import events as ev
from sidereal.shard.holdings import Holdings
from sidereal.shard.mailbox import Mailbox
from sidereal.shard.phase import CHANGED, DESTROYING, MOVED, PENDING, SPAWNING, STILL
from sidereal.shard.sectors import Sectors
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import Message
from sidereal.world.columns import U64
from sidereal.world.inventory import (
    EntityInventory,
    EntityPhase,
    EntityVerdicts,
    SectorInventory,
    SectorPhase,
    Verdict,
)


def inventory(
    opening: sm.RegisterShard, tick: int, holdings: Holdings, held: Sectors, mailbox: Mailbox
) -> sm.ResumeShard:
    """Return the message that opens a later session: who it is and all that is here."""
    return sm.ResumeShard(
        name=opening.name,
        incarnation=opening.incarnation,
        protocol=opening.protocol,
        term_seen=opening.term_seen,
        sent_ns=opening.sent_ns,
        wants_ghosts=opening.wants_ghosts,
        sectors=_sectors(held),
        entities=_entities(holdings),
        mail_seen=mailbox.seen,
        tick=tick,
    )


def _sectors(held: Sectors) -> SectorInventory:
    phase = {coords: SectorPhase[sector.place.name] for coords, sector in held.held.items()}
    return SectorInventory(
        sector=np.array(list(phase), np.int32).reshape(-1, 2),
        epoch=[sector.epoch for sector in held.held.values()],
        phase=list(phase.values()),
    )


def _entities(holdings: Holdings) -> EntityInventory:
    table = holdings.table
    phase = np.full(len(table), EntityPhase.HELD, np.uint32)
    for bit, awaits in (
        (PENDING, EntityPhase.PENDING),
        (DESTROYING, EntityPhase.DESTROYING),
        (SPAWNING, EntityPhase.SPAWNING),
    ):
        phase[table.phase & bit != 0] = awaits
    return EntityInventory(
        ids=table.ids,
        sector=table.sector,
        version=table.version,
        tick=table.tick,
        phase=phase,
    )


def obey(
    holdings: Holdings,
    held: Sectors,
    verdict: sm.SessionVerdict,
    send: list[Message],
    out: list[ev.Event],
) -> U64:
    """Live with the verdict; returns the ids that are to be destroyed once more."""
    held.forget_copies()
    rows = verdict.entities
    _drop(holdings, rows.take(rows.verdict == Verdict.DROP), out)
    held.only(frozenset(verdict.sectors), out)
    table = holdings.table
    slots = table.slots(rows.ids)
    there = slots != ABSENT
    rows, slots = rows.take(there), slots[there]
    known = rows.version != 0
    table.bind(slots[known], rows.handle[known])
    again = _settle(holdings, rows, slots, out)
    table.phase[:] &= ~np.uint8(STILL)
    homeless = ~held.owns(table.sector) & (table.phase & SPAWNING == 0)
    table.phase[homeless] |= np.uint8(STILL)
    held.go_on(send, out)
    table.dirty[table.phase == 0] |= MOVED | CHANGED
    return again


def _drop(holdings: Holdings, rows: EntityVerdicts, out: list[ev.Event]) -> None:
    table = holdings.table
    slots = table.slots(rows.ids)
    there = slots != ABSENT
    rows, slots = rows.take(there), slots[there]
    version = table.version[slots].copy()
    table.remove(rows.ids)
    over = rows.version == 0
    if over.any():
        out.append(ev.EntitiesDestroyed(rows.ids[over]))
    if not over.all():
        out.append(ev.EntitiesExited(rows.ids[~over], version[~over]))


def _settle(
    holdings: Holdings, rows: EntityVerdicts, slots: np.ndarray, out: list[ev.Event]
) -> U64:
    """Decide what awaited an answer; returns the ids whose end has to be asked for again."""
    table = holdings.table
    yes = rows.verdict == Verdict.ACK
    table.version[slots[yes]] = rows.version[yes]
    table.sector[slots[yes]] = rows.sector[yes]
    kept = yes | (rows.verdict == Verdict.BACK)
    table.phase[slots[kept]] &= np.uint8(STILL)
    if kept.any():
        at = slots[kept]
        out.append(
            ev.EntitiesKept(rows.ids[kept], table.version[at], table.tick[at], rows.tick[kept])
        )
    ending = (rows.verdict == Verdict.RESEND) & (table.phase[slots] & DESTROYING != 0)
    table.phase[slots[ending]] &= np.uint8(STILL)
    ids: U64 = rows.ids[ending]
    return ids


def spawning(holdings: Holdings, rows: EntityVerdicts) -> U64:
    """Return the ids of spawns that were never decided."""
    slots = holdings.table.slots(rows.ids)
    asked = (rows.verdict == Verdict.RESEND) & (slots != ABSENT)
    asked[asked] = holdings.table.phase[slots[asked]] & SPAWNING != 0
    ids: U64 = rows.ids[asked]
    return ids
