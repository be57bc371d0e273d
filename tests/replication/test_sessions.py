"""Clients' sessions: who may open one, what outlives a broken link, who steers what."""

import numpy as np
import pytest

from sidereal.client import events as ev
from sidereal.limits import SUBSCRIPTION_RADIUS_SECTORS_MAX, SUBSCRIPTIONS_PER_CLIENT_MAX
from sidereal.replication.settings import MS, Settings
from sidereal.shard import events as shard_ev
from sidereal.testing.clients import SimulatedClient
from sidereal.testing.cluster import Cluster, SimulatedShard
from sidereal.wire import client_messages as cm
from sidereal.wire import codec
from sidereal.wire import operator_messages as om
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import PROTOCOL_VERSION
from sidereal.world.rules import NS_PER_S, WorldRules

SETTINGS = Settings(
    rules=WorldRules(sector_size=100.0),
    idle_unload_ns=20 * NS_PER_S,
    cold_load=1e9,
    session_resume_ns=5 * NS_PER_S,
)


def still(world, dt):
    pass


def world(seed: int, shards: int = 2, **more) -> tuple[Cluster, int, SimulatedClient]:
    """One entity that stands still, and one client."""
    cluster = Cluster(seed, shards=shards, settings=SETTINGS, step=still, **more)
    cluster.run(0.5)
    entity = int(cluster.spawn(np.array([[50.0, 50.0]]), np.zeros((1, 2)))[0])
    cluster.run(0.5)
    client = cluster.add_client()
    cluster.run(0.2)
    return cluster, entity, client


def holder(cluster: Cluster, entity: int) -> SimulatedShard:
    (found,) = (
        shard for shard in cluster.alive() if entity in shard.core.holdings.table.ids.tolist()
    )
    return found


def steered(cluster: Cluster, entity: int) -> list[tuple[int, bool]]:
    """What the entity's shard was told of who steers it, in order."""
    return [
        (event.session, event.held)
        for event in holder(cluster, entity).log
        if isinstance(event, shard_ev.PossessionChanged) and event.entity == entity
    ]


# --- what a link may say ------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        sm.RegisterShard("shard-0", 1, PROTOCOL_VERSION, 0, 0, False),
        om.StatusRequest(1),
        om.Command(1, "unload", (0, 0), None),
        sm.ReleaseSector((0, 0), 1, 1),
    ],
    ids=lambda message: type(message).__name__,
)
@pytest.mark.parametrize("greeted", [True, False])
def test_a_clients_key_opens_nothing_but_a_clients_session(message, greeted):
    cluster, _, client = world(1)
    link = client.link if greeted else cluster.server.admit(client)[0]
    client.link = link
    cluster.server.heard(link, codec.encode(message))
    assert type(message).__name__ in client.ended
    assert len(cluster.manager.books.shards) == 2


def test_a_client_of_another_protocol_is_told_so():
    cluster, _, client = world(2)
    client.link = cluster.server.admit(client)[0]
    cluster.server.heard(client.link, codec.encode(cm.ClientHello(99, 0, b"")))
    assert "protocol 99" in client.ended
    assert str(PROTOCOL_VERSION) in client.ended


@pytest.mark.parametrize(
    ("radius", "x"),
    [
        (0.0, 0.0),
        (-1.0, 0.0),
        (float("nan"), 0.0),
        (float("inf"), 0.0),
        (SUBSCRIPTION_RADIUS_SECTORS_MAX * 100.0 + 1, 0.0),
        (10.0, float("nan")),
    ],
)
def test_a_subscription_that_cannot_be_served_ends_its_link(radius, x):
    cluster, _, client = world(3)
    message = cm.Subscribe(1, radius, x, 0.0, 0)
    cluster.server.heard(client.link, codec.encode(message))
    assert "subscription" in client.ended


def test_more_subscriptions_than_the_bound_end_the_link():
    cluster, _, client = world(4)
    for number in range(SUBSCRIPTIONS_PER_CLIENT_MAX + 1):
        assert not client.ended
        message = cm.Subscribe(number, 10.0, 0.0, 0.0, 0)
        cluster.server.heard(client.link, codec.encode(message))
    assert str(SUBSCRIPTIONS_PER_CLIENT_MAX) in client.ended


# --- sessions -----------------------------------------------------------------


