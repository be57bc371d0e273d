"""The network simulator with sockets around it: real endpoints, real time, a bad network."""

import os
import time

from sidereal.runtime.address import Address
from sidereal.runtime.relay import Relay
from sidereal.transport import Connected, Endpoint, MessageReceived
from sidereal.transport.netsim import parse
from sidereal.transport.sockets import UdpSocket

KEY = bytes(range(32))
PATIENCE_S = 30.0


def test_a_connection_through_a_relay_survives_its_network_and_feels_its_delay():
    now = time.monotonic_ns
    with UdpSocket(("127.0.0.1", 0)) as behind, UdpSocket() as before:
        host, port = behind.address[:2]
        relay = Relay(Address(host, port), parse("loss=10%,delay=20ms,jitter=5ms"), 1)
        server = Endpoint(now=now(), rng=os.urandom, psk_of={"k": KEY}.get)
        client = Endpoint(now=now(), rng=os.urandom, psk_of=None)
        link = client.connect(relay.address, "k", KEY, now())
        sent = [b"%d" % i * 500 for i in range(50)]
        for message in sent:
            client.send(link, message)
        arrived, peers, start = [], set(), now()
        try:
            while arrived != sent and now() - start < PATIENCE_S * 1e9:
                relay.turn()
                for end, sock in ((client, before), (server, behind)):
                    end.receive(sock.receive(256), now())
                    end.handle_timeout(now())
                    for event in end.events():
                        if isinstance(event, Connected) and end is server:
                            peers.add(event.address)
                        if isinstance(event, MessageReceived):
                            arrived.append(event.data)
                    sock.send(end.poll_transmit(now()))
        finally:
            relay.close()
        assert arrived == sent
        assert before.address not in peers, "the server knows the relay's address only"
        stats = client.stats(link)
        assert stats.rtt_ns > 30_000_000
