# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""Socket addresses as the kernel has them and as Python does, each converted once."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memcmp

import socket
import struct
import sys

from sidereal.errors import ConfigError

from ._udp cimport AF_INET, AF_INET6

cdef enum:
    ADDRESSES = 4096      # conversions remembered; a flood of others starts over


cdef class Addresses:
    """The addresses of one family that a socket has to do with."""

    def __cinit__(self, bint ipv6):
        self._ipv6 = ipv6
        self._packed = {}
        self._unpacked = {}

    cdef bytes pack(self, object address):
        """A socket address as the kernel wants it; only numbers, never a name to resolve."""
        cdef bytes raw = self._packed.get(address)
        if raw is not None:
            return raw
        host, port = address[0], address[1]
        name, _, zone = host.partition("%")
        try:
            if self._ipv6:
                scope = 0
                if zone:
                    scope = int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
                raw = (
                    struct.pack("=H", AF_INET6) + struct.pack("!HI", port, 0)
                    + socket.inet_pton(socket.AF_INET6, name) + struct.pack("=I", scope)
                )
            else:
                raw = (
                    struct.pack("=H", AF_INET) + struct.pack("!H", port)
                    + socket.inet_pton(socket.AF_INET, name) + bytes(8)
                )
        except (OSError, struct.error) as error:
            family = "IPv6" if self._ipv6 else "IPv4"
            raise ConfigError(
                f"{host}:{port} is not an {family} address and port; resolve names first"
            ) from error
        if len(self._packed) >= ADDRESSES:
            self._packed.clear()
        self._packed[address] = raw
        return raw

    cdef object unpack(self, const uint8_t* name, Py_ssize_t size):
        cdef bytes raw
        if (
            self._last_raw is not None and PyBytes_GET_SIZE(self._last_raw) == size
            and memcmp(PyBytes_AS_STRING(self._last_raw), name, size) == 0
        ):
            return self._last_address
        raw = PyBytes_FromStringAndSize(<char*>name, size)
        address = self._unpacked.get(raw)
        if address is None:
            port = int.from_bytes(raw[2:4], "big")
            if self._ipv6:
                host = socket.inet_ntop(socket.AF_INET6, raw[8:24])
                scope = int.from_bytes(raw[24:28], sys.byteorder)
                if scope:
                    host = f"{host}%{scope}"
            else:
                host = socket.inet_ntop(socket.AF_INET, raw[4:8])
            address = (host, port)
            if len(self._unpacked) >= ADDRESSES:
                self._unpacked.clear()
            self._unpacked[raw] = address
        self._last_raw = raw
        self._last_address = address
        return address
