"""``sidereal demo``: a whole world of real processes, and an audit that does not believe it.

The launcher is the operator of the world: it starts the processes, creates every
entity through the replication server a little before its birth, watches, strikes
where it is told to, and in the end has all shards stop at one tick and judges
what they wrote down.
"""

import signal
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from rich.console import Console

from sidereal.demo.aftermath import aftermath, lingering, rollbacks, windows
from sidereal.demo.audit import Auditor
from sidereal.demo.costs import read_costs
from sidereal.demo.disk import settle
from sidereal.demo.live import LiveView
from sidereal.demo.measure import Measure
from sidereal.demo.options import DemoOptions
from sidereal.demo.plan import Births, Plan, motion_of
from sidereal.demo.processes import SHARD_COMMAND, ProcessError, Processes, patiently
from sidereal.demo.report import Report, make_report
from sidereal.demo.report_view import show
from sidereal.demo.striker import Striker
from sidereal.demo.strikes import Strike, plan_strikes
from sidereal.demo.watch import Watch
from sidereal.errors import SiderealError
from sidereal.limits import ID_BLOCK
from sidereal.runtime.clock import now_ns
from sidereal.runtime.config import Config
from sidereal.runtime.operator import Operator
from sidereal.runtime.signals import INTERRUPTED
from sidereal.world.entities import EntityRows

CHAOS_AHEAD_S = 5.0
"""With a server that may be killed, entities are spawned so long before their birth."""
IDLE_UNLOAD_S = 5.0
REBALANCE_S = 5.0
SPAWN_ROWS = 5_000
SPAWN_AHEAD_S = 1.0
GREETING_S = 2.0
"""Before the first tick: time to spawn, beside that which many entities take."""
SPAWNED_PER_S = 25_000
LOOK_S = 0.25
PATIENCE_S = 30.0
"""How long the server may be away: on a busy machine a new one takes its time to start."""
ARRIVE_S = 10.0
"""After the last tick: patience for what is still in transit."""


def run(options: DemoOptions) -> int:
    """Run a demo; return 0 where the audit is content, 1 where it is not."""
    interrupted = Interrupt()
    try:
        report = play(options, interrupted=interrupted)
    finally:
        interrupted.restore()
    show(report, Console())
    if options.json is not None:
        options.json.write_bytes(report.to_json())
    if interrupted.asked:
        return INTERRUPTED
    return 0 if report.ok else 1


def simulation_options(options: DemoOptions) -> dict[str, Any]:
    """Return what every shard is told, from which it builds the same plan as the launcher."""
    chosen: dict[str, Any] = {
        "entities": options.entities,
        "crowd": options.crowd,
        "sector_size": options.sector_size,
        "tick_hz": options.tick_hz,
        "speed": options.speed,
        "seed": options.seed,
    }
    if options.trace is not None:
        chosen["trace"] = str(options.trace.resolve())
    return chosen


def strikes_of(options: DemoOptions) -> list[Strike]:
    """Return the strikes of a run; raise `ConfigError` where they do not fit into it."""
    return plan_strikes(
        options.chaos,
        seconds=options.seconds,
        shards=options.shards,
        seed=options.seed,
        lease_s=Config().replication.lease_s,
    )


def play(
    options: DemoOptions,
    *,
    shard_command: Sequence[str] = SHARD_COMMAND,
    interrupted: "Interrupt | None" = None,
    console: Console | None = None,
) -> Report:
    """Run a world and return the report on it.

    Parameters
    ----------
    options
        The flags of ``sidereal demo``.
    shard_command
        What starts a shard; its configuration and the audit's directory are appended.
    interrupted
        Asks whether the run is to end early; None: never.
    console
        Where the run is shown; standard output by default.

    Raises
    ------
    TraceError, ConfigError, SimulationError
        Before anything is started: the input cannot be played.
    KeyboardInterrupt
        Interrupted before anything was started, or twice.
    """
    motion = motion_of(options.simulation, simulation_options(options))
    strikes_of(options)
    console = console or Console()
    asked = partial(_asked, interrupted)
    settle(lambda line: console.print(line, highlight=False, soft_wrap=True), asked)
    if asked():
        raise KeyboardInterrupt  # nothing has been started, and there is nothing to report on
    with tempfile.TemporaryDirectory(prefix="sidereal-") as place:
        directory = Path(place)
        audit = directory / "audit"
        audit.mkdir()
        processes = Processes(
            directory,
            {"sector_size": options.sector_size, "tick_hz": options.tick_hz},
            {
                "idle_unload_s": IDLE_UNLOAD_S,
                "rebalance_s": REBALANCE_S,
                "datagram_bytes": options.path_bytes,
            },
        )
        try:
            names = [f"shard-{number}" for number in range(options.shards)]
            chosen = simulation_options(options)
            network = None if options.netsim is None else (options.netsim, options.seed)
            processes.start(names, options.simulation, chosen, audit, shard_command, network)
            with Operator(
                processes.address, processes.admin_key(), patience_s=PATIENCE_S
            ) as operator:
                run = _Run(options, processes, operator, audit, interrupted)
                return run.play(motion, LiveView(console))
        finally:
            processes.stop()


