"""A lock with turns: who lets go of it and wants it again comes after who waits already."""

from threading import Lock


class Turns:
    """A context manager as `threading.Lock` is, but fair among two or three threads."""

    def __init__(self) -> None:
        self._next = Lock()
        self._held = Lock()

    def __enter__(self) -> None:
        with self._next:  # whoever waits for the other keeps this one meanwhile
            self._held.acquire()

    def __exit__(self, *_: object) -> None:
        self._held.release()
