"""The compiled sieve has the face of its readable twin."""

from sidereal.transport.cookie import siphash128 as siphash128
from sidereal.transport.sieve_twin import Sieve as Sieve