class Interrupt:
    """Ctrl-C ends the run, not the launcher: a second one does, once its processes have ended."""

    def __init__(self) -> None:
        self.asked = False
        self._leaving = False
        self._before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}

    def _note(self, signum: int, frame: FrameType | None) -> None:
        del signum, frame
        if self.asked and not self._leaving:
            self._leaving = True
            raise KeyboardInterrupt
        self.asked = True

    def restore(self) -> None:
        """Leave the signals as they were."""
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _asked(interrupted: Interrupt | None) -> bool:
    """Return whether the run is to end early."""
    return interrupted is not None and interrupted.asked


class _Run:
    """One run, from the first shard's registration to the verdict."""

    def __init__(
        self,
        options: DemoOptions,
        processes: Processes,
        operator: Operator,
        audit: Path,
        interrupted: Interrupt | None,
    ) -> None:
        self.options = options
        self.processes = processes
        self.operator = operator
        self.audit = audit
        self.interrupted = interrupted
        self.measure = Measure(processes)
        self.spawned_through = 0
        self.problems: list[str] = []
        self.watch = Watch()
        self.striker: Striker | None = None

    def play(self, motion: Any, view: LiveView) -> Report:
        """Run the world and judge it."""
        options = self.options
        hz = options.tick_hz
        patiently(self._all_registered, 30.0, "the shards' registration", self._children)
        lead_s = GREETING_S + options.entities / SPAWNED_PER_S
        tick, now = self.operator.status_message().tick, now_ns()
        start = tick + round(lead_s * hz)
        begin_ns = now + round((start - tick) * 1e9 / hz)
        plan = Plan(motion, start, max(1, round(options.seconds * hz)))
        self.measure.first_tick = start
        self._grant(plan)
        auditor = Auditor(self.audit, plan)
        striker = Striker(
            strikes_of(options), self.processes, begin_ns, self.audit, self.watch.note
        )
        self.striker = striker
        with view:
            self._spawn(plan.births(start, start))
            self.spawned_through = start
            striker.start()
            try:
                stop = self._look_on(plan, auditor, view)
            finally:
                striker.stop()
            self._end(auditor, stop)
        status = self.operator.status_message()
        self.measure.ended()
        when = striker.struck, begin_ns, start, hz
        verdict = auditor.verdict(self.spawned_through, windows(*when), rollbacks(*when))
        timely = options.netsim is None
        return make_report(
            verdict,
            self.measure.server(status),
            self.measure.shards(status),
            seconds=(stop - plan.start_tick + 1) / hz,
            tick_hz=hz,
            problems=[
                *self.problems,
                *striker.undone(early=_asked(self.interrupted)),
                *(lingering(striker.struck, verdict, begin_ns, start, hz) if timely else []),
            ],
            strikes=aftermath(striker.struck, verdict, begin_ns, start, hz),
            timely=timely,
            costs=[self.measure.costs(), *read_costs(self.audit)],
        )

    def _look_on(self, plan: Plan, auditor: Auditor, view: LiveView) -> int:
        """Spawn, look, strike, until the last tick; return it."""
        hz = self.options.tick_hz
        ahead = round((CHAOS_AHEAD_S if self.options.chaos else SPAWN_AHEAD_S) * hz)
        striker = self.striker
        assert striker is not None
        stop = plan.last_tick
        kill = self.options.kill_shard
        while True:
            status = self.operator.status_message()
            self.measure.look(status)
            striker.look(status, self.options.shards)
            view.update(self.watch.snapshot(status, plan.start_tick, stop, hz), now_ns())
            if _asked(self.interrupted) and stop == plan.last_tick:
                self.watch.note("interrupted: the run ends early")
                stop = min(stop, max(plan.start_tick, status.tick + ahead))
            through = min(stop, status.tick + 2 * ahead)
            if through > self.spawned_through:
                self._spawn(plan.births(self.spawned_through + 1, through))
                self.spawned_through = through
            if self.spawned_through >= stop:
                auditor.stop_at(stop)
            if kill is not None and status.tick >= plan.start_tick + kill * hz:
                kill = None
                self._strike()
            self._children()
            if status.tick > stop:
                return stop
            self.measure.nap(LOOK_S / 5 if striker.waiting else LOOK_S)

    def _strike(self) -> None:
        victim = self.processes.shards[-1]
        victim.kill()
        self.watch.note(f"killed {victim.name} (pid {victim.pid})")

    def _end(self, auditor: Auditor, stop: int) -> None:
        """Let what is in transit arrive, then ask every shard what it has."""
        auditor.stop_at(stop)
        everyone = [*self.processes.gone, *self.processes.shards]
        dead = frozenset(p.pid for p in everyone if not p.running)
        plan = auditor.plan
        # An interrupted run stops before the births that are spawned already.
        unborn = len(plan.births(stop + 1, self.spawned_through))
        alive = len(plan.alive(stop)) + unborn

        def landed() -> bool:
            # Who crossed a border in the last tick is still on its way.
            return auditor.landed(alive) and self.operator.status_message().entities <= alive

        try:
            patiently(landed, ARRIVE_S, "the arrival of all entities", self._stay)
        except ProcessError as error:
            self.problems.append(str(error))
        auditor.finish()
        try:
            patiently(lambda: auditor.answered(dead), ARRIVE_S, "the shards' answers", self._stay)
        except ProcessError as error:
            self.problems.append(str(error))

    def _spawn(self, births: Births) -> None:
        if not len(births):
            return
        rows = _rows(births, self.plan_ids[births.generation])
        for part in rows.split(SPAWN_ROWS):
            outcome = self.operator.spawn_rows(part)
            if outcome.refused:
                raise SiderealError(
                    f"the server refused {len(outcome.refused)} entities: {outcome.reason}"
                )

    def _grant(self, plan: Plan) -> None:
        while plan.ungranted:
            first, count = self.operator.ids(min(plan.ungranted, ID_BLOCK))
            plan.assign_ids(first, count)
        self.plan_ids = plan.ids

    def _all_registered(self) -> bool:
        known = [s for s in self.operator.status_message().shards if s.alive]
        return len(known) >= self.options.shards

    def _stay(self) -> None:
        """Look after the children, and keep the link to the server open while waiting."""
        self._children()
        self.operator.status_message()

    def _children(self) -> None:
        """Note children that fell; without the server, or any shard, there is nothing to run."""
        if self.processes.striking:
            return
        for process in self.processes.fallen():
            process.killed = True
            if process.felled_by is not None:
                # Somebody's strike, as --kill-shard is: the audit judges what came of it.
                self.watch.note(f"{process.name} (pid {process.pid}) got {process.felled_by}")
                continue
            story = f"{process.name} ended by itself: {process.last_words()}"
            self.problems.append(story)
            self.watch.note(story)
        server = self.processes.server
        # The striker may have felled it since.
        if server is not None and not server.running and not self.processes.striking:
            raise ProcessError(f"the replication server ended: {server.last_words()}")
        if not any(shard.running for shard in self.processes.shards):
            raise ProcessError(f"no shard runs any more: {'; '.join(self.problems)}")


def _rows(births: Births, ids: Any) -> EntityRows:
    """Return the entities of births, in the state of the tick before each."""
    count = len(births)
    item = births.state.dtype.itemsize
    return EntityRows(
        ids=ids,
        group=np.zeros(count, np.uint64),
        position=births.position,
        velocity=births.velocity,
        sector=np.zeros((count, 2), np.int32),
        version=np.zeros(count, np.uint32),
        handle=np.zeros(count, np.uint32),
        tick=births.birth - 1,
        flags=np.zeros(count, np.uint32),
        sensor=np.zeros(count, np.float32),
        lengths=np.full(count, item, np.uint32),
        states=np.frombuffer(np.ascontiguousarray(births.state).tobytes(), np.uint8),
    )
