"""What is out of date has no effect: a dead incarnation, a leader that was followed by another."""

import numpy as np
import pytest

from replication.small_server import EAST, SETTINGS, TICK_NS, WEST, Server
from sidereal.errors import ProtocolError
from sidereal.ids import Incarnation, LinkId
from sidereal.kernel import pack_updates
from sidereal.replication.replay import digest
from sidereal.shard.core import ShardCore
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import PROTOCOL_VERSION
from sidereal.wire.datagrams import ENTITY_UPDATE
from sidereal.world.entities import (
    ClaimRows,
    PlaceRows,
    StateRows,
    TransitionRows,
    gather,
    placed,
)
from sidereal.world.inventory import EntityInventory, EntityPhase, SectorInventory, SectorPhase

NEW = LinkId(9)
PATIENCE_TICKS = (SETTINGS.lease_ns + SETTINGS.drift_allowance_ns) // TICK_NS + 1


class West:
    """A server, and what its shard behind `WEST` may say of all that it holds."""

    def __init__(self) -> None:
        self.server = Server()
        self.table = self.server.books.table
        self.info = self.server.books.shards.by_link(WEST)
        slots = self.server.books.rows_of(self.info.shard_id)
        self.rows = gather(self.table, slots)
        _, self.epoch = self.server.books.owners.get(self.rows.sector)
        ahead = {"tick": self.rows.tick + np.uint32(1)}
        whose = {"ids": self.rows.ids, "version": self.rows.version}
        ones = np.ones(len(slots), np.uint8)
        crossing = TransitionRows.grown(self.rows, target=self.rows.sector + 1, epoch=self.epoch)
        there = {**crossing.__dict__, "position": self.rows.position + 100.0}
        places = {**placed(self.rows).__dict__, **ahead}
        entity = int(self.rows.ids[0])
        self.messages = (
            sm.Heartbeat(self.server.now, 0, 0, self.server.now),
            sm.SendMail(entity, b"to one of its own", 1),
            sm.EntityStates(StateRows(**whose, **ahead, lengths=ones, states=ones)),
            sm.EntityPlaces(PlaceRows.of(places)),
            sm.EntityTransitionRequest(TransitionRows.of(there)),
            sm.DestroyEntities(ClaimRows(**whose)),
        )
        self.table.tick[slots] = newer = int(ahead["tick"].max())
        packed, *_ = pack_updates(
            self.table, slots, 100.0, newer, self.server.books.owners, ENTITY_UPDATE, 1100
        )
        self.table.tick[slots] = self.rows.tick
        self.update = packed.tobytes()

    def record(self) -> tuple:
        """All that the record says, and of when."""
        everything = gather(self.table, np.arange(len(self.table), dtype=np.uint32))
        holder, states = self.table.shard.tobytes(), self.table.state_tick.tobytes()
        return digest(self.server.books), everything.to_bytes(), holder, states

    def effects(self, link: LinkId) -> list[str]:
        """Say all of it over a link, one after the other; return what had an effect."""
        found = []
        for message in self.messages:
            before = self.record()
            if self.server.say(link, message) or self.record() != before:
                found.append(type(message).__name__)
        before = self.record()
        self.server.manager.receive_datagrams(link, [self.update], self.server.now)
        return found + ["an update"] * (self.record() != before)

    def hello(self) -> sm.ResumeShard:
        """What it opens a new session with: everything that it still has."""
        phase = np.full(len(self.rows), EntityPhase.HELD, np.uint32)
        columns = {name: getattr(self.rows, name) for name in ("ids", "sector", "version", "tick")}
        sectors = np.unique(self.rows.sector, axis=0)
        epoch, running = np.ones(len(sectors)), np.full(len(sectors), SectorPhase.RUNNING)
        return sm.ResumeShard(
            "west",
            int(self.info.incarnation),
            PROTOCOL_VERSION,
            self.server.books.term,
            self.server.now,
            False,
            SectorInventory(sector=sectors, epoch=epoch, phase=running),
            EntityInventory(**columns, phase=phase),
            0,
        )


@pytest.mark.parametrize("again", [False, True], ids=["by its link", "by a new link"])
def test_nothing_from_a_fenced_incarnation_has_any_effect(again: bool) -> None:
    west = West()
    assert len(west.rows) > 1
    west.server.turn(PATIENCE_TICKS)
    assert not list(west.server.books.shards)
    before, link = west.record(), WEST
    if again:
        link = NEW
        west.server.manager.connected(link, "shard:west")
        (answer,) = west.server.say(link, west.hello())
        assert isinstance(answer, sm.IncarnationFenced)
    assert west.effects(link) == []
    assert west.record() == before


def test_each_of_these_has_one_as_long_as_it_lives() -> None:
    west = West()
    everything = [type(message).__name__ for message in west.messages]
    assert west.effects(WEST) == everything
    other = West()
    other.messages = ()
    assert other.effects(WEST) == ["an update"]


def test_a_shard_that_does_not_hold_an_entity_changes_nothing_of_it() -> None:
    west = West()
    before = west.record()
    west.effects(EAST)
    assert west.record() == before
    assert not west.server.closed, "it may have been out of date"


def test_a_shard_takes_nothing_from_a_leader_older_than_one_that_it_knows() -> None:
    server = Server()
    core = ShardCore("north", Incarnation(5), term_seen=server.books.term + 1)
    core.open(server.now)
    (hello,), _ = core.poll()
    server.manager.connected(NEW, "shard:north")
    server.say(NEW, hello)
    assert server.closed == {NEW}, "that leader is told that another has taken over"
    assert len(server.books.shards) == 2
    answer = next(m for m in server.said[EAST] if isinstance(m, sm.RegistrationAck))
    with pytest.raises(ProtocolError, match="term 1; this shard has seen 2"):
        core.receive(answer, server.now)
    assert core.shard_id is None
    assert not core.has_lease(server.now)
