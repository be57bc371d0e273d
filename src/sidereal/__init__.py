"""Sidereal: a game world larger than one process.

The infinite 2-D plane is cut into sectors; a replication server gives each to a
shard, hands entities from shard to shard as they cross borders, and shows game
clients what is near. Every entity has exactly one owner at all times.
"""
