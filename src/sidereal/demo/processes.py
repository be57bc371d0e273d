"""The processes of a demo: a replication server and its shards, started and ended.

Everything that they need, keys and configuration, lies in one directory that
goes with the run. What they say goes to a log beside it.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from sidereal.errors import SiderealError
from sidereal.limits import DATAGRAM_BYTES_DEFAULT
from sidereal.runtime import keys
from sidereal.runtime.address import Address
from sidereal.runtime.clock import now_ns

SHARD_COMMAND = (sys.executable, "-m", "sidereal.demo.shard_main")
RELAY_COMMAND = (sys.executable, "-m", "sidereal.runtime.relay")
START_S = 30.0
END_S = 5.0


class ProcessError(SiderealError):
    """A process of the demo ended or did not start; the message has its last words."""


class Process:
    """One child, its log, and what it cost."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.command = command
        self.log = log
        environment = dict(os.environ)
        for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
            environment.setdefault(threads, "1")
        with self.log.open("wb") as output:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                env=environment,
                start_new_session=True,
            )
        self.pid = self._child.pid
        self.killed = False

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._child.poll() is None

    @property
    def said(self) -> IO[bytes]:
        """Its standard output."""
        assert self._child.stdout is not None
        return self._child.stdout

    @property
    def felled_by(self) -> str | None:
        """The signal that ended it, by name; None where it ended in another way."""
        code = self._child.poll()
        return signal.Signals(-code).name if code is not None and code < 0 else None

    def last_words(self) -> str:
        """Return the last line of its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self._child.poll()}, and not a word"

    def memory_mb(self) -> float:
        """Return the most memory that it has had, in MiB; 0 once it is gone."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0.0
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def kill(self) -> None:
        """End it at once: no goodbye, no flush."""
        self.killed = True
        self._child.kill()
        self._child.wait()

    def terminate(self) -> None:
        """Ask it to end."""
        if self.running:
            self._child.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> None:
        """Wait for its end; kill it where it does not come."""
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        self.said.close()


class Processes:
    """All processes of one run.

    Parameters
    ----------
    directory
        Of this run alone.
    world, replication
        Sections of the configuration.
    """

    def __init__(
        self, directory: Path, world: Mapping[str, Any], replication: Mapping[str, Any]
    ) -> None:
        self.directory = directory
        self.keys = directory / "keys"
        self._world = world
        self._replication = {
            "listen": "127.0.0.1:0",
            "keys": str(self.keys),
            "data": str(directory / "data"),
            "datagram_bytes": DATAGRAM_BYTES_DEFAULT,
            **replication,
        }
        self.server: Process | None = None
        self.relay: Process | None = None
        self.shards: list[Process] = []
        self.gone: list[Process] = []
        """Killed, and replaced by others of the same name."""
        self.striking = False
        """Whether a process is just being replaced."""
        self.address = Address("127.0.0.1", 0)

    def start(
        self,
        names: Sequence[str],
        simulation: str,
        options: Mapping[str, Any],
        audit: Path,
        shard_command: Sequence[str] = SHARD_COMMAND,
        netsim: tuple[str, int] | None = None,
    ) -> None:
        """Start the server, then a shard for each name.

        With `netsim`, a network and its seed, the shards reach the server through that.
        """
        keys.create(self.keys, ["admin", "clients", *(f"shard:{name}" for name in names)])
        self.start_server()
        server = self.address
        if netsim is not None:
            asked = (str(self.address), netsim[0], str(netsim[1]))
            self.relay = Process("network", [*RELAY_COMMAND, *asked], self._log("network"))
            server = _listening("the simulated network", self.relay)
        for name in names:
            section = {
                "name": name,
                "server": str(server),
                "simulation": simulation,
                "key": str(self.keys / f"shard-{name}.key"),
                "datagram_bytes": self._replication["datagram_bytes"],
                "options": dict(options),
            }
            shard_config = self._write(f"shard-{name}", section)
            command = [*shard_command, str(shard_config), str(audit)]
            self.shards.append(Process(name, command, self._log(name)))

    def start_server(self) -> None:
        """Start a replication server: the first on a free port, others where that one was."""
        config = self._write("replication", {})
        command = (sys.executable, "-m", "sidereal.apps.start", "replication", "--config")
        server = Process("replication", [*command, str(config)], self._log("replication"))
        ready, _, _ = select.select([server.said], [], [], START_S)
        line = server.said.readline().decode().strip() if ready else ""
        self.server, self.striking = server, False
        if not line.startswith("listening on "):
            server.wait(END_S)
            raise ProcessError(f"the replication server did not start: {server.last_words()}")
        self.address = Address.parse(line.removeprefix("listening on "))
        self._replication["listen"] = str(self.address)

    def fell_server(self) -> None:
        """Kill the replication server; `start_server` is to follow."""
        assert self.server is not None
        self.striking = True
        self.server.kill()
        self.gone.append(self.server)

    def replace_shard(self, number: int) -> None:
        """Kill a shard, and start another process under the same name."""
        before = self.shards[number]
        self.striking = True
        before.kill()
        self.gone.append(before)
        self.shards[number] = Process(before.name, before.command, self._log(before.name))
        self.striking = False

    def admin_key(self) -> bytes:
        """Return the operators' key."""
        return keys.read(self.keys / "admin.key")

    def fallen(self) -> list[Process]:
        """Return the processes that ended though nobody killed them."""
        everyone = [*self.shards, *(p for p in (self.server, self.relay) if p is not None)]
        return [p for p in everyone if not p.running and not p.killed]

    def stop(self) -> None:
        """End all of them: shards first, so that they can say goodbye."""
        others = ([p] if p is not None else [] for p in (self.server, self.relay))
        for group in (self.shards, *others):
            for process in group:
                process.terminate()
            deadline = now_ns() + round(END_S * 1e9)
            for process in group:
                process.wait(max(0.1, (deadline - now_ns()) / 1e9))
        for process in self.gone:
            process.said.close()

    def _log(self, name: str) -> Path:
        """Where a process of that name writes; each in a file of its own."""
        before = sum(process.name == name for process in self.gone)
        return self.directory / (f"{name}-{before + 1}.log" if before else f"{name}.log")

    def _write(self, name: str, shard: Mapping[str, Any]) -> Path:
        sections: dict[str, Mapping[str, Any]] = {
            "world": self._world,
            "replication": self._replication,
        }
        if shard:
            sections["shard"] = {k: v for k, v in shard.items() if k != "options"}
            sections["shard.options"] = shard["options"]
        path = self.directory / f"{name}.toml"
        lines: list[str] = []
        for section, values in sections.items():
            lines.append(f"[{section}]")
            # JSON's strings, numbers and booleans are TOML's as well.
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        path.write_text("\n".join(lines) + "\n")
        return path


def _listening(what: str, process: Process) -> Address:
    """Where a process says that it listens."""
    line = process.said.readline().decode().strip()
    if not line.startswith("listening on "):
        process.wait(END_S)
        raise ProcessError(f"{what} did not start: {process.last_words()}")
    return Address.parse(line.removeprefix("listening on "))


def patiently(condition: Any, seconds: float, what: str, check: Any) -> None:
    """Ask `condition` until it holds; `check` may raise meanwhile; give up after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        check()
        if time.monotonic() > deadline:
            raise ProcessError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)
