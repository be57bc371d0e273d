# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""A thread without the GIL that empties a socket into memory, while Python is busy.

It stands in for the kernel's receive buffer where that is small: what comes during a long tick
waits here instead of being dropped. The thread's loop touches no Python object. Records lie in
one ring, which one thread fills and one empties; each holds its lock only to move its end.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, ECONNREFUSED, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

import os
import threading

from sidereal.transport._batch import BatchSocket

from ._batch cimport arrived
from ._udp cimport (
    CMSG_DATA, CMSG_FIRSTHDR, CMSG_NXTHDR, MSG_DONTWAIT, MSG_TRUNC, POLLIN, SOL_UDP, UDP_GRO,
    cmsghdr, iovec, mmsghdr, msghdr, ready, recvmmsg, sockaddr_storage,
)

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t*, void*)
    int pthread_mutex_destroy(pthread_mutex_t*)
    int pthread_mutex_lock(pthread_mutex_t*)
    int pthread_mutex_unlock(pthread_mutex_t*)

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int, int)
    int EFD_NONBLOCK, EFD_CLOEXEC

cdef extern from "<unistd.h>" nogil:
    ssize_t read(int, void*, size_t)
    ssize_t write(int, const void*, size_t)
    int close(int)

cdef enum:
    SLOTS = 32            # messages a receive call may return
    SLOT_BYTES = 65536
    CONTROL_BYTES = 64
    NAME_BYTES = 28       # a socket address of either family
    PATIENCE_NS = 50_000_000  # the longest sleep before it is looked whether to stop

cdef struct Record:
    uint32_t size
    uint32_t step         # the datagrams' size, of which the last may be shorter
    uint32_t whole        # bytes to the next record; size is SKIP where there is none up to the end
    uint32_t name_bytes
    uint8_t name[NAME_BYTES]

cdef uint32_t SKIP = 0xFFFFFFFF


