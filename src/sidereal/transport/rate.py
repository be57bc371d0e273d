"""The default congestion controller: a window from the measured rate, paced.

Once a round trip the window becomes *what the path delivers in a round trip without
queue, and a little more*::

    window = rate * (mean flight - standing queue beyond noise) + EXTRA_PACKETS

While the path is not full, the little more lets the rate grow. Once it is full, the
rate stays, a queue forms, and as every connection keeps the same few packets in it,
connections that share it share alike, whatever their round trips (after FAST TCP, Wei et
al. 2006). Loss as such says nothing: what is lost is not delivered, and so lowers the
rate by exactly that much. The standing queue is told from jitter as in Copa (Arun and
Balakrishnan 2018): by the shortest round trip of late; the rate is that of BBR (Cardwell
et al. 2016), and so is the moment taken every few seconds to see the path empty.
"""

from collections import deque
from typing import Final

from sidereal.transport.congestion import Sample
from sidereal.transport.settings import MS, SECOND, TransportSettings

QUEUE_NS: Final = 10 * MS
"""Standing delay that is not fought: busy processes make as much."""
JITTER_PART: Final = 4
"""And as much of the spread within a round trip: its shortest varies by about so much."""
EXTRA_PACKETS: Final = 16
"""What each connection keeps in a full path's queue, or `EXTRA_NS` worth of its rate if less."""
EXTRA_PACKETS_MIN: Final = 2
EXTRA_NS: Final = 20 * MS
RATE_ROUNDS: Final = 2
"""Round trips over which the best delivery rate counts."""
LUMP_ROUNDS: Final = 10
"""Round trips over which the largest lump of acks counts: a process that looks at its network
once a tick acknowledges a tick's worth at a time, and that much must fit into the window."""
LOSS_ROUNDS: Final = 10
LOSS_PACKETS: Final = 32
"""What is lost at random is lost in each round trip: it is the least share lost in so many of them,
of those with as many packets. What is more is a queue that runs over."""
FULL_ROUNDS: Final = 2
GROWTH: Final = 1.25
"""The start ends after `FULL_ROUNDS` in which the rate did not grow by this factor."""
FREE_ROUNDS: Final = 4
"""Full windows in a row without a queue after which the window grows by a quarter a round."""
FREE_SHARE: Final = 0.85
LOSS_MIN: Final = 0.01
"""Less is taken for none where it is asked how fast a window may leave."""
LOSS_MAX: Final = 0.25
"""More than this lost in a round trip ends the start, and halves what is kept in the queue."""
PACING_GAIN: Final = 1.25
START_GAIN: Final = 2.5
LOCAL_NS: Final = 2 * MS
"""Below this round trip the network is local: it is rather processes that are busy than
the path, and the window never falls below ``window_bytes_local``, but after losses."""
BUSY_NS: Final = 50 * MS
EMPTY_EVERY_NS: Final = 5 * SECOND
EMPTY_NS: Final = 100 * MS
"""How often the path is let run empty if nothing showed the shortest round trip, how long."""


