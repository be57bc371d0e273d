"""The compiled intake has the face of its readable twin."""

from sidereal.transport.intake_twin import open_some as open_some
