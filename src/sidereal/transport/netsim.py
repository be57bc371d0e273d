"""A network that exists only in virtual time: lossy, late, out of order, and repeatable.

One seed gives one history. It carries opaque datagrams between addresses; whoever
owns the clock asks `NetSim.next_time` and `NetSim.deliver`.
"""

import heapq
import random
from dataclasses import dataclass, replace
from typing import Any, Final

from sidereal.errors import ConfigError
from sidereal.transport.events import Address
from sidereal.transport.settings import MS, SECOND


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a direction of the network does to datagrams. Fractions lie in [0, 1].

    ``burst`` is the mean number of datagrams lost in a row; ``loss`` stays the
    fraction lost in all (a two-state Gilbert model). ``queue_ns`` bounds how long
    a datagram may wait for the rate; beyond it the network drops.
    """

    loss: float = 0.0
    burst: float = 1.0
    delay_ns: int = 0
    jitter_ns: int = 0
    reorder: float = 0.0
    duplicate: float = 0.0
    duplicate_late_ns: int = 0
    corrupt: float = 0.0
    rate_bits_per_s: float = 0.0
    queue_ns: int = 200 * MS
    mtu: int = 0


PRESETS: Final[dict[str, Conditions]] = {
    "perfect": Conditions(),
    "lan": Conditions(delay_ns=150_000, jitter_ns=50_000, rate_bits_per_s=1e9),
    "wifi": Conditions(
        loss=0.01, burst=3, delay_ns=4 * MS, jitter_ns=4 * MS, reorder=0.01, rate_bits_per_s=50e6
    ),
    "mobile": Conditions(
        loss=0.02,
        burst=4,
        delay_ns=45 * MS,
        jitter_ns=20 * MS,
        reorder=0.02,
        duplicate=0.002,
        rate_bits_per_s=10e6,
    ),
    "awful": Conditions(
        loss=0.10, delay_ns=150 * MS, jitter_ns=80 * MS, reorder=0.10, rate_bits_per_s=20e6
    ),
}

_TIME_UNITS: Final = {"us": 1_000, "ms": MS, "s": SECOND}
_RATE_UNITS: Final = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}


def parse(text: str) -> Conditions:
    """Read ``loss=2%,delay=80ms,jitter=20ms,reorder=5%,duplicate=1%,rate=20mbit``, or a preset.

    A preset may come first and be changed: ``awful,loss=20%``.

    Raises
    ------
    ConfigError
        A name or a value that does not exist; the message says which do.
    """
    conditions = Conditions()
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            if name not in PRESETS:
                raise ConfigError(f"no network {name!r}; there are {', '.join(PRESETS)}")
            conditions = PRESETS[name]
        elif name in ("loss", "reorder", "duplicate", "corrupt"):
            conditions = _with(conditions, name, _fraction(name, value))
        elif name in ("delay", "jitter"):
            conditions = _with(conditions, f"{name}_ns", _time(name, value))
        elif name == "rate":
            conditions = replace(conditions, rate_bits_per_s=_unit(name, value, _RATE_UNITS))
        elif name == "burst":
            conditions = replace(conditions, burst=max(1.0, _number(name, value)))
        else:
            raise ConfigError(
                f"no network property {name!r}; "
                "there are loss, burst, delay, jitter, reorder, duplicate, corrupt, rate"
            )
    return conditions


def _with(conditions: Conditions, name: str, value: Any) -> Conditions:
    return replace(conditions, **{name: value})


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"{name}={text}: {text!r} is not a number") from None
    if not 0 <= value < float("inf"):
        raise ConfigError(f"{name}={text}: choose a number from 0 up")
    return value


def _fraction(name: str, text: str) -> float:
    value = _number(name, text[:-1]) / 100 if text.endswith("%") else _number(name, text)
    if value > 1:
        raise ConfigError(f"{name}={text}: choose 0% to 100%")
    return value


def _unit(name: str, text: str, units: dict[str, Any]) -> float:
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(number) :]
    if unit not in units:
        raise ConfigError(f"{name}={text}: give a unit, one of {', '.join(units)}")
    return _number(name, number) * float(units[unit])


def _time(name: str, text: str) -> int:
    return int(_unit(name, text, _TIME_UNITS))


@dataclass(slots=True)
class _Path:
    """One direction between two addresses: its burst state and when its queue is empty."""

    bursting: bool = False
    free_at: int = 0


class NetSim:
    """Carries datagrams between addresses, as the conditions have it.

    Parameters
    ----------
    seed
        Two simulators with one seed, given the same datagrams, do the same.
    conditions
        For every path that `set_path` does not name.
    """

    def __init__(self, seed: int, conditions: Conditions = PRESETS["perfect"]) -> None:
        self.conditions = conditions
        self.sent = self.lost = self.delivered = 0
        self._random = random.Random(seed)
        self._paths: dict[tuple[Address, Address], _Path] = {}
        self._conditions_of: dict[tuple[Address, Address], Conditions] = {}
        self._cut: set[frozenset[Address]] = set()
        self._flying: list[tuple[int, int, bytes, Address, Address]] = []
        self._serial = 0

    def set_path(self, source: Address, target: Address, conditions: Conditions) -> None:
        """Give one direction between two addresses conditions of its own."""
        self._conditions_of[source, target] = conditions

    def share_link(self, *paths: tuple[Address, Address]) -> None:
        """Let directions ``(source, target)`` go through one link: one rate, one queue."""
        link = _Path()
        for path in paths:
            self._paths[path] = link

    def partition(self, one: Address, other: Address) -> None:
        """Let nothing through between two addresses, either way."""
        self._cut.add(frozenset((one, other)))

    def heal(self, one: Address, other: Address) -> None:
        """End a partition."""
        self._cut.discard(frozenset((one, other)))

    def send(self, source: Address, target: Address, data: bytes, now: int) -> None:
        """Take one datagram at ``now``."""
        self.sent += 1
        c = self._conditions_of.get((source, target), self.conditions)
        path = self._paths.setdefault((source, target), _Path())
        if frozenset((source, target)) in self._cut or (c.mtu and len(data) > c.mtu):
            self.lost += 1
            return
        leaves = now
        if c.rate_bits_per_s:
            leaves = max(now, path.free_at)
            if leaves - now > c.queue_ns:
                self.lost += 1
                return
            # 28 bytes of IP and UDP header travel with each datagram.
            path.free_at = leaves = leaves + int((len(data) + 28) * 8e9 / c.rate_bits_per_s)
        if self._loses(path, c):
            self.lost += 1
            return
        self._fly(source, target, data, leaves, c)
        if c.duplicate and self._random.random() < c.duplicate:
            self._fly(source, target, data, leaves + c.duplicate_late_ns, c)

    def _loses(self, path: _Path, c: Conditions) -> bool:
        if not c.loss:
            return False
        if c.burst <= 1:
            return self._random.random() < c.loss
        if path.bursting:
            path.bursting = self._random.random() >= 1 / c.burst
        else:
            begin = c.loss / max(1e-9, 1 - c.loss) / c.burst
            path.bursting = self._random.random() < begin
        return path.bursting

    def _fly(
        self, source: Address, target: Address, data: bytes, leaves: int, c: Conditions
    ) -> tuple[int, bytes]:
        """Let one datagram go; return when it arrives, and as what."""
        delay = c.delay_ns
        if c.jitter_ns:
            delay += int(self._random.uniform(-c.jitter_ns, c.jitter_ns))
        if c.reorder and self._random.random() < c.reorder:
            delay += max(MS, c.delay_ns // 2 + c.jitter_ns)
        if c.corrupt and self._random.random() < c.corrupt:
            at = self._random.randrange(len(data)) if data else 0
            data = data[:at] + bytes([data[at] ^ self._random.randrange(1, 256)]) + data[at + 1 :]
        self._serial += 1
        arrives = leaves + max(0, delay)
        heapq.heappush(self._flying, (arrives, self._serial, data, source, target))
        return arrives, data

    def next_time(self) -> int | None:
        """When the next datagram arrives, or None."""
        return self._flying[0][0] if self._flying else None

    def deliver(self, now: int) -> list[tuple[Address, Address, bytes]]:
        """Return what has arrived by ``now``: ``(source, target, data)``, in order of arrival."""
        arrived = []
        while self._flying and self._flying[0][0] <= now:
            _, _, data, source, target = heapq.heappop(self._flying)
            if frozenset((source, target)) in self._cut:
                self.lost += 1
                continue
            self.delivered += 1
            arrived.append((source, target, data))
        return arrived
