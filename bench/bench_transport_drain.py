"""A thread without the GIL that drains the socket: what it saves, and what it costs.

    pytest -s bench/bench_transport_drain.py

Three questions, each with the thread and without: how many datagrams survive while Python is
busy in a tick, with the receive buffer that a process without privilege is granted and with
Sidereal's own; how long a round trip takes; at what rate datagrams are received.
"""

import multiprocessing
import os
import socket
import time
from functools import partial

import pytest

import transport_ends as own
from sidereal.transport.settings import MS
from sidereal.transport.sockets import BUFFER_BYTES, UdpSocket

UNPRIVILEGED_BYTES = 212_992
"""Linux's usual net.core.rmem_max, which a process without privilege cannot exceed."""
TICK_MS = 40
PAYLOAD = 1200
RATE = 150_000
"""Datagrams a second: half of what one core sends."""


def datagrams_during_a_tick(pipe, port):
    """Send what comes in one tick, in runs of 30 and evenly spread; say when it is over."""
    with UdpSocket() as sock:
        run = [(os.urandom(PAYLOAD), (own.HOST, port))] * 30
        for _ in range(8):
            pipe.recv()
            start, count = time.perf_counter(), 0
            while count < RATE * TICK_MS // 1000:
                while time.perf_counter() < start + count / RATE:
                    pass
                count += sock.send(run)
            pipe.send(count)


def kept(drain, buffer_bytes):
    """The share of datagrams that a socket still has after a tick in which nobody read it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with UdpSocket((own.HOST, 0), drain=drain) as sock:
        sock._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes // 2)
        sender = context.Process(target=datagrams_during_a_tick, args=(theirs, sock.address[1]))
        sender.start()
        sent = got = 0
        for turn in range(8):
            ours.send("go")
            busy = time.perf_counter() + TICK_MS / 1000
            while time.perf_counter() < busy or not ours.poll():
                sum(range(1000))  # the GIL is Python's
            count = ours.recv()
            arrived = 0
            while sock.wait(50 * MS):
                arrived += len(sock.receive(1024))
            if turn:  # the first finds cold caches
                sent, got = sent + count, got + arrived
        sender.join(10)
    return got / sent


@pytest.mark.parametrize("buffer_bytes", [UNPRIVILEGED_BYTES, BUFFER_BYTES])
def test_what_survives_a_tick_in_which_nobody_reads(buffer_bytes):
    shares = {drain: kept(drain, buffer_bytes) for drain in (False, True)}
    print(f"\nbuffer of {buffer_bytes:,}: kept {shares[False]:.1%}, drained {shares[True]:.1%}")
    assert shares[True] > 0.99 or shares[True] > 2 * shares[False]


def test_what_a_round_trip_takes():
    times = {}
    for drain in (False, True, False, True):
        found = []

        def sender(port, pipe, count, size, drain=drain, found=found):
            with UdpSocket(spin_ns=0, drain=drain) as sock:
                end = own.End(sock, server=False)
                found += own.echo_some(end, end.connect(port), count, size)
            return count

        own.race(partial(own.echo_receiver, spin_ns=0, drain=drain), sender, 2000, 64)
        times.setdefault(drain, []).extend(found[100:])
    medians = {drain: sorted(found)[len(found) // 2] * 1e6 for drain, found in times.items()}
    print(f"\nround trip: {medians[False]:.0f} us, drained {medians[True]:.0f} us")
    assert medians[True] < 2 * medians[False]


def test_at_what_rate_datagrams_are_received():
    rates = {}
    for drain in (False, True, False, True):
        receiver = partial(own.datagram_receiver, drain=drain)
        raced = own.race(receiver, own.datagram_sender, 100_096, 1150)
        rates[drain] = max(rates.get(drain, 0), raced.received / raced.receiver_s)
    print(f"\nper second of the receiver's processor: {rates[False]:,.0f}, {rates[True]:,.0f}")
    assert rates[True] > rates[False] / 3
