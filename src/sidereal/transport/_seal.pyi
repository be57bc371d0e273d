"""The compiled side of leaving packets has the face of its readable twin."""

from sidereal.transport.packet_twin import Sealer as Sealer
