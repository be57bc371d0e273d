"""Sidereal: a game world larger than one process.

The infinite 2-D plane is cut into sectors; a replication server gives each to a
shard, hands entities from shard to shard as they cross borders, and shows game
clients what is near. Every entity has exactly one owner at all times.

`sidereal.runtime.public` lists the names that are meant to be used; each is found
here too (``sidereal.Shard``), and nothing of it loads before the first is asked for.
"""

TYPE_CHECKING = False
"""As `typing.TYPE_CHECKING`, whose import would take as long as Python takes to start."""

if TYPE_CHECKING:
    from sidereal.runtime.public import *  # noqa: F403  one list of names, kept there


def __getattr__(name: str) -> object:
    """Find a public name."""
    if name[:1].isupper():  # the public names are classes; modules are found by importing them
        from sidereal.runtime import public

        if name in public.__all__:
            return getattr(public, name)
    raise AttributeError(f"module 'sidereal' has no attribute {name!r}")
