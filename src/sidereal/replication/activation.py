"""Which sectors must be loaded: sections 4 of the seed.

A survey, a few times a second, counts what is where and asks the kernel which
sectors every entity touches within the horizon, by its motion or its sensors.
Those that are unloaded are wanted; those that are loaded stay so.
"""

from sidereal.kernel import reach
from sidereal.replication.balance import survey_loads
from sidereal.replication.books import Books
from sidereal.world.sectors import SectorState


def survey(books: Books, now: int) -> None:
    """Count entities per sector, and want every sector that one is about to touch."""
    survey_loads(books)
    table = books.table
    if not len(table):
        return
    touched = reach(
        table.position,
        table.velocity,
        table.sensor if table.sensor.any() else 0.0,
        books.rules.sector_size,
        books.settings.activation_horizon_s,
    )
    for x, y in touched.tolist():
        entry = books.entry((x, y))
        entry.occupied_ns = now
        if entry.state is SectorState.UNLOADED:
            books.wanted.setdefault((x, y))
