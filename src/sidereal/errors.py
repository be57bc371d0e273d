"""The errors of Sidereal: one small hierarchy.

A message names the value that was wrong, the bound it broke, and what to do.
Peers raise `ProtocolError` (their fault: the link ends with a reason); callers
meet the others.
"""


class SiderealError(Exception):
    """Anything that Sidereal itself raises."""


class ProtocolError(SiderealError):
    """A peer broke the protocol: its link ends with this reason, nothing else does."""


class HandshakeError(ProtocolError):
    """A connection could not be made: wrong key, wrong version, no answer."""


class ConfigError(SiderealError):
    """A configuration file, flag or key that cannot be used as it is."""


class TraceError(SiderealError):
    """A recorded trace that cannot be played: names the file, the row and what is wrong."""


class SimulationError(SiderealError):
    """A game's simulation is missing, malformed, or raised inside ``step``."""


class LimitError(SiderealError):
    """A caller asked for more than a bound in `sidereal.limits` allows."""


class StoreError(SiderealError):
    """The journal cannot be trusted or written any more: the server stops before it lies."""


class Deposed(StoreError):
    """A higher term was acquired: another server leads now, and this one must stop."""


class StoreFailed(StoreError):
    """A write failed, or nobody knows whether it did: this process must stop, and start again."""


class StoreInUse(StoreError):
    """Another process has the data directory open."""


class StoreDamaged(StoreError):
    """What is kept does not hold: it was changed by something other than a crash."""

    def __init__(self, where: str, flaw: str) -> None:
        self.flaw = f"{where}: {flaw}"
        super().__init__(
            f"{where} is damaged: {flaw}. Nothing was changed. `sidereal journal verify` shows "
            "how far it reads; put a good copy in its place, or begin with another directory."
        )
