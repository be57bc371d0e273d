"""The compiled ring of sent packets has the face of its readable twin."""

from sidereal.transport.flight_twin import Flight as Flight
