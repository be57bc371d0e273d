"""A link of 100 Mbit, 50 ms and 2 % loss, in real time: Sidereal, ENet and aioquic over one relay.

A process between carries all of them alike (`sidereal.runtime.relay`). A rate is what a bulk
transfer carried for each second that passed, its start included. The share of the link
in virtual time, where no machine is busy, is in `bench_transport.py`.
"""

import subprocess
import sys
import time

import pytest

import transport_ends as own
from bench_transport_race import judge

peers = pytest.importorskip("transport_peers", reason="needs pyenet313 and aioquic")

LINK = "delay=25ms,loss=2%,rate=100mbit"
LINK_BYTES_PER_S = 12.5e6


def carried(receiver, sender, count, size):
    """Bytes a second of ``count`` messages of ``size`` bytes through the relay."""
    passed = []

    def through(port, pipe, count, size):
        relay = subprocess.Popen(
            [sys.executable, "-m", "sidereal.runtime.relay", f"{own.HOST}:{port}", LINK, "1"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            front = int(relay.stdout.readline().rpartition(":")[2])
            start = time.monotonic()
            done = sender(front, pipe, count, size)
            passed.append(time.monotonic() - start)
        finally:
            relay.terminate()
            relay.wait(5)
            relay.stdout.close()
        return done

    assert own.race(receiver, through, count, size).sent == count
    return count * size / passed[0]


def test_bulk_over_a_lossy_link_against_enet_and_quic():
    rates = {
        "sidereal": carried(own.message_receiver, own.message_sender, 100, 1_000_000),
        "enet": carried(peers.enet_receiver, peers.enet_sender, 4000, 1000),
        "aioquic": carried(peers.quic_receiver, peers.quic_sender, 6, 100_000),
    }
    print({name: f"{rate / 1e6:.2f} MB/s" for name, rate in rates.items()})
    mine = rates.pop("sidereal")
    others = {name: (rate, 1) for name, rate in rates.items()}
    judge("lossy_link", mine, {**others, "link": (LINK_BYTES_PER_S, 1)})
