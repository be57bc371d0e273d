"""Where a process listens or is found: ``HOST:PORT``, parsed once."""

from __future__ import annotations

import re
from typing import NamedTuple

from sidereal.errors import ConfigError

_FORM = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>\d{1,5})")


class Address(NamedTuple):
    """A host (a name, or an address of IPv4 or IPv6) and a UDP port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``127.0.0.1:7777``, ``shards.example:7777`` or ``[::1]:7777``.

        Port 0 asks the system for a free one where a process listens.

        Raises
        ------
        ConfigError
            The text has another form, or the port is beyond 65535.
        """
        form = _FORM.fullmatch(text)
        if form is None or int(form["port"]) > 65535:
            raise ConfigError(
                f"{text!r} is no address: give HOST:PORT with a port from 0 to 65535, "
                "such as '127.0.0.1:7777' or '[::1]:7777'"
            )
        return cls(form["six"] or form["host"], int(form["port"]))

    def __str__(self) -> str:
        """The form that `parse` reads."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
