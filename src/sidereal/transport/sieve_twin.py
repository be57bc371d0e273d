"""What belongs to no connection, to be read: the same as ``_sieve.pyx``, one by one.

A HELLO whose cookie is good goes on to the handshake, always. Any other gets a cookie,
while the budget of answers lasts: `limits.HELLO_ANSWERS_PER_S_MAX`. Beyond it, it is
counted and dropped; who is honest asks again. Nothing is kept of anybody.
"""

from collections.abc import Container

from sidereal.limits import HELLO_ANSWERS_BURST, HELLO_ANSWERS_PER_S_MAX
from sidereal.transport.cookie import CookieJar
from sidereal.transport.events import Address
from sidereal.transport.handshake import (
    COOKIE_AT,
    HELLO_BYTES_MIN,
    KEY_NAME_BYTES_MAX,
    NAME_AT,
    NOISE_BYTES,
    REJECT_VERSION,
    build_cookie,
    build_reject,
    echo_of,
)
from sidereal.transport.layout import ACCEPT, COOKIE, DATA, HELLO, REJECT, VERSION
from sidereal.transport.settings import SECOND

Stray = tuple[bytes, Address]


class Sieve:
    """Sorts what belongs to no connection.

    Parameters
    ----------
    secret
        16 bytes that only this end knows, for cookies; None where nobody may connect.
    now
        Absolute nanoseconds; a cookie's age counts from here.
    """

    def __init__(self, secret: bytes | None, now: int) -> None:
        self._jar = None if secret is None else CookieJar(secret, now)
        self._at = now
        self._credit = HELLO_ANSWERS_BURST * SECOND
        self.malformed = 0
        self.unknown = 0
        self.wrong_address = 0
        self.hellos = 0
        self.cookies_sent = 0
        self.cookies_refused = 0
        self.versions_refused = 0
        self.unanswered = 0

    def sift(
        self,
        strays: list[Stray],
        routes: Container[int],
        attempts: Container[int],
        now: int,
        answers: list[Stray],
    ) -> tuple[list[Stray], list[Stray]]:
        """Sort ``strays``: return the HELLOs to be judged, and the replies to our own attempts.

        Parameters
        ----------
        strays
            ``(bytes, address)``.
        routes
            The connection ids in use.
        attempts
            The echoes of our own HELLOs that wait for a reply.
        answers
            What is to be sent is appended here.
        """
        good: list[Stray] = []
        replies: list[Stray] = []
        elapsed = max(0, min(now - self._at, SECOND))
        self._at = now
        self._credit = min(
            HELLO_ANSWERS_BURST * SECOND, self._credit + elapsed * HELLO_ANSWERS_PER_S_MAX
        )
        for data, address in strays:
            kind = data[0] & 15 if len(data) >= 9 else 0
            if kind == HELLO:
                if self._jar is None:
                    self.unknown += 1
                elif self._hello(self._jar, data, address, now, answers):
                    good.append((data, address))
            elif kind in (COOKIE, ACCEPT, REJECT):
                if echo_of(data) in attempts:
                    replies.append((data, address))
                else:
                    self.unknown += 1
            elif kind == DATA and data[0] >> 4 == VERSION:
                if int.from_bytes(data[1:5], "little") in routes:
                    self.wrong_address += 1
                else:
                    self.unknown += 1
            else:
                self.malformed += 1
        return good, replies

    def _afford(self) -> bool:
        if self._credit < SECOND:
            self.unanswered += 1
            return False
        self._credit -= SECOND
        return True

    def _hello(
        self, jar: CookieJar, data: bytes, address: Address, now: int, answers: list[Stray]
    ) -> bool:
        """Say whether the cookie is good; answer those without, as far as may be."""
        self.hellos += 1
        if len(data) < HELLO_BYTES_MIN:
            self.malformed += 1
            return False
        if data[0] >> 4 != VERSION:
            if self._afford():
                self.versions_refused += 1
                answers.append((build_reject(echo_of(data), REJECT_VERSION), address))
            return False
        name_end = NAME_AT + 1 + data[NAME_AT]
        if not 0 < data[NAME_AT] <= KEY_NAME_BYTES_MAX or len(data) < name_end + NOISE_BYTES:
            self.malformed += 1
            return False
        cookie = data[COOKIE_AT:NAME_AT]
        bound = data[:COOKIE_AT] + data[NAME_AT:name_end]
        if jar.check(cookie, address, bound, now):
            return True
        if any(cookie):
            self.cookies_refused += 1
        if self._afford():
            self.cookies_sent += 1
            answers.append((build_cookie(echo_of(data), jar.make(address, bound, now)), address))
        return False
