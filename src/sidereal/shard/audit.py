"""The server asks what is here; the answer is in the order of the session's other messages.

Rows that await an answer are left out: the server has what was asked for before
it has this.
"""

import numpy as np

from sidereal.shard.holdings import Holdings
from sidereal.shard.phase import STILL
from sidereal.wire import shard_messages as sm
from sidereal.world.digests import digests, versions


def answer(question: sm.AuditQuestion, holdings: Holdings) -> sm.AuditDigests | sm.AuditRows:
    """Return digests of all sectors, or the rows of those that are asked for."""
    table = holdings.table
    if question.sectors:
        slots = np.concatenate([holdings.rows_in(sector) for sector in question.sectors])
    else:
        slots = np.arange(len(table), dtype=np.uint32)
    rows = versions(table, slots[table.phase[slots] & ~np.uint8(STILL) == 0])
    if question.sectors:
        return sm.AuditRows(question.number, rows)
    return sm.AuditDigests(question.number, digests(rows))
