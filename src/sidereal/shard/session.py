"""Where a shard's session stands, its lease and its clock.

A lease ends `lease` after the heartbeat was sent that the last answer names: it
outlives the session, so that a shard simulates on while its link is made anew.
"""

from sidereal.errors import ProtocolError
from sidereal.ids import Incarnation, ShardId
from sidereal.shard import events as ev
from sidereal.shard.lives import SESSION, SessionEvent, Stage
from sidereal.wire import shard_messages as sm
from sidereal.wire.base import PROTOCOL_VERSION
from sidereal.world.clock import WorldClock


class Session:
    """All sessions of one incarnation, one after the other."""

    def __init__(
        self, name: str, incarnation: Incarnation, wants_ghosts: bool, term_seen: int
    ) -> None:
        self.name = name
        self.incarnation = incarnation
        self.term_seen = term_seen
        self.stage = SESSION.start
        self.shard_id: ShardId | None = None
        self.ack: sm.RegistrationAck | None = None
        self.clock: WorldClock | None = None
        self.leased = False
        self.heard_ns = 0
        """The server's time of the newest answer that came."""
        self._wants_ghosts = wants_ghosts
        self._lease_until = 0

    def happen(self, event: SessionEvent) -> None:
        """Go where the table of `sidereal.shard.lives` says."""
        self.stage = SESSION.after(self.stage, event)

    @property
    def is_open(self) -> bool:
        """Whether anything may be asked of the server now."""
        return self.stage is Stage.OPEN

    def opening(self, now: int) -> sm.RegisterShard:
        """Begin a session; returns what it opens with."""
        self.happen(SessionEvent.CONNECTED)
        return sm.RegisterShard(
            name=self.name,
            incarnation=self.incarnation,
            protocol=PROTOCOL_VERSION,
            term_seen=self.term_seen,
            sent_ns=now,
            wants_ghosts=self._wants_ghosts,
        )

    def registered(self, ack: sm.RegistrationAck, now: int) -> None:
        """Take the answer to `opening`: for the first time, or again."""
        if ack.term < self.term_seen:
            raise ProtocolError(
                f"a server of term {ack.term}; this shard has seen {self.term_seen}"
            )
        first = self.shard_id is None
        if not first and (ack.shard_id != self.shard_id or ack.rules != self._rules()):
            raise ProtocolError(
                f"shard {self.shard_id} is called {ack.shard_id}, or its world has other rules"
            )
        self.term_seen = ack.term
        if self.clock is None or self.clock.origin_ns != ack.origin_ns:
            self.clock = WorldClock(ack.origin_ns, ack.rules.tick_ns)
        self.ack = ack
        self.shard_id = ShardId(ack.shard_id)
        self.happen(SessionEvent.REGISTERED if first else SessionEvent.KNOWN)
        self.clock.sample(ack.sent_ns, ack.server_ns, now)
        self._extend(ack.sent_ns, ack.lease_ns)
        self.heard_ns = ack.server_ns
        if first:
            self.leased = True

    def heartbeat(self, now: int, mail_seen: int) -> sm.Heartbeat:
        """Say that this shard is alive, and which answer it has heard last."""
        tick = 0 if self.clock is None else self.clock.tick_at(now)
        return sm.Heartbeat(now, tick, mail_seen, self.heard_ns)

    def answered(self, message: sm.HeartbeatAck, now: int) -> None:
        """Take the answer to a heartbeat."""
        assert self.clock is not None
        assert self.ack is not None
        if message.sent_ns > now:
            raise ProtocolError("an answer to a heartbeat that was never sent")
        self.clock.sample(message.sent_ns, message.server_ns, now)
        self.heard_ns = max(self.heard_ns, message.server_ns)
        if message.extends:
            self._extend(message.sent_ns, self.ack.lease_ns)

    def watch(self, now: int, out: list[ev.Event]) -> None:
        """Notice that the lease is over, or is there again."""
        there = now < self._lease_until
        if there != self.leased:
            self.leased = there
            out.append(ev.LeaseRegained() if there else ev.LeaseLost())

    def give_up(self) -> None:
        """This incarnation is dead."""
        self.happen(SessionEvent.FENCED)
        self.leased = False
        self._lease_until = 0

    def has_lease(self, now: int) -> bool:
        """Whether anything may be simulated at `now`."""
        return self.leased and now < self._lease_until

    def _extend(self, sent_ns: int, lease_ns: int) -> None:
        self._lease_until = max(self._lease_until, sent_ns + lease_ns)

    def _rules(self) -> object:
        return None if self.ack is None else self.ack.rules
