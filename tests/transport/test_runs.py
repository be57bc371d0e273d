"""Runs of datagrams: how they are sealed, sent, received and opened, offload or not."""

import errno
import os
import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidereal.transport import intake_twin, layout
from sidereal.transport._intake import open_some
from sidereal.transport.codec import COMPILED, READABLE
from sidereal.transport.keys import KeyChain
from sidereal.transport.sockets import UdpSocket
from sidereal.transport.sockets_plain import PlainSocket
from sidereal.transport.transmits import apart, datagrams
from transport.fuzz_targets import PEER, in_runs
from transport.pair import CLIENT, SECOND, seeded
from transport.test_sockets import loopback, receive_all

UNSEQUENCED = layout.UNSEQUENCED


def runs_to(address):
    """Transmits of every kind, and the datagrams that they are."""
    rng = seeded(3)
    transmits = [
        (rng(1200 * 54), address, 1200),
        (rng(5), address),
        (rng(1200 * 3 + 7), address, 1200),
        (rng(100), address),
        (rng(100), address),
        (rng(64), address, 1),
        (rng(800), address, 800),
        (b"", address),
        (rng(9000 * 7), address, 9000),
    ]
    return transmits, [data for data, _ in apart(transmits)]


@pytest.mark.parametrize("drain", [False, True])
def test_what_came_in_one_piece_may_stay_so(drain):
    """Each kind of receiving gives the same datagrams; where the system coalesces, in fewer."""
    with loopback() as one, UdpSocket(("127.0.0.1", 0), drain=drain) as two:
        transmits, sent = runs_to(two.address)
        batches = []
        for kind in (two.receive_runs, two.receive):
            one.send(transmits)
            got, end = [], time.monotonic() + 10
            while datagrams(got) < len(sent) and time.monotonic() < end:
                two.wait(SECOND)
                got += kind(1000)
            assert [data for data, _ in apart(got)] == sent
            batches.append(got)
        assert all(len(entry) == 2 for entry in batches[1])
        if two._inner.coalescing:
            assert len(batches[0]) < len(batches[1])


def sealed_for(links, count, rng):
    """Packets of some connections, the last most often, as they may come: all of one size."""
    sealers = [COMPILED.sealer(KeyChain(bytes([link]) * 32, "aes-128-gcm"), link) for link in links]
    frame = layout.DATAGRAM.pack(layout.FRAME_DATAGRAM, 50)
    often = rng.choice([0.5, 0.95, 1.0])
    return [sealers[-(rng.random() < often)].seal(frame + os.urandom(50)) for _ in range(count)]


@settings(deadline=None, max_examples=200)
@given(st.randoms(use_true_random=False), st.integers(1, 60), st.sampled_from([1, 1, 2]))
def test_packets_in_runs_are_sorted_and_opened_as_singly(rng, count, links):
    """Of one connection or two, with strangers, forgeries, cut ones, and another's address."""
    packets = sealed_for(range(1, links + 1), count, rng)
    for _ in range(rng.choice([0, 0, 1, 3])):
        at = rng.randrange(count)
        packets[at] = rng.choice(
            [packets[at][:-1], packets[at][:20], b"\x15", bytes(78), b"\x15" + bytes(77)]
            + [packets[at][:40] + b"?" + packets[at][41:]]
        )
    batch = in_runs(packets)
    routes = {1: (PEER, "one"), 2: (rng.choice([PEER, CLIENT]), "two")}
    routes.pop(rng.choice([1, 2, 3]), None)
    found = []
    for codec, arrived in ((COMPILED, batch), (READABLE, batch), (COMPILED, apart(batch))):
        strays = []
        groups = codec.route(arrived, routes, strays)
        result = [strays]
        for link, (name, mine) in groups.items():
            inbox = codec.inbox()
            opener = codec.opener(KeyChain(bytes([link]) * 32, "aes-128-gcm"))
            assert open_some(opener, mine, 0, inbox, 1 << 40) == 0
            result.append((link, name, inbox.datagrams, inbox.opened, inbox.forged))
        found.append(result)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("room", [0, 3_000, 6_000, 1 << 40])
def test_a_run_that_does_not_fit_is_opened_as_far_as_it_does(room):
    sealer = COMPILED.sealer(KeyChain(bytes(32), "aes-128-gcm"), 7)
    frame = layout.DATAGRAM.pack(layout.FRAME_DATAGRAM, 50)
    packets = [sealer.seal(frame + os.urandom(50)) for _ in range(60)]
    found = []
    for opens in (open_some, intake_twin.open_some):
        for codec, arrived in ((COMPILED, in_runs(packets)), (READABLE, packets)):
            mine = [one if isinstance(one, bytes) or len(one) == 3 else one[0] for one in arrived]
            inbox = codec.inbox()
            left = opens(codec.opener(KeyChain(bytes(32), "aes-128-gcm")), mine, 0, inbox, room)
            assert inbox.opened == len(packets) - left
            found.append((left, inbox.datagrams))
    assert found == found[:1] * 4
    assert (found[0][0] > 0) == (room < 1 << 40)
    assert (found[0][0] < 60) == (room > 0)


