"""What leaves and arrives: single datagrams, and runs of equal ones that pass the system as one."""

from collections.abc import Sequence

from sidereal.transport.events import Address

Transmit = tuple[bytes, Address] | tuple[bytes, Address, int]
"""A datagram and its address, or some in a row, of so many bytes each (the last may have fewer)."""


def apart(transmits: Sequence[Transmit]) -> list[tuple[bytes, Address]]:
    """Return the same with every run cut into its datagrams."""
    single: list[tuple[bytes, Address]] = []
    for transmit in transmits:
        if len(transmit) == 2:
            single.append(transmit)
            continue
        data, address, step = transmit
        single += [(data[at : at + step], address) for at in range(0, len(data), step)]
    return single


def datagrams(transmits: Sequence[Transmit]) -> int:
    """Return how many datagrams these are."""
    return sum(1 if len(one) == 2 else -(-len(one[0]) // one[2]) for one in transmits)
