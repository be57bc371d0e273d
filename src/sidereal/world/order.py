"""A table kept in the order of its sectors, well enough."""

from sidereal.kernel import EntityTable


class Order:
    """Counts the rows that are out of order, and puts a table right once they are many."""

    def __init__(self, table: EntityTable) -> None:
        self._table = table
        self.strayed = 0
        """Rows that came, or changed sector, since the table was put right."""

    def keep(self) -> None:
        """Arrange the table once a fourth of it is elsewhere. Slots mean other rows afterwards.

        Updates come and go sector by sector: in order, each takes a third of the time.
        """
        if self.strayed * 4 > len(self._table):
            self.strayed = 0
            self._table.arrange()