def test_runs_taken_apart_are_their_datagrams():
    assert apart([(b"abcde", CLIENT, 2), (b"f", CLIENT), (b"gh", CLIENT, 2)]) == [
        (data, CLIENT) for data in (b"ab", b"cd", b"e", b"f", b"gh")
    ]
    assert len(runs_to(CLIENT)[1]) == 54 + 1 + 4 + 2 + 64 + 1 + 1 + 7


@pytest.mark.parametrize("ipv6", [False, True])
@pytest.mark.parametrize("inject", [[], [errno.EIO], [-2, errno.EINVAL], [-1, -2, errno.EAGAIN]])
def test_runs_arrive_as_their_datagrams_whatever_the_system_does(ipv6, inject):
    with loopback(ipv6) as one, loopback(ipv6) as two:
        one._inner.inject = list(inject)
        transmits, sent = runs_to(two.address)
        assert one.send(transmits) == len(sent)
        assert one.dropped == 0
        assert one.segmenting == (not {errno.EIO, errno.EINVAL} & set(inject))
        assert [data for data, _ in receive_all(two, len(sent))] == sent


def test_the_plain_socket_sends_runs_too():
    raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    raw.setblocking(False)
    with raw, loopback() as two:
        transmits, sent = runs_to(two.address)
        assert PlainSocket(raw).send(transmits) == len(sent)
        assert [data for data, _ in receive_all(two, len(sent))] == sent


def test_what_of_a_run_the_system_would_not_take_is_counted_by_the_datagram():
    with loopback() as one, loopback() as two:
        one._inner.inject = [-1, errno.ENOBUFS]
        transmits = [(bytes(3000), two.address, 1000), (bytes(2500), two.address, 1000)]
        assert one.send(transmits) == 3
        assert one.dropped == 3
        assert one.send(transmits) == 6


TOO_MUCH = [(65, 1), (66_000, 1200), (0, 10), (10, 0), (10, -1)]


@pytest.mark.parametrize(("size", "step"), TOO_MUCH)
def test_a_run_that_cannot_leave_as_one_is_refused(size, step):
    with loopback() as one, pytest.raises(ValueError, match="does not leave as one"):
        one.send([(bytes(size), one.address, step)])


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from([0, 1, 40, 500, 900, 1100, 1140, 1171, 1172]), max_size=90),
    st.sampled_from([1, 3, 60, 256]),
    st.sampled_from([1, 1200, 5000, 1 << 40]),
)
def test_a_sealer_puts_equal_packets_into_runs_that_leave_as_one(sizes, most, budget):
    """The packets are the readable sealer's, in its order; a run's last may be shorter."""
    payloads, none = [os.urandom(size) for size in sizes], bytearray([UNSEQUENCED]) * len(sizes)
    sealed = []
    for codec in (COMPILED, READABLE):
        sealer, out = codec.sealer(KeyChain(bytes(32), "aes-128-gcm"), 7), []
        head = 0
        while head < len(payloads):
            head = sealer.seal_datagrams(
                payloads, none, head, head, 1200, budget, most, 0, codec.flight(), CLIENT, out
            )
        assert sealer.sealed == sealer.next_number == len(apart(out))
        sealed.append(out)
    compiled, readable = sealed
    assert apart(compiled) == readable
    for data, _, step in (transmit for transmit in compiled if len(transmit) == 3):
        assert step < len(data) <= 65_000
        assert -(-len(data) // step) <= 64
    if most == 256 and budget > 5000 and sizes == [1171] * len(sizes):
        assert len(compiled) == -(-len(sizes) // 54)


def test_a_full_burst_of_bulk_leaves_in_runs_as_long_as_they_may_be():
    sealer, out = COMPILED.sealer(KeyChain(bytes(32), "aes-128-gcm"), 7), []
    stop = sealer.seal_stream(
        bytes(200_000), 0, 200_000, 1, 0, 1200, 1 << 40, 120, 0, COMPILED.flight(), CLIENT, out
    )
    assert [len(data) // 1200 for data, _, _ in out] == [54, 54, 12]
    assert stop == 120 * (1200 - layout.OVERHEAD_BYTES - layout.STREAM.size)
