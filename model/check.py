"""Check the ownership protocol's model with spin: all holds, and could fail.

Every scenario must hold. Every mutant must break an invariant that it names. Every witness must
be met: it is a branch of the protocol that a search which never took it would prove nothing of.

``python model/check.py --ci`` fits in 90 seconds on two cores; without it all scenarios run.
It needs spin and gcc. The model is compiled once for each size of world; a scenario's bounds and
a mutant's number come to it in the environment. Exit status 1 on any surprise.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cases import BOUNDS, Mutant, Scenario, Witness
from mutants import MUTANTS, WITNESSES
from scenarios import SCENARIOS

MODEL = Path(__file__).resolve().parent
MEMORY_MIB = 8_000
DEPTH_MAX = 100_000
HASH_BITS = 22
CUT_SHORT = ("max search depth too small", "out of memory", "MEMLIM bound", "Interrupted")
DEFINE = re.compile(r"^#define +([A-Z_]+) +(\d+)\b", re.MULTILINE)


Case = Scenario | Mutant | Witness


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


def messages() -> dict[int, str]:
    """Return the names of the messages, by the number that the model gives them."""
    text = (MODEL / "state.pml").read_text(encoding="utf-8")
    part = text.partition("/* Messages")[2].partition("/* Journal")[0]
    return {int(number): name for name, number in DEFINE.findall(part)}


MUTANT_NUMBERS = defines("M_")
WITNESS_NUMBERS = defines("W_")


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


def run(
    pan: Path, bounds: Mapping[str, int], broken: Mapping[str, int], work: Path, story: bool
) -> Result:
    """Explore one scenario; with `story`, shorten a counterexample and print it."""
    unknown = set(bounds) - set(BOUNDS)
    if unknown:
        raise SystemExit(f"no bound of the model is called {sorted(unknown)}")
    environment = {
        **{key: os.environ[key] for key in os.environ if key not in {*BOUNDS, "MUTANT", "WITNESS"}},
        **{key: str(value) for key, value in bounds.items()},
        **{key: str(value) for key, value in broken.items()},
    }
    with tempfile.TemporaryDirectory(dir=work) as place:
        began = time.monotonic()
        shorten = ["-i"] if story else []
        done = subprocess.run(
            [str(pan), f"-m{DEPTH_MAX}", f"-w{HASH_BITS}", *shorten],
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
    named = re.search(r"\bI\d_\w+|\bwitnessed\b", violated)
    trouble = ""
    if "errors:" not in said:
        trouble = "pan did not finish: " + said.strip()[-300:]
    elif any(sign in said for sign in CUT_SHORT):
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
    names = messages()
    told = [
        re.sub(r"\bm(\d+)\b", lambda found: names[int(found.group(1))], line)
        for line in replayed.splitlines()
        if re.match(r"(shard|leader|a tick|the leaders|an update|nothing)", line)
    ]
    return "\n".join(f"    {line}" for line in told)


def verdict(case: Case, result: Result) -> str:
    """Return what surprises about a result; empty if nothing does."""
    if result.trouble:
        return result.trouble
    if isinstance(case, Scenario):
        return f"violates {result.violated}" if result.violated else ""
    if isinstance(case, Witness):
        return "" if result.violated == "witnessed" else f"not met {result.violated}".strip()
    if not result.violated:
        return f"survived; to be caught by {' or '.join(case.caught_by)}"
    if result.violated not in case.caught_by:
        return f"caught by {result.violated}, expected {' or '.join(case.caught_by)}"
    return ""


def row(case: Case, result: Result, surprise: str) -> str:
    """Return a line of the table."""
    outcome = surprise
    match case:
        case Scenario() if not surprise:
            outcome = "holds"
        case Mutant() if not surprise:
            outcome = f"caught: {result.violated}"
        case Witness() if not surprise:
            outcome = f"met in: {case.scenario}"
    return (
        f"{case.name:30} {result.states:>10,} {result.depth:>6} {result.seconds:>8.1f} "
        f"{result.memory_mib:>7.0f}  {'SURPRISE: ' if surprise else ''}{outcome}"
    )


def chosen(names: Sequence[str], ci: bool) -> list[Case]:
    """Return the cases asked for: all, those of continuous integration, or those named."""
    every: list[Case] = [*SCENARIOS, *MUTANTS, *WITNESSES]
    if names:
        unknown = set(names) - {case.name for case in every}
        if unknown:
            raise SystemExit(f"no scenario or mutant is called {sorted(unknown)}")
        return [case for case in every if case.name in names]
    return [case for case in every if not (ci and isinstance(case, Scenario) and not case.ci)]


def world(case: Case) -> Scenario | Mutant:
    """Return whose size and bounds a case has."""
    if isinstance(case, Witness):
        return next(each for each in SCENARIOS if each.name == case.scenario)
    return case


def breaks(case: Case) -> dict[str, int]:
    """Return what the environment says of the mutant or the witness of a case."""
    match case:
        case Mutant():
            return {"MUTANT": MUTANT_NUMBERS[case.name]}
        case Witness():
            return {"WITNESS": WITNESS_NUMBERS[case.name]}
    return {}


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ci", action="store_true", help="only what fits in 90 seconds")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side (default 2)")
    parser.add_argument("--story", action="store_true", help="print the shortest counterexample")
    parser.add_argument("names", nargs="*", help="scenarios and mutants; all where none is named")
    asked = parser.parse_args(argv)
    missing = set(MUTANT_NUMBERS) ^ {mutant.name for mutant in MUTANTS}
    missing |= set(WITNESS_NUMBERS) ^ {witness.name for witness in WITNESSES}
    if missing:
        raise SystemExit(f"in the model or in scenarios.py, not in both: {sorted(missing)}")

    cases = chosen(asked.names, asked.ci)
    began = time.monotonic()
    surprises = 0
    states = 0
    with tempfile.TemporaryDirectory(prefix="sidereal-model-") as folder:
        work = Path(folder)
        with ThreadPoolExecutor(asked.jobs) as pool:
            sizes = sorted({(world(case).shards, world(case).entities) for case in cases})
            pans = dict(zip(sizes, pool.map(lambda size: build(size, work), sizes), strict=True))
            print(f"built for {len(sizes)} sizes in {time.monotonic() - began:.0f} s")
            print(f"{'scenario':30} {'states':>10} {'depth':>6} {'seconds':>8} {'MiB':>7}  result")

            def one(case: Case) -> Result:
                there = world(case)
                pan = pans[there.shards, there.entities]
                return run(pan, there.bounds, breaks(case), work, asked.story)

            for case, result in zip(cases, pool.map(one, cases), strict=True):
                surprise = verdict(case, result)
                surprises += bool(surprise)
                states += result.states if isinstance(case, Scenario) else 0
                print(row(case, result, surprise), flush=True)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    count = [sum(isinstance(case, kind) for case in cases) for kind in (Scenario, Mutant, Witness)]
    print(
        f"{count[0]} scenarios, {states:,} states; {count[1]} mutants; {count[2]} witnesses; "
        f"{surprises} surprises; {time.monotonic() - began:.0f} s, "
        f"{spent.ru_utime + spent.ru_stime:.0f} s of processor time"
    )
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
