"""Peers of `transport_ends`: ENet (which does not encrypt), aioquic, TCP with TLS, raw sockets."""

import asyncio
import datetime
import os
import select
import socket
import ssl
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import enet
from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StreamDataReceived
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from transport_ends import HOST

Begin = Callable[[int], None]
WAITING_MAX = 4_000_000
"""Bytes that a sender lets wait: as much as Sidereal's own."""


def certificate(directory: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    files = directory / "cert.pem", directory / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


# -- ENet ---------------------------------------------------------------------------------


def enet_receiver(begin: Begin, pipe: Connection, count: int, size: int) -> int:
    """Take messages until all have come."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    host = enet.Host(enet.Address(HOST.encode(), port), 1, 1, 0, 0)
    begin(port)
    arrived = 0
    while arrived < count or not pipe.poll():
        event = host.service(20)
        while event.type != enet.EVENT_TYPE_NONE:
            if event.type == enet.EVENT_TYPE_RECEIVE:
                assert len(event.packet.data) == size
                arrived += 1
            event = host.check_events()
            if event is None:
                break
    return arrived


def enet_sender(port: int, pipe: Connection, count: int, size: int) -> int:
    """Send reliable messages, no more ahead than the receiver's window lets out."""
    host = enet.Host(None, 1, 1, 0, 0)
    peer = host.connect(enet.Address(HOST.encode(), port), 1)
    assert host.service(5000).type == enet.EVENT_TYPE_CONNECT
    message = os.urandom(size)
    batch = max(1, 65_536 // size)
    queued = 0
    while queued < count:
        for _ in range(min(batch, count - queued)):
            peer.send(0, enet.Packet(message, enet.PACKET_FLAG_RELIABLE))
        queued += min(batch, count - queued)
        host.service(0)
        while peer.reliableDataInTransit and peer.reliableDataInTransit > 48_000:
            host.service(1)
    peer.disconnect_later()
    while host.service(200).type != enet.EVENT_TYPE_DISCONNECT:
        pass
    return count


# -- QUIC ---------------------------------------------------------------------------------


def quic_receiver(begin: Begin, pipe: Connection, count: int, size: int) -> int:
    """Count bytes on one stream; in messages of ``size``."""
    return asyncio.run(_quic_receive(begin, pipe, count, size))


async def _quic_receive(begin: Begin, pipe: Connection, count: int, size: int) -> int:
    arrived, over = 0, asyncio.Event()

    class Counting(QuicConnectionProtocol):
        def quic_event_received(self, event: object) -> None:
            nonlocal arrived
            if isinstance(event, StreamDataReceived):
                arrived += len(event.data)
                if arrived >= count * size:
                    self._quic.send_stream_data(event.stream_id, b"all")
                    self.transmit()
                    over.set()

    with tempfile.TemporaryDirectory() as place:
        files = certificate(Path(place))
        settings = QuicConfiguration(is_client=False, alpn_protocols=["x"])
        settings.load_cert_chain(*files)
        server = await serve(HOST, 0, configuration=settings, create_protocol=Counting)
        begin(server._transport.get_extra_info("sockname")[1])
        await over.wait()
        await asyncio.sleep(0.1)
        server.close()
    return arrived // size


def quic_sender(port: int, pipe: Connection, count: int, size: int) -> int:
    """Write messages into one stream; wait until the other end has all."""
    return asyncio.run(_quic_send(port, count, size))


async def _quic_send(port: int, count: int, size: int) -> int:
    settings = QuicConfiguration(is_client=True, alpn_protocols=["x"], verify_mode=ssl.CERT_NONE)
    message = os.urandom(size)
    async with connect(HOST, port, configuration=settings) as client:
        reader, writer = await client.create_stream()
        for at in range(0, count, 64):
            for _ in range(min(64, count - at)):
                writer.write(message)
            await asyncio.sleep(0)
        assert await reader.read(3) == b"all"
    return count


# -- TCP with TLS -------------------------------------------------------------------------


def tls_receiver(begin: Begin, pipe: Connection, count: int, size: int) -> int:
    """Read until all bytes have come."""
    with tempfile.TemporaryDirectory() as place:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate(Path(place)))
        with socket.create_server((HOST, 0)) as listener:
            begin(listener.getsockname()[1])
            plain, _ = listener.accept()
            with context.wrap_socket(plain, server_side=True) as link:
                room, arrived = bytearray(256 * 1024), 0
                while arrived < count * size:
                    arrived += link.recv_into(room)
                link.sendall(b"all")
    return arrived // size


def tls_sender(port: int, pipe: Connection, count: int, size: int) -> int:
    """Write messages; wait until the other end has all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    message = os.urandom(size)
    with (
        socket.create_connection((HOST, port)) as plain,
        context.wrap_socket(plain) as link,
    ):
        for _ in range(count):
            link.sendall(message)
        assert link.recv(3) == b"all"
    return count


# -- raw sockets --------------------------------------------------------------------------


def raw_echo_receiver(begin: Begin, pipe: Connection, count: int, size: int) -> int:
    """Send each datagram back, by Python's own socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        begin(sock.getsockname()[1])
        arrived = 0
        while not pipe.poll():
            for _ in range(64):
                if not select.select([sock], [], [], 0.02)[0]:
                    break
                data, address = sock.recvfrom(2048)
                sock.sendto(data, address)
                arrived += 1
    return arrived


def raw_echo_times(port: int, count: int, size: int) -> list[float]:
    """Seconds of each round trip of one datagram."""
    times = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((HOST, port))
        for _ in range(count):
            start = time.perf_counter()
            sock.send(bytes(size))
            select.select([sock], [], [], 5)
            sock.recv(2048)
            times.append(time.perf_counter() - start)
    return times


def quic_echo_receiver(begin: Begin, pipe: Connection, count: int, size: int) -> int:
    """Send each piece of a stream back."""
    return asyncio.run(_quic_echo(begin, pipe))


async def _quic_echo(begin: Begin, pipe: Connection) -> int:
    arrived = 0

    class Echo(QuicConnectionProtocol):
        def quic_event_received(self, event: object) -> None:
            nonlocal arrived
            if isinstance(event, StreamDataReceived) and event.data:
                arrived += 1
                self._quic.send_stream_data(event.stream_id, event.data)
                self.transmit()

    with tempfile.TemporaryDirectory() as place:
        settings = QuicConfiguration(is_client=False, alpn_protocols=["x"])
        settings.load_cert_chain(*certificate(Path(place)))
        server = await serve(HOST, 0, configuration=settings, create_protocol=Echo)
        begin(server._transport.get_extra_info("sockname")[1])
        while not pipe.poll():
            await asyncio.sleep(0.02)
        server.close()
    return arrived


def quic_echo_times(port: int, count: int, size: int) -> list[float]:
    """Seconds of each round trip of one piece of a stream."""

    async def echo() -> list[float]:
        settings = QuicConfiguration(
            is_client=True, alpn_protocols=["x"], verify_mode=ssl.CERT_NONE
        )
        times = []
        async with connect(HOST, port, configuration=settings) as client:
            reader, writer = await client.create_stream()
            for _ in range(count):
                start = time.perf_counter()
                writer.write(bytes(size))
                await reader.readexactly(size)
                times.append(time.perf_counter() - start)
        return times

    return asyncio.run(echo())
