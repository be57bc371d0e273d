"""What can be seen of a simulated cluster from outside: the calls that its observers get.

A tool that wants to know what crosses the links, or what shards simulate,
derives from `Observer` and is put into `Cluster.observers`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sidereal.wire.base import Message
from sidereal.world.columns import U32, U64

if TYPE_CHECKING:
    from sidereal.testing.clients import SimulatedClient
    from sidereal.testing.shards import SimulatedShard


class Violation(AssertionError):
    """An invariant broke: its name, the story, and the entities and sectors that it is about."""

    def __init__(
        self,
        invariant: str,
        story: str,
        entities: Sequence[int] = (),
        sectors: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__(f"{invariant}: {story}")
        self.invariant = invariant
        self.story = story
        self.entities = tuple(entities)
        self.sectors = tuple(sectors)

    def __reduce__(self) -> tuple[object, ...]:
        """Say how it is made again: it comes from other processes."""
        return type(self), (self.invariant, self.story, self.entities, self.sectors)


class Observer:
    """Looks on at a cluster. Every method may be left as it is: it does nothing."""

    def connected(self, shard: "SimulatedShard") -> None:
        """A shard has begun a session: `shard.link` and `shard.core` are new."""

    def shard_said(self, shard: "SimulatedShard", message: Message) -> None:
        """A shard let a message out."""

    def shard_updated(self, shard: "SimulatedShard", payloads: Sequence[bytes]) -> None:
        """A shard let datagrams out."""

    def server_heard(self, shard: "SimulatedShard | None", link: int, message: Message) -> None:
        """The server has taken a message, and nothing that follows from it has left yet.

        `shard` is None for an operator and for whoever is behind a link no more.
        """

    def server_said(self, shard: "SimulatedShard", link: int, message: Message) -> None:
        """The server let a message to a shard out, over a link that may be its last but one."""

    def operator_told(self, message: Message) -> None:
        """The server let an answer to an operator out."""

    def shard_hears(self, shard: "SimulatedShard", message: Message) -> None:
        """A message has reached a shard, which is about to take it."""

    def shard_heard(self, shard: "SimulatedShard", message: Message) -> None:
        """A shard has taken a message."""

    def stepped(self, shard: "SimulatedShard", tick: int, ids: U64, versions: U32) -> None:
        """A shard has simulated these entities with authority; nothing of it has left yet."""

    def wished_ends(self, shard: "SimulatedShard", ids: U64) -> None:
        """A shard's game wants these entities ended; nothing of that has left yet."""

    def ended(self, shard: "SimulatedShard", end: str, reason: str) -> None:
        """A shard's link is over at one end: ``server`` or ``peer``."""

    def client_told(self, client: "SimulatedClient", message: Message) -> None:
        """The server let a message to a client out."""