def test_a_session_is_resumed_with_its_number_and_token_and_sees_all_again():
    cluster, entity, client = world(5)
    client.core.subscribe(90.0, point=(50.0, 50.0))
    cluster.run(0.5)
    assert set(client.picture.position) == {entity}
    client.break_link()
    cluster.run(1)
    assert not client.picture.position
    client.connect()
    cluster.run(0.5)
    first, second = client.of(ev.Welcomed)
    assert (second.session, second.resumed) == (first.session, True)
    assert set(client.picture.position) == {entity}


def test_a_session_that_was_away_too_long_is_over_and_another_one_begins():
    cluster, entity, client = world(6)
    client.core.subscribe(90.0, point=(50.0, 50.0))
    client.break_link()
    cluster.run(SETTINGS.session_resume_ns / NS_PER_S + 1)
    assert len(cluster.manager.books.sessions) == 0
    client.connect()
    cluster.run(0.5)
    first, second = client.of(ev.Welcomed)
    assert not second.resumed
    assert second.session != first.session
    assert set(client.picture.position) == {entity}


def test_a_guessed_token_resumes_nobodys_session():
    cluster, entity, client = world(7)
    client.core.possess(entity)
    cluster.run(0.5)
    thief = cluster.add_client()
    cluster.run(0.2)
    thief.break_link()
    thief.core._token = bytes(16)
    thief.core.session = client.core.session
    thief.connect()
    cluster.run(0.2)
    assert thief.of(ev.Welcomed)[-1].resumed is False
    assert thief.core.session != client.core.session
    assert not client.ended


def test_a_client_that_comes_back_before_its_broken_link_was_noticed_goes_on():
    cluster, entity, client = world(8)
    client.core.subscribe(90.0, point=(50.0, 50.0))
    client.core.possess(entity)
    cluster.run(0.5)
    old = client.link
    client.break_link(noticed=False)
    client.connect()
    cluster.run(0.5)
    ended = cluster.manager.books.counters["links_ended_for_errors"]
    cluster.server.heard(old, codec.encode(sm.SendMail(entity, b"from the grave")))
    assert cluster.manager.books.counters["links_ended_for_errors"] == ended
    assert client.of(ev.Welcomed)[-1].resumed
    assert set(client.picture.position) == {entity}
    assert steered(cluster, entity)[-1] == (client.core.session, True)


# --- possession ---------------------------------------------------------------


def test_the_shard_learns_who_steers_an_entity_and_that_they_went_and_came_back():
    cluster, entity, client = world(9)
    client.core.possess(entity)
    cluster.run(0.3)
    number = client.core.session
    assert client.of(ev.PossessionAnswered) == [ev.PossessionAnswered(entity, True, "")]
    assert steered(cluster, entity) == [(number, True)]
    client.break_link()
    cluster.run(0.3)
    assert steered(cluster, entity)[-1] == (number, False)
    client.connect()
    cluster.run(0.3)
    assert steered(cluster, entity)[-1] == (number, True)
    client.core.release(entity)
    cluster.run(0.3)
    assert steered(cluster, entity)[-1] == (number, False)


@pytest.mark.parametrize("arrives", [True, False], ids=["unanswered", "unheard"])
def test_a_release_that_was_not_answered_is_said_again_in_the_next_session(arrives):
    """Seed 30003: its link broke, and the client steered for ever what the server had taken."""
    cluster, entity, client = world(40)
    client.core.possess(entity)
    cluster.run(0.2)
    assert client.steers == {entity}
    client.core.release(entity)
    client.down.cut = True
    client.up.cut = not arrives
    cluster.run(0.2)
    assert client.steers == {entity}
    client.break_link()
    client.connect()
    cluster.run(0.3)
    assert not client.steers
    assert not cluster.manager.books.sessions.get(client.core.session).possessed


def test_an_entity_is_steered_by_one_session_until_it_is_released_or_over():
    cluster, entity, client = world(10)
    rival = cluster.add_client()
    client.core.possess(entity)
    cluster.run(0.3)
    rival.core.possess(entity)
    rival.core.possess(999)
    cluster.run(0.3)
    refused, unknown = rival.of(ev.PossessionAnswered)
    assert (refused.held, "another session" in refused.reason) == (False, True)
    assert (unknown.held, "999" in unknown.reason) == (False, True)
    client.break_link()
    cluster.run(1)
    rival.core.possess(entity)
    cluster.run(0.3)
    assert rival.of(ev.PossessionAnswered)[-1].held is False
    cluster.run(SETTINGS.session_resume_ns / NS_PER_S)
    rival.core.possess(entity)
    cluster.run(0.3)
    assert rival.of(ev.PossessionAnswered)[-1].held is True
    assert steered(cluster, entity)[-1] == (rival.core.session, True)


