"""Mail reaches whoever holds an entity: in order from each sender, each once."""

from collections import defaultdict

import numpy as np
import pytest

from sidereal.limits import MAIL_BYTES_MAX, MAIL_PER_ENTITY_MAX
from sidereal.replication.mail import Sender
from sidereal.replication.settings import MS, Settings
from sidereal.shard import events as ev
from sidereal.testing.cluster import Cluster
from sidereal.testing.links import Weather
from sidereal.wire import codec
from sidereal.wire import operator_messages as om
from sidereal.wire import shard_messages as sm
from sidereal.world.rules import NS_PER_S, WorldRules

SETTINGS = Settings(
    rules=WorldRules(sector_size=100.0), idle_unload_ns=NS_PER_S // 2, cold_load=1e9
)


class Correspondence:
    """Shards write to entities without pause; everything that games are given is noted."""

    def __init__(self, cluster: Cluster, ids: np.ndarray, pause_ns: int = 3 * MS) -> None:
        self.cluster = cluster
        self.ids = ids
        self.pause_ns = pause_ns
        self.sent: dict[tuple[str, int], int] = defaultdict(int)
        self.given: dict[tuple[str, int], list[int]] = defaultdict(list)
        self.refused: list[ev.MailRefused] = []
        self.writing = True
        cluster.hear = self.hear
        cluster.clock.at(0, self.write)

    def write(self) -> None:
        if not self.writing:
            return
        cluster = self.cluster
        shard = cluster.random.choice(cluster.alive())
        entity = int(self.ids[cluster.random.randrange(len(self.ids))])
        key = (f"shard:{shard.name}", entity)
        shard.core.send_mail(entity, self.sent[key].to_bytes(4, "little"))
        self.sent[key] += 1
        cluster.clock.at(cluster.clock.now + self.pause_ns, self.write)

    def hear(self, shard, events) -> None:
        for event in events:
            if isinstance(event, ev.MailReceived):
                number = int.from_bytes(event.payload, "little")
                self.given[event.sender, event.entity].append(number)
            elif isinstance(event, ev.MailRefused):
                self.refused.append(event)

    def assert_each_once_in_order(self) -> None:
        for key, count in self.sent.items():
            assert self.given[key] == list(range(count)), key
        assert not self.refused


def turning(extent: float):
    def step(world, dt):
        elapsed = (world.tick - world.since.astype(np.int64)) * dt
        world.position += world.velocity * elapsed[:, None]
        out = np.abs(world.position) > extent
        world.velocity[out] = (-np.sign(world.position) * np.abs(world.velocity))[out]

    return step


def crowd(cluster: Cluster, count: int, extent: float, speed: float) -> np.ndarray:
    generator = np.random.default_rng(cluster.random.getrandbits(32))
    position = generator.uniform(-extent, extent, (count, 2))
    return cluster.spawn(position, generator.uniform(-speed, speed, (count, 2)))


def deal(cluster: Cluster) -> None:
    """Give the shards the sectors in turn, so that most borders lie between two of them."""
    books = cluster.manager.books
    owned = sorted(e.coords for e in books.sectors.values() if e.shard_id >= 0)
    for number, coords in enumerate(owned):
        shard = cluster.shards[number % len(cluster.shards)]
        cluster.command(om.Command(1, "migrate", coords, shard.core.shard_id))


@pytest.mark.parametrize("seed", range(4))
def test_letters_follow_entities_that_cross_borders_all_the_time(seed):
    slow = Weather(delay_ns=20 * MS, jitter_ns=30 * MS)
    cluster = Cluster(seed, shards=4, settings=SETTINGS, step=turning(150), weather=slow)
    cluster.run(0.5)
    ids = crowd(cluster, 20, 150, 200)
    cluster.run(0.5)
    deal(cluster)
    letters = Correspondence(cluster, ids)
    cluster.run(10)
    letters.writing = False
    cluster.run(1)
    assert cluster.manager.books.counters["handoffs"] > 20
    assert sum(letters.sent.values()) > 1000
    letters.assert_each_once_in_order()
    books = cluster.manager.books
    assert books.mail.waiting() == 0
    assert all(books.mail.unacknowledged(info) == 0 for info in books.shards)


@pytest.mark.parametrize("seed", range(10, 14))
def test_letters_follow_sectors_that_are_moved_and_unloaded_under_them(seed):
    slow = Weather(delay_ns=15 * MS, jitter_ns=20 * MS)
    cluster = Cluster(seed, shards=4, settings=SETTINGS, step=turning(150), weather=slow)
    cluster.run(0.5)
    letters = Correspondence(cluster, crowd(cluster, 20, 150, 60))
    books = cluster.manager.books
    random = cluster.random
    for _ in range(25):
        coords = (random.randrange(-2, 2), random.randrange(-2, 2))
        if random.random() < 0.3:
            cluster.command(om.Command(1, "unload", coords, None))
        else:
            shard = random.choice(list(books.shards)).shard_id
            cluster.command(om.Command(1, "migrate", coords, shard))
        cluster.run(0.2)
    letters.writing = False
    cluster.run(1.5)
    assert books.counters["migrations"] >= 5
    assert books.counters["deactivations"] >= 2
    letters.assert_each_once_in_order()


