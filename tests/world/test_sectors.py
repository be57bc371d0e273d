"""A sector's life, as the replication server leads it."""

from sidereal.world.sectors import SECTOR, SectorEvent, SectorState


def test_only_a_fence_or_a_removal_ends_unloaded():
    ends = {
        event for (_, event), state in SECTOR.transitions.items() if state is SectorState.UNLOADED
    }
    assert ends == {SectorEvent.FENCE, SectorEvent.REMOVED}
