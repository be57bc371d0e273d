"""All mutants: the faults that the simulator must kill, by who would have them."""

from mutants.at_server import SERVER
from mutants.at_shards import SHARDS

MUTANTS = SERVER + SHARDS
