"""A client's letters come once and in order, or it is told that nobody knows; whatever breaks."""

from random import Random

import numpy as np
import pytest

from replication.test_sessions import SETTINGS, still
from sidereal.client import events as ev
from sidereal.client.core import HEARTBEAT_NS, ClientCore
from sidereal.errors import LimitError
from sidereal.limits import MAIL_PER_ENTITY_MAX
from sidereal.replication.settings import MS
from sidereal.shard import events as shard_ev
from sidereal.testing.clients import SimulatedClient
from sidereal.testing.cluster import Cluster
from sidereal.testing.links import Weather
from sidereal.wire import client_messages as cm
from sidereal.wire import shard_messages as sm

ENTITY = 7
UNKNOWN = "whether it came is not known: "


def welcome(core: ClientCore, now: int, *, resumed: bool, term: int = 1) -> list:
    core.open(now)
    core.poll()
    core.receive(cm.ClientWelcome(1, b"x" * 16, resumed, 20.0, now, 0, term), now)
    return core.poll()


def broken(count: int) -> ClientCore:
    """A client whose link broke when it had sent some letters."""
    core = ClientCore()
    welcome(core, 1, resumed=False)
    for number in range(count):
        core.send_mail(ENTITY, bytes([number]))
    assert len(core.poll()) == count
    core.ended("the link broke")
    core.events()
    return core


def sent(messages: list) -> list[tuple[int, bytes]]:
    return [(m.number, m.payload) for m in messages if isinstance(m, sm.SendMail)]


def refused(core: ClientCore) -> list[tuple[str, bytes | None]]:
    return [(e.reason, e.payload) for e in core.events() if isinstance(e, ev.MailRefused)]


def test_in_the_next_session_those_that_had_not_come_go_again_before_newer_ones():
    core = broken(3)
    core.send_mail(ENTITY, b"away")
    asked = welcome(core, 5, resumed=True)
    assert asked == [sm.Heartbeat(5, 0, 0)], "first it is asked what has come"
    core.send_mail(ENTITY, b"newest")
    assert core.poll() == []
    core.receive(sm.HeartbeatAck(5, 6, 2), 7)
    assert sent(core.poll()) == [(3, b"\2"), (4, b"away"), (5, b"newest")]
    assert refused(core) == []
    core.send_mail(ENTITY, b"at once")
    assert sent(core.poll()) == [(6, b"at once")]
    core.tick(7 + HEARTBEAT_NS)
    core.receive(sm.HeartbeatAck(7, 8, 6), 9)
    assert core.letters_unsettled == 0


@pytest.mark.parametrize("resumed", [True, False])
def test_where_nobody_can_know_the_client_is_told_of_each_that_was_on_its_way(resumed):
    core = broken(2)
    core.send_mail(ENTITY, b"away")
    said = welcome(core, 5, resumed=resumed, term=2)
    if resumed:
        core.receive(sm.HeartbeatAck(5, 6, -1), 7)
        said = core.poll()
    why = UNKNOWN + ("the server is a new one" if resumed else "its session is over")
    assert refused(core) == [(why, b"\0"), (why, b"\1")]
    assert sent(said) == [(3, b"away")], "that was not on its way"


def test_a_link_that_breaks_before_the_answer_settles_nothing():
    core = broken(2)
    welcome(core, 5, resumed=True)
    core.ended("the link broke again")
    welcome(core, 8, resumed=True)
    core.receive(sm.HeartbeatAck(8, 9, 0), 9)
    assert sent(core.poll()) == [(1, b"\0"), (2, b"\1")]


def test_who_took_over_knows_of_what_was_sent_to_it_though_none_of_it_came():
    core = broken(1)
    welcome(core, 5, resumed=True, term=2)
    core.receive(sm.HeartbeatAck(5, 6, -1), 7)
    assert [payload for _, payload in refused(core)] == [b"\0"]
    core.send_mail(ENTITY, b"to the second")
    assert sent(core.poll()) == [(2, b"to the second")]
    core.ended("the link broke")
    welcome(core, 8, resumed=True, term=2)
    core.receive(sm.HeartbeatAck(8, 9, -1), 9)
    assert sent(core.poll()) == [(2, b"to the second")]
    core.ended("the link broke")
    welcome(core, 10, resumed=True, term=3)
    core.receive(sm.HeartbeatAck(10, 11, -1), 11)
    assert [payload for _, payload in refused(core)] == [b"to the second"]


