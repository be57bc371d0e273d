"""Where ``sidereal`` begins: from its first line on, Ctrl-C is one line and exit status 130.

Imports take a tenth of a second, and an interrupt in their midst would be a traceback, or an
error of whatever was being imported. So until a command takes the signal over (those that run
until they are told to stop do) the process just ends; nothing that it could leave behind exists.
"""

import os
import signal
import sys
from types import FrameType

from sidereal.runtime.signals import INTERRUPTED


def main() -> int:
    """Run the command that the words of this process name; return its exit status."""
    signal.signal(signal.SIGINT, _leave)
    from sidereal.apps import cli

    return cli.main()


def _leave(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    os.write(sys.stderr.fileno(), b"sidereal: interrupted\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
