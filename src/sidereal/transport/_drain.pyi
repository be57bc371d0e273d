"""The drained socket has the face of the batched one, and a thread that is stopped."""

import socket

from sidereal.transport._batch import BatchSocket

class DrainedSocket(BatchSocket):
    overrun: int
    written: int
    def __init__(self, sock: socket.socket, ring_bytes: int) -> None: ...
    def fileno(self) -> int: ...
    def stop(self) -> None: ...
