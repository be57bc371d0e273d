"""Check the ownership protocol's model with spin: every scenario holds, every mutant is caught.

``python model/check.py --ci`` fits in 90 seconds on two cores; without it all scenarios run.
It needs spin and gcc. The model is compiled once for each size of world; a scenario's bounds and
a mutant's number come to it in the environment. Exit status 1 on any surprise.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from scenarios import BOUNDS, MUTANTS, SCENARIOS, Mutant, Scenario

MODEL = Path(__file__).resolve().parent
MEMORY_MIB = 2000
DEPTH_MAX = 100_000
SETUP_STEPS = 1
"""Steps of a counterexample that only start the processes; set when the model is built."""
DEFINE = re.compile(r"^#define +([A-Z_]+) +(\d+)\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Result:
    """What pan said of one run."""

    states: int
    depth: int
    seconds: float
    memory_mib: float
    violated: str
    """The name of the invariant; or pan's own words; or empty."""
    trouble: str = ""


def defines(prefix: str) -> dict[str, int]:
    """Return the numbers that state.pml gives to names with a prefix."""
    text = (MODEL / "state.pml").read_text(encoding="utf-8")
    return {
        name.removeprefix(prefix): int(number)
        for name, number in DEFINE.findall(text)
        if name.startswith(prefix)
    }


