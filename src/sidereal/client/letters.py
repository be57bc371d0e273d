"""Mail that this client's game has sent and that the server is not known to have.

Letters are numbered for as long as the client lives. Where a link broke while some were on their
way, the resumed session is asked which have come, before any other is sent: those that had
not go again, in order. Where nobody can know, the game is told, letter by letter.
"""

from sidereal.client import events as ev
from sidereal.errors import LimitError
from sidereal.limits import MAIL_PER_ENTITY_MAX
from sidereal.wire.base import Message
from sidereal.wire.letters import Unsettled
from sidereal.wire.shard_messages import SendMail


class Letters(Unsettled):
    """What was written and not settled, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._sent = 0
        """All up to this number have been on their way in some session."""
        self._flows = False
        """Whether what is written goes at once."""
        self._away = 0
        """How many were written since nothing flows."""
        self._term = self._sent_to = -1
        """Of the server that the session is with, and of the one that all which were on their
        way were sent to: those that an earlier one may have are settled before any other goes."""

    def post(self, entity: int, payload: bytes, send: list[Message]) -> None:
        """Write a letter, and send it if there is a session that takes it now.

        Raises
        ------
        LimitError
            Too many wait for a session, or have not reached the server.
        """
        if not self._flows and self._away >= MAIL_PER_ENTITY_MAX:
            raise LimitError(f"{MAIL_PER_ENTITY_MAX} messages wait for a session already")
        letter = self.write(entity, payload)
        if self._flows:
            send.append(letter)
        else:
            self._away += 1

    def left(self, messages: list[Message]) -> None:
        """Take note of what was handed to the link."""
        for message in messages:
            if isinstance(message, SendMail):
                self._sent = message.number

    def link_ended(self) -> None:
        """What was on its way may or may not have come."""
        if self._flows:
            self._flows, self._away = False, 0

    def welcomed(self, resumed: bool, term: int, send: list[Message], out: list[ev.Event]) -> bool:
        """A session is open, with the server of that term; return whether it is to be asked first
        what has come.
        """
        self._term = term
        if not resumed:
            self._give_up("its session is over", out)
        elif any(letter.number <= self._sent for letter in self):
            return True
        self._flow(send)
        return False

    def answered(self, number: int, send: list[Message], out: list[ev.Event]) -> None:
        """The server says how many have come; below 0 where it knows of none, since it took over:
        it cannot know of those that were sent to another.
        """
        if number >= 0:
            self.taken(number)
        elif not self._flows and self._sent_to != self._term:
            self._give_up("the server is a new one", out)
        if not self._flows:
            self._flow(send)

    def _give_up(self, why: str, out: list[ev.Event]) -> None:
        reason = f"whether it came is not known: {why}"
        out += [ev.MailRefused(e.entity, reason, e.payload) for e in self.taken(self._sent)]

    def _flow(self, send: list[Message]) -> None:
        self._flows, self._sent_to = True, self._term
        send += self