def test_what_a_dead_shard_was_not_done_with_goes_to_the_next_one():
    cluster = Cluster(20, shards=2, settings=SETTINGS, step=lambda world, dt: None)
    cluster.run(0.5)
    ids = crowd(cluster, 20, 90, 0)
    cluster.run(1)
    books = cluster.manager.books
    holder = next(s for s in cluster.shards if len(s.core.holdings.table))
    other = next(s for s in cluster.shards if s is not holder)
    entity = int(holder.core.holdings.table.ids[0])
    letters = Correspondence(cluster, np.array([entity], np.uint64))
    letters.writing = False
    holder.paused = True
    for number in range(5):
        other.core.send_mail(entity, number.to_bytes(4, "little"))
    cluster.run(0.5)
    assert books.mail.unacknowledged(books.shards.get(holder.core.shard_id)) == 5
    cluster.kill(holder)
    cluster.run(5)
    assert letters.given["shard:" + other.name, entity] == list(range(5))
    assert len(ids) == len(other.core.holdings.table)


def test_mail_waits_in_custody_up_to_its_bound_and_is_then_refused():
    cluster = Cluster(21, shards=1, settings=SETTINGS, step=lambda world, dt: None)
    cluster.run(0.5)
    entity = int(crowd(cluster, 1, 90, 0)[0])
    cluster.run(1)
    old = cluster.shards[0]
    cluster.kill(old)
    cluster.run(5)
    books = cluster.manager.books
    assert books.table.shard[books.slot_of(entity)] == -1
    letters = Correspondence(cluster, np.array([entity], np.uint64))
    letters.writing = False
    # Its letters come with its registration, before it is given the sector.
    writer = cluster.add_shard("writer")
    for number in range(MAIL_PER_ENTITY_MAX + 3):
        writer.core.send_mail(entity, number.to_bytes(4, "little"))
    cluster.run(1)
    assert letters.given["shard:writer", entity] == list(range(MAIL_PER_ENTITY_MAX))
    assert len(letters.refused) == 3
    assert str(MAIL_PER_ENTITY_MAX) in letters.refused[0].reason


def test_mail_to_nobody_is_refused_and_too_large_a_letter_ends_the_link():
    cluster = Cluster(22, shards=2, settings=SETTINGS)
    cluster.run(0.5)
    shard = cluster.shards[0]
    for entity in (999, 2**63 + 5):
        shard.core.send_mail(entity, b"anyone?")
    cluster.run(0.1)
    reasons = [e.reason for e in shard.log if isinstance(e, ev.MailRefused)]
    assert reasons == ["there is no entity 999", f"there is no entity {2**63 + 5}"]
    huge = sm.SendMail(1, bytes(MAIL_BYTES_MAX + 1))
    cluster.server.heard(shard.link, codec.encode(huge))
    assert str(MAIL_BYTES_MAX) in shard.ended
    assert not cluster.shards[1].ended


def test_letters_that_come_too_late_for_a_destroyed_entity_go_back_to_their_senders():
    cluster = Cluster(23, shards=2, settings=SETTINGS, step=lambda world, dt: None)
    cluster.run(0.5)
    entity = int(crowd(cluster, 1, 90, 0)[0])
    cluster.run(0.5)
    holder = next(s for s in cluster.shards if len(s.core.holdings.table))
    other = next(s for s in cluster.shards if s is not holder)
    letters = Correspondence(cluster, np.array([entity], np.uint64))
    letters.writing = False
    holder.paused = True
    other.core.send_mail(entity, bytes(4))
    holder.destroy(np.array([entity], np.uint64))
    cluster.run(0.2)
    holder.paused = False
    cluster.run(0.2)
    assert not letters.given
    (refused,) = letters.refused
    assert (refused.entity, "destroyed" in refused.reason) == (entity, True)


def test_letters_that_wait_in_custody_go_back_when_their_entity_is_destroyed():
    cluster = Cluster(24, shards=2, settings=SETTINGS, step=lambda world, dt: None)
    cluster.run(0.5)
    entity = int(crowd(cluster, 1, 90, 0)[0])
    cluster.run(0.5)
    holder = next(s for s in cluster.shards if len(s.core.holdings.table))
    other = next(s for s in cluster.shards if s is not holder)
    cluster.command(om.Command(1, "drain", None, other.core.shard_id))
    cluster.kill(holder)
    cluster.run(4)
    other.core.send_mail(entity, b"are you there?")
    cluster.run(0.2)
    assert cluster.manager.books.mail.waiting() == 1
    cluster.command(om.DestroyByOperator(1, [entity]))
    cluster.run(0.2)
    assert cluster.manager.books.mail.waiting() == 0
    assert [e.entity for e in other.log if isinstance(e, ev.MailRefused)] == [entity]


def test_of_what_came_exactly_the_letters_that_the_game_was_not_given_go_on():
    class Listed(tuple):
        """As it comes off the wire: long, and not to be searched once for each letter."""

        def __contains__(self, number: object) -> bool:
            raise AssertionError(f"searched for {number}")

    cluster = Cluster(3, shards=1, settings=SETTINGS)
    cluster.run(0.3)
    (entity,) = cluster.spawn(np.array([[50.0, 50.0]]), np.zeros((1, 2)))
    cluster.run(0.5)
    books, mail = cluster.manager.books, cluster.manager.books.mail
    (info,) = books.shards
    sender = Sender("shard:other", shard_id=info.shard_id)
    for number in range(1, 7):
        mail.post(books, sender, sm.SendMail(int(entity), bytes([number])))
    mail.withdraw(info, np.array([entity], np.uint64), 4, Listed((2, 3)))
    books.out.clear()
    mail.arrived(books, books.table.slots(np.array([entity], np.uint64)))
    told = [out.message.payload[0] for out in books.out if isinstance(out.message, sm.DeliverMail)]
    assert told == [2, 3, 5, 6]