def build(size: tuple[int, int], work: Path) -> Path:
    """Compile the model for a number of shards and entities; return the verifier."""
    place = work / f"{size[0]}x{size[1]}"
    place.mkdir()
    sizes = [f"-DNP={size[0]}", f"-DNE={size[1]}"]
    subprocess.run(
        ["spin", "-a", *sizes, str(MODEL / "ownership.pml")],
        cwd=place, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    # A single step is one process's action on shared state, so partial orders save nothing.
    flags = "-O1 -w -DSAFETY -DNOREDUCE -DCOLLAPSE -DREACH -DVECTORSZ=2048"
    subprocess.run(
        ["gcc", *flags.split(), f"-DMEMLIM={MEMORY_MIB}", "-o", "pan", "pan.c"],
        cwd=place, check=True,
    )  # fmt: skip
    return place / "pan"


def run(pan: Path, bounds: Mapping[str, int], mutant: int, work: Path, story: bool) -> Result:
    """Explore one scenario; with `story`, shorten a counterexample and print it."""
    unknown = set(bounds) - set(BOUNDS)
    if unknown:
        raise SystemExit(f"no bound of the model is called {sorted(unknown)}")
    environment = {
        **{key: value for key, value in os.environ.items() if key not in BOUNDS},
        **{key: str(value) for key, value in bounds.items()},
        "MUTANT": str(mutant),
    }
    with tempfile.TemporaryDirectory(dir=work) as place:
        began = time.monotonic()
        shorten = ["-i"] if story else []
        done = subprocess.run(
            [str(pan), f"-m{DEPTH_MAX}", *shorten],
            cwd=place, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        seconds = time.monotonic() - began
        result = read(done.stdout + done.stderr, seconds)
        if story and result.violated:
            trail = str(next(Path(place).glob("*.trail")))
            told = subprocess.run(
                [str(pan), "-r", trail],
                cwd=place, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            print(in_words(told.stdout))
    return result


def read(said: str, seconds: float) -> Result:
    """Parse what pan printed."""

    def number(pattern: str) -> float:
        found = re.search(pattern, said)
        return float(found.group(1)) if found else 0

    wrong = re.search(r"^pan:1: (.*) \(at depth \d+\)$", said, re.MULTILINE)
    violated = wrong.group(1) if wrong else ""
    named = re.search(r"\bI\d_\w+", violated)
    trouble = ""
    if "errors:" not in said:
        trouble = "pan did not finish: " + said.strip()[-300:]
    elif "max search depth too small" in said or "out of memory" in said or "Interrupted" in said:
        trouble = "the search was cut short"
    return Result(
        states=int(number(r"(\d+) states, stored")),
        depth=int(number(r"\(at depth (\d+)\)") if wrong else number(r"depth reached (\d+)")),
        seconds=seconds,
        memory_mib=number(r"([\d.]+)\s+total actual memory usage"),
        violated=named.group() if named else violated,
        trouble=trouble,
    )


def in_words(replayed: str) -> str:
    """Return the told lines of a replay, with the messages' names."""
    names = {number: name for name, number in MESSAGES.items()}
    told = [
        re.sub(r"\bm(\d+)\b", lambda found: names[int(found.group(1))], line)
        for line in replayed.splitlines()
        if re.match(r"(shard|leader|a tick|the leaders|an update|nothing)", line)
    ]
    return "\n".join(f"    {line}" for line in told)


MESSAGES = {
    name: number
    for name, number in DEFINE.findall(
        re.search(
            r"/\* Messages:.*?\n(.*?)/\* Journal",
            (MODEL / "state.pml").read_text(encoding="utf-8"),
            re.DOTALL,
        ).group(1)  # type: ignore[union-attr]
    )
    for number in [int(number)]
}


def verdict(case: Scenario | Mutant, result: Result) -> str:
    """Return what surprises about a result; empty if nothing does."""
    if result.trouble:
        return result.trouble
    if isinstance(case, Scenario):
        return f"violates {result.violated}" if result.violated else ""
    if not result.violated:
        return f"survived; to be caught by {' or '.join(case.caught_by)}"
    if result.violated not in case.caught_by:
        return f"caught by {result.violated}, expected {' or '.join(case.caught_by)}"
    return ""


def row(case: Scenario | Mutant, result: Result, surprise: str) -> str:
    """Return a line of the table."""
    outcome = surprise or (f"caught: {result.violated}" if isinstance(case, Mutant) else "holds")
    return (
        f"{case.name:28} {result.states:>10,} {result.depth:>6} {result.seconds:>8.1f} "
        f"{result.memory_mib:>7.0f}  {'SURPRISE: ' if surprise else ''}{outcome}"
    )


def chosen(names: Sequence[str], ci: bool) -> list[Scenario | Mutant]:
    """Return the cases asked for: all, those of continuous integration, or those named."""
    every: list[Scenario | Mutant] = [*SCENARIOS, *MUTANTS]
    if names:
        unknown = set(names) - {case.name for case in every}
        if unknown:
            raise SystemExit(f"no scenario or mutant is called {sorted(unknown)}")
        return [case for case in every if case.name in names]
    return [case for case in every if isinstance(case, Mutant) or case.ci or not ci]


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ci", action="store_true", help="only what fits in 90 seconds")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side (default 2)")
    parser.add_argument("--story", action="store_true", help="print the shortest counterexample")
    parser.add_argument("names", nargs="*", help="scenarios and mutants; all where none is named")
    asked = parser.parse_args(argv)
    numbers = defines("M_")
    missing = set(numbers) ^ {mutant.name for mutant in MUTANTS}
    if missing:
        raise SystemExit(f"in the model or in the table of mutants, not in both: {sorted(missing)}")

    cases = chosen(asked.names, asked.ci)
    began = time.monotonic()
    surprises = 0
    states = 0
    with tempfile.TemporaryDirectory(prefix="sidereal-model-") as folder:
        work = Path(folder)
        with ThreadPoolExecutor(asked.jobs) as pool:
            sizes = sorted({(case.shards, case.entities) for case in cases})
            pans = dict(zip(sizes, pool.map(lambda size: build(size, work), sizes), strict=True))
            print(f"built for {len(sizes)} sizes in {time.monotonic() - began:.0f} s")
            print(f"{'scenario':28} {'states':>10} {'depth':>6} {'seconds':>8} {'MiB':>7}  result")

            def one(case: Scenario | Mutant) -> Result:
                number = numbers[case.name] if isinstance(case, Mutant) else 0
                pan = pans[case.shards, case.entities]
                return run(pan, case.bounds, number, work, asked.story)

            for case, result in zip(cases, pool.map(one, cases), strict=True):
                surprise = verdict(case, result)
                surprises += bool(surprise)
                states += result.states if isinstance(case, Scenario) else 0
                print(row(case, result, surprise), flush=True)
    scenarios = sum(isinstance(case, Scenario) for case in cases)
    print(
        f"{scenarios} scenarios, {states:,} states; {len(cases) - scenarios} mutants; "
        f"{surprises} surprises; {time.monotonic() - began:.0f} s"
    )
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
