"""The compiled record of what a batch held has the face of its readable twin."""

from sidereal.transport.packet_twin import Inbox as Inbox
