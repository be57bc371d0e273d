"""The log of a process: one line an event on standard error, in UTC, with the process's name.

A line stays one line whatever a peer put into it: control characters are written as escapes.
What could be a key is left out, should one ever get into a message.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

from sidereal.runtime.keys import hide

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class _Line(logging.Formatter):
    """``2026-01-31T12:00:00.000Z east INFO text``, tracebacks folded into the line."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        shown = hide(_CONTROL.sub(lambda found: repr(found.group())[1:-1], text))
        return f"{at.removesuffix('+00:00')}Z {self._process} {record.levelname} {shown}"


def start(process: str, *, verbose: bool = False, stream: TextIO | None = None) -> logging.Logger:
    """Send everything below the logger ``sidereal`` to a stream, and return that logger.

    Parameters
    ----------
    process
        What each line names: ``replication``, or the shard's name.
    verbose
        Whether DEBUG lines are written too.
    stream
        Standard error by default.
    """
    logger = logging.getLogger("sidereal")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Line(process))
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    return logger