class Rate:
    """See the module."""

    __slots__ = (
        "_acked",
        "_best_rate",
        "_datagram",
        "_empty_until",
        "_extra",
        "_flight_ns",
        "_flights",
        "_free",
        "_full",
        "_heavy_before",
        "_limited",
        "_local",
        "_loss_delay_ns",
        "_losses",
        "_lossy",
        "_lost",
        "_lump_acked",
        "_lump_at",
        "_lumps",
        "_max",
        "_mean_ns",
        "_min",
        "_min_rtt",
        "_min_rtt_at",
        "_noise_ns",
        "_random",
        "_rates",
        "_recent",
        "_round_min",
        "_round_until",
        "_shares",
        "_starting",
        "_wide",
        "pacing_bytes_per_s",
        "window",
    )

    def __init__(self, settings: TransportSettings) -> None:
        self.window = self._wide = settings.window_bytes_initial
        self.pacing_bytes_per_s = 0.0
        self._datagram = settings.datagram_bytes
        self._local = min(settings.window_bytes_local, settings.window_bytes_max)
        self._min = max(settings.window_bytes_min, 4 * settings.datagram_bytes)
        self._max = settings.window_bytes_max
        self._extra = float(EXTRA_PACKETS)
        self._starting = True
        self._best_rate = 0.0
        self._full = self._free = 0
        self._lossy = self._heavy_before = False
        self._lost = self._random = 0.0
        self._shares: deque[float] = deque(maxlen=LOSS_ROUNDS)
        self._rates: deque[float] = deque([0.0], RATE_ROUNDS)
        self._min_rtt = 0
        self._min_rtt_at = 0
        self._empty_until = 0
        self._lumps: deque[float] = deque([0.0], LUMP_ROUNDS)
        self._lump_at = self._lump_acked = 0
        self._recent: deque[int] = deque(maxlen=2)
        self._round_min = 0
        self._round_until = 0
        self._acked = self._losses = 0
        self._limited = False
        self._flights = self._flight_ns = self._mean_ns = 0
        self._noise_ns = QUEUE_NS
        self._loss_delay_ns = 0

    def update(self, sample: Sample) -> None:
        """Learn from acks and losses; decide once a round trip."""
        self._acked += sample.acked_bytes
        self._losses += sample.lost_bytes - sample.spurious_bytes
        self._limited = self._limited or sample.window_limited
        self._flights += sample.acked_packets
        self._flight_ns += sample.flight_ns
        self._loss_delay_ns = sample.loss_delay_ns
        rtt = sample.flight_min_ns
        if not rtt:
            return
        if not self._min_rtt or rtt <= self._min_rtt + MS // 2:
            self._min_rtt_at = sample.now
            if not self._min_rtt or rtt < self._min_rtt:
                self._min_rtt = rtt
        if not self._round_min or rtt < self._round_min:
            self._round_min = rtt
        if sample.delivery_bytes_per_s > self._rates[-1]:
            self._rates[-1] = sample.delivery_bytes_per_s
        self._lump(sample)
        if self._starting and self._limited:
            self._wide = max(self._wide, min(self._wide + sample.acked_bytes, self._twice()))
        if sample.acked_after >= self._round_until:
            self._round_until = sample.delivered
            self._round(sample)
        if self._wide > self._max:
            self._wide = self._max
        floor = self._floor()
        if self._wide < floor:
            self._wide = floor
        self.window = self._wide
        if sample.now < self._empty_until:
            self.window = max(4 * self._datagram, self._wide // 4)
        gain = START_GAIN if self._starting else PACING_GAIN
        self.pacing_bytes_per_s = gain * self._wide * SECOND / self._residence_ns()

    def _residence_ns(self) -> int:
        """In which time a window leaves.

        The shortest round trip where nothing drops what comes at once, and processes may be busy;
        otherwise as long as a byte counts as in flight, on average.
        """
        if self._lost < LOSS_MIN:
            return self._min_rtt
        lost = min(self._random, LOSS_MAX)
        mean_ns = int((1 - lost) * self._mean_ns + lost * self._loss_delay_ns)
        return mean_ns if mean_ns > self._min_rtt else self._min_rtt

    def _lump(self, sample: Sample) -> None:
        """Note how many bytes are acknowledged at once, beyond what the rate explains."""
        expected = max(self._rates) * (sample.now - self._lump_at) / SECOND
        if self._lump_acked <= expected:
            self._lump_at = sample.now
            self._lump_acked = expected = 0
        self._lump_acked += sample.acked_bytes
        lump = self._lump_acked - expected
        if lump > self._lumps[-1]:
            self._lumps[-1] = lump

    def _floor(self) -> int:
        return self._local if self._min_rtt < LOCAL_NS and not self._lossy else self._min

    def _twice(self) -> int:
        """More than twice what the path seems to carry: as far as the start may go."""
        span_ns = self._min_rtt + (BUSY_NS if self._min_rtt < LOCAL_NS else QUEUE_NS)
        return int(START_GAIN * max(self._rates) * span_ns / SECOND)

    def _round(self, sample: Sample) -> None:
        """A round trip is over: set the window for the next."""
        self._recent.append(self._round_min)
        mean_ns = self._flight_ns // max(1, self._flights)
        self._mean_ns = (self._mean_ns + mean_ns) // 2 if self._mean_ns else mean_ns
        self._flights = self._flight_ns = 0
        quiet_ns = BUSY_NS if self._min_rtt < LOCAL_NS else QUEUE_NS
        self._noise_ns = quiet_ns + max(0, mean_ns - self._round_min) // JITTER_PART
        queue = min(self._recent) - self._min_rtt
        both = self._acked + self._losses
        lost = max(0.0, self._losses / both) if both else 0.0
        self._lose(lost, both)
        # One round alone may be packets that were late, and are acknowledged in the next.
        loss_is_heavy = both > LOSS_PACKETS * self._datagram and lost > LOSS_MAX
        heavy = loss_is_heavy and self._heavy_before
        self._heavy_before = loss_is_heavy
        self._lossy = heavy or (self._lossy and lost > LOSS_MAX / 4)
        self._extra = (
            max(self._extra / 2, EXTRA_PACKETS_MIN)
            if heavy
            else min(self._extra + 0.25, EXTRA_PACKETS)
        )
        if self._starting:
            if self._full_now(heavy):
                self._starting = False
                self._wide = int(self._wanted(self._round_min - self._min_rtt))
        elif self._limited or heavy:
            self._steer(queue)
        self._empty(sample)
        if self._limited:
            self._rates.append(0.0)
            self._lumps.append(0.0)
        self._acked = self._losses = self._round_min = 0
        self._limited = False

    def _lose(self, lost: float, both: int) -> None:
        """Tell what the network loses at random, queue or no queue, from what a queue drops."""
        self._lost = (3 * self._lost + lost) / 4
        if both > LOSS_PACKETS * self._datagram:
            self._shares.append(self._lost)
        self._random = min(self._shares, default=self._lost)

    def _full_now(self, heavy: bool) -> bool:
        """Whether the start, in which the window doubles each round trip, has filled the path."""
        rate = max(self._rates)
        if rate > self._best_rate * GROWTH:
            self._best_rate = rate
            self._full = 0
        elif self._limited:
            self._full += 1
        # Where the window was not used up, whatever delays the packets is not our queue; of few
        # packets, the fastest is not as fast as the path can be.
        queued = (
            self._limited and self._round_min - self._min_rtt > self._noise_ns + self._min_rtt // 8
        )
        return self._full >= FULL_ROUNDS or queued or heavy

    def _wanted(self, queue: int) -> float:
        """What the path delivers in a round trip without queue, and a little more."""
        rate = max(self._rates)
        extra = max(
            EXTRA_PACKETS_MIN * self._datagram,
            min(self._extra * self._datagram, rate * EXTRA_NS / SECOND),
        )
        base = self._mean_ns - max(0, queue - self._noise_ns)
        if queue < self._noise_ns:
            # What the network loses at random is in flight too, until it is known to be lost.
            lost = min(self._random, LOSS_MAX)
            base += int(self._loss_delay_ns * lost / (1 - lost))
        lump = min(max(self._lumps), self._wide)
        return rate * max(base, self._min_rtt) / SECOND + extra + lump

    def _steer(self, queue: int) -> None:
        """Go half-way to what is wanted."""
        wanted = self._wanted(queue)
        self._free = self._free + 1 if queue < self._noise_ns // 2 and self._limited else 0
        # Growing faster makes sense only where all that is sent arrives.
        if self._free > FREE_ROUNDS and wanted > self._wide * FREE_SHARE:
            wanted = max(wanted, self._wide * GROWTH)
        self._wide = int((self._wide + wanted) / 2)

    def _empty(self, sample: Sample) -> None:
        """Now and then see the path without our queue: its shortest round trip may have changed."""
        if sample.now - self._min_rtt_at > EMPTY_EVERY_NS:
            if not self._empty_until:
                self._empty_until = sample.now + EMPTY_NS + self._min_rtt
            elif sample.now >= self._empty_until:
                self._min_rtt = min(self._recent)
                self._min_rtt_at = sample.now
                self._empty_until = 0
        elif sample.now >= self._empty_until:
            self._empty_until = 0

    def stalled(self) -> None:
        """Start again from the smallest window."""
        self.window = self._wide = self._min
        self._lossy = True
        self._starting = True
        self._best_rate = 0.0
        self._full = 0
