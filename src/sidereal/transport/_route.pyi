"""The compiled sorting of a batch has the face of its readable twin."""

from sidereal.transport.packet_twin import route as route
