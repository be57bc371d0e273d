"""Ids that tools were granted: each is used once, and every server knows which."""

import numpy as np

from sidereal.replication.tool_ids import ToolIds


def u64(*ids):
    return np.array(ids, np.uint64)


def test_an_id_is_free_until_it_or_a_later_one_of_its_block_is_used():
    tools = ToolIds()
    tools.grant(10, 5)
    tools.grant(100, 5)
    tools.use(u64(12, 11))
    free, used = tools.judge(u64(9, 10, 11, 12, 13, 14, 15, 100, 104, 105))
    assert free.tolist() == [0, 0, 0, 0, 1, 1, 0, 1, 1, 0]
    assert used.tolist() == [0, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    tools.use(u64(11))
    assert tools.judge(u64(12))[1].all(), "what is used stays used"
