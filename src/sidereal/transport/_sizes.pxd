# cython: language_level=3
"""Sizes on which the compiled modules must agree."""

cdef enum:
    PLAIN_MAX = 65536  # bytes of frames in one packet
    STREAM_HEAD = 12   # of a stream frame, before its bytes
    RUN_MAX = 64       # datagrams that the system cuts from one message
    RUN_BYTES = 65000