cdef class DrainedSocket:
    """The face of `BatchSocket`; what arrives is taken from the system at once.

    Parameters
    ----------
    sock
        A bound, non-blocking ``socket.socket``.
    ring_bytes
        What may wait for Python. The pages of it that are never needed cost nothing.
    """

    cdef object _inner
    cdef object _thread
    cdef int _fd
    cdef int _wake
    cdef bint _over
    cdef uint8_t* _ring
    cdef uint64_t _ring_bytes
    cdef uint64_t _head          # bytes ever written
    cdef uint64_t _tail          # bytes ever read
    cdef readonly uint64_t overrun
    """Messages of the system (a datagram, or a run of them) for which the ring had no room."""
    cdef public int64_t spin_ns
    """Of no effect here: it is the thread that is woken first."""
    cdef readonly uint64_t written
    """Bytes of datagrams that came into the ring so far."""
    cdef pthread_mutex_t _lock
    cdef uint8_t* _buffer
    cdef mmsghdr _in[SLOTS]
    cdef iovec _in_iov[SLOTS]
    cdef sockaddr_storage _in_name[SLOTS]
    cdef uint8_t _in_control[SLOTS][CONTROL_BYTES]

    def __cinit__(self, object sock, uint64_t ring_bytes):
        cdef int slot
        self._wake = -1
        self._fd = sock.fileno()
        self._ring_bytes = ring_bytes & ~<uint64_t>7
        self._ring = <uint8_t*>malloc(self._ring_bytes)
        self._buffer = <uint8_t*>calloc(SLOTS, SLOT_BYTES)
        if self._ring == NULL or self._buffer == NULL:
            raise MemoryError
        memset(self._in, 0, sizeof(self._in))
        for slot in range(SLOTS):
            self._in_iov[slot].iov_base = self._buffer + slot * SLOT_BYTES
            self._in_iov[slot].iov_len = SLOT_BYTES
            self._in[slot].msg_hdr.msg_iov = &self._in_iov[slot]
            self._in[slot].msg_hdr.msg_iovlen = 1
            self._in[slot].msg_hdr.msg_name = &self._in_name[slot]
            self._in[slot].msg_hdr.msg_control = &self._in_control[slot][0]
        pthread_mutex_init(&self._lock, NULL)
        self._wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        if self._wake < 0:
            raise OSError(errno, os.strerror(errno))
        self._inner = BatchSocket(sock)
        self._thread = threading.Thread(target=self._run, name="sidereal-drain", daemon=True)
        self._thread.start()

    def __dealloc__(self):
        free(self._ring)
        free(self._buffer)
        if self._wake >= 0:
            close(self._wake)
            pthread_mutex_destroy(&self._lock)

    @property
    def inject(self):
        """For tests: error numbers that the next send calls meet instead of the system."""
        return self._inner.inject

    @inject.setter
    def inject(self, value):
        self._inner.inject = value

    @property
    def segmenting(self):
        """Whether runs leave in one piece."""
        return self._inner.segmenting

    @property
    def coalescing(self):
        """Whether runs arrive in one piece."""
        return self._inner.coalescing

    @property
    def dropped(self):
        """Datagrams that the system refused to send."""
        return self._inner.dropped

    def send(self, object transmits):
        """As `BatchSocket.send`."""
        return self._inner.send(transmits)

    def fileno(self):
        """A descriptor that is readable while something waits."""
        return self._wake

    def stop(self):
        """End the thread, before the socket is closed."""
        self._over = True
        self._thread.join()

    # -- the thread ----------------------------------------------------------------------

    def _run(self):
        with nogil:
            self._drain()

    cdef void _drain(self) noexcept nogil:
        cdef int got, slot
        while not self._over:
            ready(self._fd, POLLIN, PATIENCE_NS)
            while not self._over:
                for slot in range(SLOTS):
                    self._in[slot].msg_hdr.msg_namelen = sizeof(sockaddr_storage)
                    self._in[slot].msg_hdr.msg_controllen = CONTROL_BYTES
                    self._in[slot].msg_hdr.msg_flags = 0
                got = recvmmsg(self._fd, self._in, SLOTS, MSG_DONTWAIT, NULL)
                if got < 0 and (errno == EINTR or errno == ECONNREFUSED):
                    continue
                if got <= 0:
                    break  # nothing more; or the socket is gone, and whoever closed it says stop
                self._keep(got)

    cdef void _keep(self, int got) noexcept nogil:
        """Copy what came into the ring, then let the reader see it."""
        cdef uint64_t head = self._head, tail, old = self._head, left, whole
        cdef uint64_t one = 1, size = 0
        cdef int slot
        cdef Record* record
        cdef msghdr* message
        cdef cmsghdr* control
        cdef bint empty
        pthread_mutex_lock(&self._lock)
        tail = self._tail
        pthread_mutex_unlock(&self._lock)
        for slot in range(got):
            message = &self._in[slot].msg_hdr
            if message.msg_flags & MSG_TRUNC:
                continue
            whole = (sizeof(Record) + self._in[slot].msg_len + 7) & ~<uint64_t>7
            left = self._ring_bytes - head % self._ring_bytes
            if head + whole + (left if left < whole else 0) - tail > self._ring_bytes:
                self.overrun += 1
                continue
            if left < whole:
                if left >= sizeof(uint32_t):
                    (<uint32_t*>(self._ring + head % self._ring_bytes))[0] = SKIP
                head += left
            record = <Record*>(self._ring + head % self._ring_bytes)
            record.size = self._in[slot].msg_len
            record.step = record.size
            record.whole = <uint32_t>whole
            record.name_bytes = min(<uint32_t>message.msg_namelen, <uint32_t>NAME_BYTES)
            memcpy(record.name, message.msg_name, record.name_bytes)
            control = CMSG_FIRSTHDR(message)
            while control != NULL:
                if control.cmsg_level == SOL_UDP and control.cmsg_type == UDP_GRO:
                    record.step = (<int*>CMSG_DATA(control))[0]
                control = CMSG_NXTHDR(message, control)
            memcpy(record + 1, self._buffer + slot * SLOT_BYTES, record.size)
            size += record.size
            head += whole
        if head == old:
            return
        pthread_mutex_lock(&self._lock)
        self._head = head
        self.written += size
        empty = self._tail == old
        pthread_mutex_unlock(&self._lock)
        if empty:
            write(self._wake, &one, sizeof(one))

    # -- the reader ----------------------------------------------------------------------

    def receive(self, Py_ssize_t max_datagrams):
        """Return what has arrived, about ``max_datagrams`` at most: ``[(bytes, address), …]``."""
        return self._receive(max_datagrams, False)

    def receive_runs(self, Py_ssize_t max_datagrams):
        """The same, but what came in one piece stays so: ``(bytes, address, step)``."""
        return self._receive(max_datagrams, True)

    cdef list _receive(self, Py_ssize_t max_datagrams, bint runs):
        cdef list batch = []
        cdef uint64_t head, tail = self._tail, one = 1, count
        cdef Record* record
        cdef Py_ssize_t left = max_datagrams
        cdef bint more
        cdef object inner = self._inner
        cdef object address
        read(self._wake, &count, sizeof(count))
        pthread_mutex_lock(&self._lock)
        head = self._head
        pthread_mutex_unlock(&self._lock)
        while tail < head and left > 0:
            record = <Record*>(self._ring + tail % self._ring_bytes)
            if record.size == SKIP:
                tail += self._ring_bytes - tail % self._ring_bytes
                continue
            address = inner.address_of(
                PyBytes_FromStringAndSize(<char*>record.name, record.name_bytes)
            )
            left -= arrived(
                batch, <uint8_t*>(record + 1), record.size, max(<uint32_t>1, record.step), address,
                runs,
            )
            tail += record.whole
        pthread_mutex_lock(&self._lock)
        self._tail = tail
        more = self._head != tail
        pthread_mutex_unlock(&self._lock)
        if more:
            write(self._wake, &one, sizeof(one))
        return batch

    def wait(self, int64_t timeout_ns):
        """Wait until something can be received, at most ``timeout_ns``; say whether it can."""
        cdef int result
        with nogil:
            result = ready(self._wake, POLLIN, timeout_ns)
        if result < 0 and errno != EINTR:
            raise OSError(errno, os.strerror(errno))
        return result > 0