def test_a_session_and_what_it_steers_outlive_the_server():
    cluster, entity, _ = world(17)
    for shard in cluster.shards:
        shard.comes_back = True
    client = cluster.add_client(comes_back=True)
    client.core.subscribe(90.0, point=(50.0, 50.0))
    client.core.possess(entity)
    cluster.run(0.5)
    cluster.server.crash()
    cluster.restart()
    rival = cluster.add_client()
    rival.core.possess(entity)
    cluster.run(2)
    first, second = client.of(ev.Welcomed)
    assert (second.session, second.resumed) == (first.session, True)
    assert set(client.picture.position) == {entity}
    assert steered(cluster, entity)[-1] == (client.core.session, True)
    assert not rival.of(ev.PossessionAnswered)[-1].held


def test_each_shard_that_an_entity_comes_to_is_told_who_steers_it():
    cluster, entity, client = world(11, shards=3)
    client.core.possess(entity)
    cluster.run(0.3)
    before = holder(cluster, entity)
    target = next(s for s in cluster.shards if s is not before)
    cluster.command(om.Command(1, "migrate", (0, 0), target.core.shard_id))
    cluster.run(0.5)
    assert holder(cluster, entity) is target
    assert steered(cluster, entity) == [(client.core.session, True)]

    def push(world, dt):
        world.position[:] = [1050.0, 50.0]

    cluster.step = push
    cluster.run(1)
    after = holder(cluster, entity)
    assert [e.entity for e in after.log if isinstance(e, shard_ev.PossessionChanged)]
    cluster.kill(after)
    cluster.run(5)
    assert steered(cluster, entity)[-1] == (client.core.session, True)


def test_a_client_that_left_while_its_entity_was_in_custody_steers_nothing_after():
    cluster, entity, client = world(12, shards=1)
    client.core.possess(entity)
    cluster.run(0.3)
    cluster.kill(cluster.shards[0])
    cluster.run(4)
    client.break_link()
    late = cluster.add_shard("late")
    cluster.run(1)
    assert holder(cluster, entity) is late
    assert steered(cluster, entity) == [(client.core.session, False)]
    client.connect()
    cluster.run(0.3)
    assert steered(cluster, entity)[-1] == (client.core.session, True)


def test_who_steers_an_entity_is_told_of_its_end():
    cluster, entity, client = world(13)
    client.core.possess(entity)
    cluster.run(0.3)
    cluster.command(om.DestroyByOperator(1, [entity]))
    cluster.run(0.3)
    last = client.of(ev.PossessionAnswered)[-1]
    assert (last.held, "destroyed" in last.reason) == (False, True)
    client.break_link()
    cluster.run(0.3)


# --- mail ---------------------------------------------------------------------


def test_a_clients_mail_reaches_the_shard_and_what_cannot_be_delivered_comes_back():
    cluster, entity, client = world(14)
    for number in range(20):
        client.core.send_mail(entity, bytes([number]))
    client.core.send_mail(999, b"nobody")
    cluster.run(0.5)
    mail = [e for e in holder(cluster, entity).log if isinstance(e, shard_ev.MailReceived)]
    assert [e.payload[0] for e in mail] == list(range(20))
    assert {e.sender for e in mail} == {f"client:{client.core.session}"}
    (refused,) = client.of(ev.MailRefused)
    assert refused.entity == 999


def test_mail_written_while_away_goes_out_once_the_session_is_back():
    cluster, entity, client = world(15)
    client.break_link()
    client.core.send_mail(entity, b"later")
    client.core.release(entity)
    client.connect()
    cluster.run(0.5)
    mail = [e for e in holder(cluster, entity).log if isinstance(e, shard_ev.MailReceived)]
    assert [e.payload for e in mail] == [b"later"]


def test_a_clients_clock_follows_the_servers():
    cluster, _, client = world(16)
    cluster.run(3)
    clock = client.core.clock
    now = cluster.clock.now
    assert abs(clock.server_ns(now) - now) < 3 * MS
    assert clock.tick_at(now) == cluster.manager.books.tick_at(clock.server_ns(now))
