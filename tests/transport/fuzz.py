"""Fuzzes the parsers with atheris (libFuzzer, guided by the coverage of the Python twins).

``PYTHONPATH=tests python -m transport.fuzz TARGET SECONDS``; what it finds is left in the
working directory as ``crash-*``. The compiled parsers are not instrumented: they are held
equal to their twins, which are, on each input.
"""

import inspect
import os
import sys
import tempfile
from pathlib import Path

import atheris

from transport.fuzz_targets import TARGETS

WATCHED = ("sidereal.transport", "sidereal.wire", "transport.fuzz_targets")


def instrument() -> None:
    """Let atheris see the branches of what is fuzzed, wherever it was imported from."""
    for name, module in sorted(sys.modules.items()):
        if not name.startswith(WATCHED):
            continue
        for thing in vars(module).values():
            inner = vars(thing).values() if inspect.isclass(thing) else ()
            for function in (thing, *inner):
                if inspect.isfunction(function) and function.__module__ == name:
                    atheris.instrument_func(function)


def main() -> None:
    """Run one target for so many seconds."""
    name, seconds = sys.argv[1], int(sys.argv[2])
    instrument()
    target, seeds = TARGETS[name]
    corpus = Path(tempfile.gettempdir()) / f"sidereal-fuzz-{os.getuid()}-{name}"
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(seeds()):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    atheris.Setup(
        [
            sys.argv[0],
            str(corpus),
            f"-max_total_time={seconds}",
            "-max_len=8192",
            "-timeout=120",
            "-rss_limit_mb=1500",
            "-print_final_stats=1",
            "-verbosity=0",
        ],
        target,
    )
    atheris.Fuzz()


main()