def test_what_waits_for_a_session_is_bounded_however_often_none_comes_to_be():
    core = broken(1)
    for _ in range(MAIL_PER_ENTITY_MAX):
        core.open(5)
        core.send_mail(ENTITY, b"x")
        core.ended("nobody there")
    with pytest.raises(LimitError, match="wait for a session"):
        core.send_mail(ENTITY, b"x")


def writing(**weather) -> tuple[Cluster, int, SimulatedClient]:
    cluster = Cluster(9, settings=SETTINGS, step=still, comes_back=True, weather=Weather(**weather))
    cluster.run(0.5)
    entity = int(cluster.spawn(np.array([[50.0, 50.0]]), np.zeros((1, 2)))[0])
    cluster.run(1)
    client = cluster.add_client(comes_back=True)
    cluster.run(0.5)
    return cluster, entity, client


def write(cluster: Cluster, client: SimulatedClient, entity: int, letters: range) -> None:
    for letter in letters:
        client.core.send_mail(entity, letter.to_bytes(4, "little"))
        cluster.run(0.03)


def came(cluster: Cluster) -> list[int]:
    return [
        int.from_bytes(event.payload, "little")
        for shard in cluster.shards
        for event in shard.log
        if isinstance(event, shard_ev.MailReceived)
    ]


@pytest.mark.parametrize("after_ms", range(0, 300, 17))
def test_letters_written_around_a_break_arrive_once_each_and_in_order(after_ms):
    cluster, entity, client = writing(delay_ns=40 * MS, jitter_ns=15 * MS)
    write(cluster, client, entity, range(10))
    cluster.run(after_ms / 1000)
    write(cluster, client, entity, range(10, 15))
    client.break_link(noticed=after_ms % 2 == 0)
    write(cluster, client, entity, range(15, 30))
    cluster.run(4)
    assert came(cluster) == list(range(30))
    assert not client.of(ev.MailRefused)
    assert client.core.letters_unsettled == 0


@pytest.mark.parametrize("noticed", [True, False])
def test_a_link_to_a_server_that_took_over_and_had_no_letter_yet_loses_none_either(noticed):
    cluster, entity, client = writing(delay_ns=40 * MS)
    write(cluster, client, entity, range(3))
    cluster.run(2)
    cluster.server.crash()
    cluster.run(0.3)
    cluster.restart()
    cluster.run(3)
    write(cluster, client, entity, range(3, 4))
    client.break_link(noticed=noticed)
    cluster.run(3)
    assert came(cluster) == list(range(4))
    assert not client.of(ev.MailRefused)


@pytest.mark.parametrize("after_ms", range(0, 100, 13))
def test_of_each_letter_that_was_on_its_way_when_the_server_died_the_client_is_told(after_ms):
    cluster, entity, client = writing(delay_ns=40 * MS)
    write(cluster, client, entity, range(10))
    cluster.run(after_ms / 1000)
    cluster.server.crash()
    write(cluster, client, entity, range(10, 15))
    cluster.run(0.3)
    cluster.restart()
    cluster.run(5)
    told = [int.from_bytes(e.payload, "little") for e in client.of(ev.MailRefused)]
    assert all(e.reason == UNKNOWN + "the server is a new one" for e in client.of(ev.MailRefused))
    arrived = came(cluster)
    assert arrived == sorted(set(arrived))
    assert set(arrived) | set(told) >= set(range(15)), "came, or told"
    assert client.core.letters_unsettled == 0


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_whatever_breaks_and_however_often_letters_come_once_and_with_one_server_all(seed, dies):
    random = Random(seed)
    cluster, entity, client = writing(delay_ns=random.randrange(1, 80) * MS, jitter_ns=20 * MS)
    written = 0
    for _ in range(20):
        for _ in range(random.randrange(8)):
            write(cluster, client, entity, range(written, written + 1))
            written += 1
        match random.randrange(5):
            case 0:
                client.break_link(noticed=random.random() < 0.5)
            case 1:  # it is back before the server has heard of the end, and may be twice
                for _ in range(random.randrange(1, 3)):
                    client.break_link(noticed=False)
                    client.connect()
            case 2 if dies:
                cluster.server.crash()
                cluster.run(random.random() * 0.4)
                cluster.restart()
        cluster.run(random.random() * 0.5)
    cluster.run(8)
    arrived = came(cluster)
    told = [int.from_bytes(e.payload, "little") for e in client.of(ev.MailRefused)]
    assert arrived == sorted(set(arrived))
    assert told == sorted(set(told))
    if not dies:  # what a server had taken and not delivered dies with it
        assert arrived == list(range(written))
        assert not told
    assert client.core.letters_unsettled == 0
