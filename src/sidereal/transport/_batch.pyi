"""The batched socket has the face of the plain one."""

from sidereal.transport.sockets_plain import PlainSocket

class BatchSocket(PlainSocket):
    inject: list[int]
