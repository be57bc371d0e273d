"""What one seed does: its network, its clocks, its game, and a list of strikes.

Each seed draws its own (a swarm: some seeds have no loss, some no operators), so
that no fault hides another. A plan is a value: two runs of one plan are equal,
and a smaller plan can be cut out of one that fails.
"""

from dataclasses import dataclass, replace
from random import Random

from sidereal.replication.settings import MS, Settings
from sidereal.testing.faults import BY_NAME
from sidereal.testing.links import Weather
from sidereal.testing.phases import AIMED_AT
from sidereal.world.rules import NS_PER_S, WorldRules

SECONDS = 60.0
SECTOR_SIZE = 100.0
STRIKES = 34
"""In each seed, of all faults."""

WARM_UP_S = 3.0
"""Before the first strike: shards register, entities spread."""

OFTENER = {
    "opening": 2,
    "custody": 2,
    "decided": 2,
    "unloading": 2,
    "spawning": 3,
    "destroying": 3,
    "no lease": 2,
}
"""Phases that many seeds have seldom or not at all: how often others aim at them for it."""

CALM = Weather()

QUICK = Weather(delay_ns=1 * MS, jitter_ns=1 * MS)

COOL_DOWN_S = 8.0
"""After the last strike, before the faults are healed."""


@dataclass(frozen=True, slots=True)
class Strike:
    """One aimed fault: armed `at_s`, it strikes a shard that is in `phase` then or soon after."""

    at_s: float
    fault: str
    phase: str
    salt: int
    """Of whatever else it draws."""

    def __str__(self) -> str:
        return f"{self.at_s:5.1f} s {self.fault} at a shard that is {self.phase}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One life of a cluster, wholly determined."""

    seed: int
    seconds: float = SECONDS
    shards: int = 3
    entities: int = 100
    tick_hz: float = 10.0
    lease_ns: int = 1 * NS_PER_S
    allowance_ns: int = 60 * MS
    heartbeat_ns: int = 300 * MS
    idle_ns: int = 2 * NS_PER_S
    unload_ns: int = 2 * NS_PER_S
    commit_ns: int = 0
    weather: Weather = CALM
    drift_ppm: int = 0
    """Of the server's clock; the shards' run the other way."""
    ghosts: bool = False
    births: float = 0.0
    deaths: float = 0.0
    teleports: float = 0.0
    orders: float = 0.0
    """How often a second: shards spawn, one is destroyed, a teleporter jumps, operators order."""
    clients: int = 0
    """Game clients that watch, steer and write."""
    strikes: tuple[Strike, ...] = ()
    transport: str = ""
    """``calm`` or ``rough`` where links are real transport endpoints."""

    @property
    def settings(self) -> Settings:
        """What the replication server is told."""
        return Settings(
            rules=WorldRules(sector_size=SECTOR_SIZE, tick_hz=self.tick_hz),
            lease_ns=self.lease_ns,
            drift_allowance_ns=self.allowance_ns,
            heartbeat_ns=self.heartbeat_ns,
            load_report_ns=2 * NS_PER_S,
            idle_unload_ns=self.unload_ns,
            rebalance_ns=2 * NS_PER_S,
            move_cooldown_ns=1 * NS_PER_S,
            cold_load=5.0,
            survey_ns=400 * MS,
            activation_horizon_s=0.5,
            stall_ns=300 * MS,
            audit_ns=1 * NS_PER_S,
        )

    def without(self, strikes: tuple[Strike, ...]) -> "Plan":
        """Return the plan with only these strikes."""
        return replace(self, strikes=strikes)


def draw(seed: int, faults: tuple[str, ...] = tuple(BY_NAME), *, transport: bool = False) -> Plan:
    """Return the plan of a seed, with only these faults in it."""
    random = Random(seed * 1_000_003 + 17)
    wanted = set(faults)
    weather = Weather(
        delay_ns=random.choice([2, 20, 60, 60]) * MS,
        jitter_ns=random.choice([1, 10, 40]) * MS if "reordering" in wanted else 0,
        datagram_loss=random.choice([0.0, 0.05, 0.3]) if "loss" in wanted else 0.0,
    )
    lease_ns = random.choice([800, 1000, 1500]) * MS
    allowance_ns = random.choice([30, 60]) * MS
    # Both clocks' drifts over a lease, and the next heartbeat's way, stay within the allowance.
    room_ppm = allowance_ns * 1_000_000 // (lease_ns + allowance_ns)
    drift = random.choice([0.0, 0.95, 0.95]) * random.choice([-1, 1]) if "drift" in wanted else 0.0
    tick_hz = random.choice([4.0, 4.0, 4.0, 4.0, 4.0, 5.0, 5.0, 10.0])
    if drift > 0 and random.random() < 0.5:
        # What the clocks are wrong by shows only where nothing slower hides it.
        weather, tick_hz = QUICK, 10.0
    return Plan(
        seed=seed,
        entities=random.randrange(100, 131),
        tick_hz=tick_hz,
        lease_ns=lease_ns,
        allowance_ns=allowance_ns,
        heartbeat_ns=random.choice([250, 350]) * MS,
        idle_ns=random.choice([1500, 3000]) * MS,
        unload_ns=random.choice([1, 4, 8]) * NS_PER_S,
        commit_ns=random.choice([0, 2, 15]) * MS,
        weather=weather,
        drift_ppm=int(drift * room_ppm / 2),
        ghosts=random.random() < 0.15,
        births=random.choice([0.0, 0.5, 1.0, 2.0]),
        deaths=random.choice([0.0, 0.3, 0.6, 1.0]),
        teleports=random.choice([0.0, 0.05, 0.2]) if "teleports" in wanted else 0.0,
        orders=random.choice([0.0, 1.0, 4.0]),
        strikes=_strikes(seed, random, wanted),
        transport=random.choice(["calm", "rough", "rough"]) if transport else "",
        clients=random.choice([0, 0, 1, 3]),
    )


def _strikes(seed: int, random: Random, wanted: set[str]) -> tuple[Strike, ...]:
    """Draw aimed faults, each with a phase, so that seeds in a row meet all pairs equally often."""
    pairs = [
        (fault.name, phase)
        for fault in BY_NAME.values()
        if fault.aimed and fault.name in wanted and not fault.needs
        for phase in fault.phases or AIMED_AT
        for _ in range(OFTENER.get(phase, 1))
    ]
    if not pairs:
        return ()
    seeds = -(-len(pairs) // STRIKES)
    Random(seed // seeds).shuffle(pairs)
    mine = pairs[seed % seeds :: seeds]
    end = SECONDS - COOL_DOWN_S
    strikes = [
        Strike(round(random.uniform(WARM_UP_S, end), 1), fault, phase, random.getrandbits(32))
        for fault, phase in mine
    ]
    if "pause" in wanted:  # each seed has a lease that ends
        strikes.append(Strike(5.0, "pause", "idle", random.getrandbits(32)))
    return tuple(sorted(strikes, key=lambda strike: strike.at_s))
