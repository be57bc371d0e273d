"""Links of the simulated cluster: what the transport promises, on a virtual clock.

Messages arrive in order, each once, after a delay; or the link breaks, which
both ends are told. Datagrams are lost, delayed and reordered; each gets one
notice. Everything is drawn from one seeded generator.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Weather:
    """How the network behaves. Delays in nanoseconds."""

    delay_ns: int = 1_000_000
    jitter_ns: int = 1_000_000
    datagram_loss: float = 0.01


class Clockwork:
    """Virtual time: calls to be made, in the order of their time and then of their making."""

    def __init__(self) -> None:
        self.now = 1_000_000_000
        self._order = itertools.count()
        self._calls: list[tuple[int, int, Callable[[], None]]] = []

    def at(self, when: int, call: Callable[[], None]) -> None:
        """Make `call` at `when`, or now where that has passed."""
        heapq.heappush(self._calls, (max(when, self.now), next(self._order), call))

    def run_until(self, end: int, after_each: Callable[[], None]) -> None:
        """Make every call due until `end`, and `after_each` after each instant."""
        while self._calls and self._calls[0][0] <= end:
            self.now = self._calls[0][0]
            while self._calls and self._calls[0][0] == self.now:
                heapq.heappop(self._calls)[2]()
            after_each()
        self.now = end


class Pipe:
    """One direction of one link."""

    def __init__(self, clock: Clockwork, random: Random, weather: Weather) -> None:
        self._clock = clock
        self._random = random
        self.weather = weather
        self._last_arrival = 0
        self.cut = False

    def _arrival(self) -> int:
        jitter = self._random.randrange(self.weather.jitter_ns + 1)
        return self._clock.now + self.weather.delay_ns + jitter

    def message(self, deliver: Callable[[], None]) -> None:
        """Deliver after all that was sent before; never, once the link is cut."""
        self._last_arrival = max(self._last_arrival, self._arrival())
        self._clock.at(self._last_arrival, lambda: None if self.cut else deliver())

    def datagram(self, deliver: Callable[[], None], notice: Callable[[bool], None]) -> None:
        """Deliver or lose; tell the sender which, a round trip later."""
        arrival = self._arrival()
        lost = self.cut or self._random.random() < self.weather.datagram_loss
        if not lost:
            self._clock.at(arrival, lambda: None if self.cut else deliver())
        back = arrival + self.weather.delay_ns
        self._clock.at(back, lambda: None if self.cut else notice(not lost))
