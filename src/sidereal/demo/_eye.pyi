"""The compiled eye has the face of its readable twin."""

from sidereal.demo.eye_twin import look as look
