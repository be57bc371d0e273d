"""The server asks what is here; the answer is in the order of the session's other messages.

Rows that await an answer are left out: the server has what was asked for before
it has this.
"""

import numpy as np

from sidereal.shard.holdings import Holdings
from sidereal.shard.phase import STILL
from sidereal.wire import shard_messages as sm
from sidereal.world.digests import VersionRows, digests


def answer(question: sm.AuditQuestion, holdings: Holdings) -> sm.AuditDigests | sm.AuditRows:
    """Return digests of all sectors, or the rows of those that are asked for."""
    table = holdings.table
    if not question.sectors:
        decided = table.phase & ~np.uint8(STILL) == 0
        rows = VersionRows(
            ids=table.ids[decided], sector=table.sector[decided], version=table.version[decided]
        )
        return sm.AuditDigests(question.number, digests(rows))
    parts = [holdings.rows_in(sector) for sector in question.sectors]
    slots = np.concatenate(parts)
    slots = slots[table.phase[slots] & ~np.uint8(STILL) == 0]
    rows = VersionRows(
        ids=table.ids[slots], sector=table.sector[slots], version=table.version[slots]
    )
    return sm.AuditRows(question.number, rows)
