"""The compiled side of arriving packets has the face of its readable twin."""

from sidereal.transport.packet_twin import Opener as Opener
from sidereal.transport.packet_twin import expand_number as expand_number
