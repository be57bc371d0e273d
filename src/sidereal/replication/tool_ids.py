"""The ids that tools may create entities under: granted in blocks, each id used once.

Blocks outlive the link and the server that granted them, because a tool that connects again goes
on with its own; whoever has the operators' key may use them. Within a block ids are used in rising
order: those up to the highest used are used up. So a spawn that is asked for twice creates once.
"""

import numpy as np
from numpy.typing import NDArray

from sidereal.limits import TOOL_BLOCKS_MAX
from sidereal.world.columns import U64

Mask = NDArray[np.bool_]


class ToolIds:
    """Blocks of ids, oldest first: the first id, how many, and the highest used."""

    def __init__(self) -> None:
        self.blocks: list[tuple[int, int, int]] = []

    def grant(self, first: int, count: int) -> None:
        """Add a block; where there are too many, the oldest is withdrawn."""
        self.blocks = [*self.blocks, (first, count, first - 1)][-TOOL_BLOCKS_MAX:]

    def judge(self, ids: U64) -> tuple[Mask, Mask]:
        """Return which ids (n,) may be used, and which were granted and are used up."""
        free, used = np.zeros(len(ids), bool), np.zeros(len(ids), bool)
        for first, count, highest in self.blocks:
            granted = (ids >= first) & (ids < first + count)
            used |= granted & (ids <= highest)
            free |= granted & (ids > highest)
        return free, used

    def use(self, ids: U64) -> None:
        """Entities were created under these ids (n,)."""
        blocks = []
        for first, count, highest in self.blocks:
            mine = ids[(ids >= first) & (ids < first + count)]
            blocks.append((first, count, max(highest, int(mine.max(initial=0)))))
        self.blocks = blocks
