"""What a store says when it refuses: the same words, whichever store it is."""

from sidereal.errors import Deposed


def deposed(term: int, higher: int) -> Deposed:
    """Another leads."""
    return Deposed(
        f"term {term} is over: another server took term {higher} in this store. "
        "This one writes nothing more; stop it."
    )


def check_position(position: int, newest: int, end: int) -> None:
    """Refuse a snapshot of a position that the journal has not reached, or has left behind."""
    if not newest <= position <= end:
        raise ValueError(f"a snapshot is of a position from {newest} to {end}, not {position}")
