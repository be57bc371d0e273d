"""Game clients of a simulation: what they wish for, and what has to hold of what they are told.

Each watches a few places or entities, steers some, and writes letters. Its link breaks now and
then, and with it goes what it saw; it comes back and resumes.

- What it is told makes sense at any time: nothing enters twice, moves before it entered, goes
  back in time (`clients.Picture`).
- A letter comes once to a life of a shard, and a sender's letters to an entity come in order.
- At rest it sees exactly what is near, where it is, steers what it was told that it steers, and
  knows of each letter whether it came, or that nobody knows.
"""

from random import Random
from typing import TYPE_CHECKING

import numpy as np

from sidereal.errors import LimitError
from sidereal.replication.interest import LEAVE_FACTOR
from sidereal.shard import events as ev
from sidereal.testing.clients import SimulatedClient
from sidereal.testing.observer import Violation
from sidereal.world.rules import NS_PER_S

if TYPE_CHECKING:
    from sidereal.testing.shards import SimulatedShard
    from sidereal.testing.simulation import Simulation

POLL_NS = NS_PER_S // 10
"""How often a client looks around: as seldom as slow games do, which saves instants."""

WISH_S = 0.5
"""How often each of them wishes for something."""

NEAR = 0.01
"""Units by which a place that is told may be off: an update's rounding."""

STEERED_MAX = 4


class Audience:
    """All clients of a simulation."""

    def __init__(self, simulation: "Simulation") -> None:
        self._simulation = simulation
        self._random = Random(simulation.plan.seed * 7919 + 2)
        self._letters = 0
        self._came: dict[tuple[str, int, str, int], int] = {}
        """The last letter that a life of a shard was given for an entity, by sender."""
        self.clients: list[SimulatedClient] = []
        self._watched: dict[int, int] = {}

    def come(self, count: int) -> None:
        """So many clients start, and live until the faults are healed."""
        cluster = self._simulation.cluster
        for number in range(count):
            client = cluster.add_client(poll_ns=POLL_NS, comes_back=True)
            self.clients.append(client)
            self._watch(number, client)
        self.live()

    def live(self) -> None:
        """Have each wish for something, and again until the faults are healed."""
        simulation = self._simulation
        clock, random = simulation.cluster.clock, self._random
        if not self.clients or simulation.seconds >= simulation.plan.seconds:
            return
        clock.at(clock.now + round(WISH_S * NS_PER_S), self.live)
        for number, client in enumerate(self.clients):
            wish = random.random()
            if wish < 0.15:
                client.core.unsubscribe(self._watched[number])
                self._watch(number, client)
            elif wish < 0.3:
                self._steer(client)
            elif wish < 0.6:
                self._write(client)
            elif wish < 0.63 and client.linked:
                client.break_link(noticed=random.random() < 0.5)

    def _entity(self) -> int | None:
        ids = self._simulation.cluster.manager.books.table.ids
        return int(self._random.choice(ids.tolist())) if len(ids) else None

    def _watch(self, number: int, client: SimulatedClient) -> None:
        random = self._random
        radius = random.uniform(40.0, 200.0)
        entity = self._entity() if random.random() < 0.5 else None
        where = random.uniform(-250.0, 250.0), random.uniform(-250.0, 250.0)
        self._watched[number] = (
            client.core.subscribe(radius, point=where)
            if entity is None
            else client.core.subscribe(radius, entity=entity)
        )

    def _steer(self, client: SimulatedClient) -> None:
        steered = sorted(client.steers)
        entity = self._entity()
        if len(steered) >= STEERED_MAX:
            client.core.release(self._random.choice(steered))
        elif entity is not None:
            client.core.possess(entity)

    def _write(self, client: SimulatedClient) -> None:
        steered = sorted(client.steers)
        between = [
            entity
            for session in self._simulation.phases.sessions.values()
            for entity in (*session.asked, *session.heard)
        ]
        if between and self._random.random() < 0.7:  # where letters wait
            entity: int | None = self._random.choice(between)
        else:
            entity = self._random.choice(steered) if steered else self._entity()
        if entity is None:
            return
        for _ in range(self._random.randrange(1, 4)):
            self._letters += 1
            try:
                client.core.send_mail(entity, self._letters.to_bytes(4, "little"))
            except LimitError:
                return  # too many wait for a session: the game writes later

    def told(self, shard: "SimulatedShard", events: list[ev.Event]) -> None:
        """Hold what a shard's game is told against what was written."""
        for event in events:
            if not isinstance(event, ev.MailReceived):
                continue
            life = shard.name, shard.core.incarnation, event.sender, event.entity
            letter = int.from_bytes(event.payload, "little")
            last = self._came.get(life, 0)
            if letter <= last:
                raise Violation(
                    "letters come once and in order",
                    f"{shard.name} is given letter {letter} of {event.sender} to {event.entity}"
                    f" after letter {last}",
                    [event.entity],
                )
            self._came[life] = letter

    # --- at rest ---------------------------------------------------------------

    def at_rest(self) -> None:
        """Raise `Violation` where a client sees or steers anything but what it should."""
        for client in self.clients:
            if not client.core.welcomed:
                raise Violation("views show what is near", "a client has no session")
            self._sees(client)
            self._steers(client)
            if client.core.letters_unsettled:
                story = f"{client.core.letters_unsettled} of a client may have come or not"
                raise Violation("letters are settled", story)

    def _sees(self, client: SimulatedClient) -> None:
        books = self._simulation.cluster.manager.books
        session = books.sessions.get(client.core.session or 0)
        table = books.table
        near, far = np.zeros(len(table), bool), np.ones(len(table), bool)
        for disc in session.subscriptions.values() if session is not None else ():
            centre = np.array([disc.x, disc.y])
            if disc.entity:
                slot = books.slot_of(disc.entity)
                centre = np.full(2, np.nan) if slot is None else table.position[slot]
            away = np.hypot(*(table.position - centre).T)
            near |= away < disc.radius - NEAR
            far &= ~(away <= disc.radius * LEAVE_FACTOR + NEAR)
        seen = client.picture.position
        missing = [e for e in table.ids[near].tolist() if e not in seen]
        if missing:
            raise Violation("views show what is near", f"{missing[:5]} are not seen", missing)
        beyond = sorted(set(seen) - set(table.ids[~far].tolist()))
        if beyond:
            raise Violation("views show what is near", f"{beyond[:5]} are seen afar", beyond)
        for entity, at in seen.items():
            slot = books.slot_of(entity)
            assert slot is not None, "what is not far is in the record"
            if np.abs(table.position[slot] - at).max() > NEAR:
                raise Violation(
                    "views show what is near",
                    f"{entity} is seen at {at} and is at {table.position[slot]}",
                    [entity],
                )

    def _steers(self, client: SimulatedClient) -> None:
        books = self._simulation.cluster.manager.books
        session = books.sessions.get(client.core.session or 0)
        has = set(session.possessed) if session is not None else set()
        if has != client.steers:
            odd = sorted(has ^ client.steers)
            raise Violation(
                "clients steer what they are told", f"{odd[:5]} are steered by one account", odd
            )
