"""The compiled packet codec has the face of its readable twin."""

from sidereal.transport.packet_twin import Inbox as Inbox
from sidereal.transport.packet_twin import Opener as Opener
from sidereal.transport.packet_twin import Sealer as Sealer
from sidereal.transport.packet_twin import expand_number as expand_number
from sidereal.transport.packet_twin import route as route
