"""Links of the simulated cluster: what the transport promises, on a virtual clock.

Messages arrive in order, each once, after a delay; or the link ends, which both
ends are told once they can know it. Datagrams are lost, delayed and reordered;
each gets one notice. Everything is drawn from one seeded generator.

A direction can be *held*: nothing gets through. Messages wait, as a transport
sends them again and again; datagrams are lost. Held for longer than the idle
time, the link ends at the receiving end, and its farewell tells the other.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from sidereal.testing.clocks import Clockwork
from sidereal.world.rules import NS_PER_S

IDLE_NS = 10 * NS_PER_S
"""The transport's: silence after which a link is given up."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How the network behaves. Delays in nanoseconds."""

    delay_ns: int = 1_000_000
    jitter_ns: int = 1_000_000
    datagram_loss: float = 0.01


class Pipe:
    """One direction of one link."""

    def __init__(self, clock: Clockwork, random: Random, weather: Weather) -> None:
        self._clock = clock
        self._random = random
        self.weather = weather
        self.cut = False
        """Nothing arrives any more, ever."""
        self.extra_ns = 0
        """How much later than the weather has it everything arrives."""
        self.struck: Callable[[str], None] | None = None
        """Called with ``loss`` or ``reordering`` for each datagram that meets it."""
        self._last_arrival = 0
        self._last_landing = 0
        self._held = 0
        self._queue: deque[Callable[[], None]] = deque()
        """Sent and not arrived, in order."""
        self._due = 0
        """How many of the queue would have arrived, were the pipe not held."""

    @property
    def held(self) -> bool:
        """Whether nothing gets through now."""
        return self._held > 0

    def hold(self) -> None:
        """Let nothing through until as many calls of `release`."""
        self._held += 1

    def release(self) -> None:
        """End one `hold`; with the last, what waited arrives at once, in order."""
        self._held -= 1
        if self._held == 0:
            due, self._due = self._due, 0
            for _ in range(due):
                self._clock.at(self._clock.now, self._arrive)

    def _arrival(self) -> int:
        weather = self.weather
        jitter = int(self._random.random() * (weather.jitter_ns + 1))
        return self._clock.now + weather.delay_ns + self.extra_ns + jitter

    def message(self, deliver: Callable[[], None]) -> None:
        """Deliver after all that was sent before; never, once the link is cut."""
        self._queue.append(deliver)
        self._last_arrival = max(self._last_arrival, self._arrival())
        self._clock.at(self._last_arrival, self._arrive)

    def _arrive(self) -> None:
        if self.cut:
            return
        if self._held:
            self._due += 1
        else:
            self._queue.popleft()()

    def datagram(self, deliver: Callable[[], None], notice: Callable[[bool], None]) -> None:
        """Deliver or lose; tell the sender which, a round trip later."""
        arrival = self._arrival()
        lost = self.cut or self._held or self._random.random() < self.weather.datagram_loss
        if not lost:
            self._clock.at(arrival, partial(self._land, deliver))
        if self.struck is not None:
            if lost:
                self.struck("loss")
            elif arrival < self._last_landing:
                self.struck("reordering")
        self._last_landing = max(self._last_landing, arrival)
        back = arrival + self.weather.delay_ns
        self._clock.at(back, partial(self._noticed, notice, not lost))

    def _land(self, deliver: Callable[[], None]) -> None:
        if not self.cut:
            deliver()

    def _noticed(self, notice: Callable[[bool], None], arrived: bool) -> None:
        if not self.cut:
            notice(arrived)


class Link:
    """Two pipes, and how both ends learn that it is over.

    ``up`` leads to the server, ``down`` from it. `ended` is called with the end
    (``"server"`` or ``"peer"``) and the reason, once for each end.
    """

    def __init__(
        self,
        clock: Clockwork,
        random: Random,
        weather: Weather,
        ended: Callable[[str, str], None],
        idle_ns: int = IDLE_NS,
    ) -> None:
        self._clock = clock
        self._ended = ended
        self.idle_ns = idle_ns
        self.up = Pipe(clock, random, weather)
        self.down = Pipe(clock, random, weather)
        self.over = {"server": False, "peer": False}
        self._silence = {"server": 0, "peer": 0}

    def cut(self) -> None:
        """Let nothing arrive any more, at either end; nobody is told."""
        self.up.cut = self.down.cut = True

    def hold(self, *directions: str) -> None:
        """Hold ``up``, ``down`` or both; whoever hears nothing for the idle time ends the link."""
        for direction in directions:
            pipe, end = self._of(direction)
            pipe.hold()
            self.quiet(end)

    def release(self, *directions: str) -> None:
        """End a `hold` of the same directions."""
        for direction in directions:
            pipe, end = self._of(direction)
            pipe.release()
            if not pipe.held:
                self.loud(end)

    def quiet(self, end: str) -> None:
        """An end hears nothing from here on: after the idle time it ends the link."""
        self._silence[end] += 1
        due = partial(self._idle, end, self._silence[end])
        self._clock.at(self._clock.now + self.idle_ns, due)

    def loud(self, end: str) -> None:
        """An end hears the other again."""
        self._silence[end] += 1

    def end(self, end: str, reason: str, *, told: bool = True) -> None:
        """One end is over; its farewell goes to the other behind all that it has said.

        `told` says whether that end is to hear of it, as it does not where it asked for it.
        """
        if self.over[end]:
            return
        self.over[end] = True
        towards, from_it = (self.up, self.down) if end == "server" else (self.down, self.up)
        towards.cut = True
        other = "peer" if end == "server" else "server"
        from_it.message(partial(self._heard, other, reason))
        if told:
            self._ended(end, reason)

    def snap(self, reason: str) -> None:
        """Break at once: nothing more arrives, and both ends are told now."""
        self.cut()
        for end in ("server", "peer"):
            if not self.over[end]:
                self.over[end] = True
                self._ended(end, reason)

    def _heard(self, end: str, reason: str) -> None:
        if not self.over[end]:
            self.over[end] = True
            self.cut()
            self._ended(end, reason)

    def _idle(self, end: str, silence: int) -> None:
        if self._silence[end] == silence and not self.over[end]:
            self.end(end, f"nothing heard for {self.idle_ns / NS_PER_S:g} s")

    def _of(self, direction: str) -> tuple[Pipe, str]:
        return (self.up, "server") if direction == "up" else (self.down, "peer")
