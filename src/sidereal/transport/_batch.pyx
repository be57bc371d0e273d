# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""Many datagrams in one system call, on Linux: segmented sends, coalesced receives.

`send` hands runs of equal datagrams to one address to the kernel as one large
one (UDP_SEGMENT), and many such in one call; `receive` takes what the kernel
coalesced (UDP_GRO) apart again. Each has a plain way to fall back on. The plain
twin for other systems is in ``sockets_plain.py``.
"""

from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE, _PyBytes_Resize,
)
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.errno cimport (
    EAGAIN, ECONNREFUSED, EINTR, EINVAL, EIO, ENOBUFS, ENOMEM, ENOPROTOOPT, EOPNOTSUPP, errno,
)
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memset

import os
import socket as _socket

from sidereal.transport.transmits import apart

from ._addresses cimport Addresses
from ._sizes cimport RUN_BYTES, RUN_MAX
from ._udp cimport (
    CLOCK_MONOTONIC, CMSG_DATA, CMSG_FIRSTHDR, CMSG_LEN, CMSG_NXTHDR,
    CMSG_SPACE, MSG_DONTWAIT, MSG_TRUNC, POLLIN, POLLOUT, SOL_UDP, UDP_GRO, UDP_SEGMENT,
    clock_gettime, cmsghdr, iovec, mmsghdr, msghdr, ready, recvmmsg, sched_yield, sendmmsg,
    sockaddr_storage, socklen_t, timespec,
)

cdef enum:
    SLOTS = 32            # messages a receive call may return
    SLOT_BYTES = 65536
    HANDED_BYTES = 16384  # a run of as many is handed on in the slot that it came in
    CONTROL_BYTES = 64
    MESSAGES = 64         # messages a send call may carry
    PIECES = 1024         # datagrams a send call may carry
    FRUITLESS_MAX = 16    # calls in a row that moved nothing before the rest is dropped
    SPIN_FIRST_NS = 50_000
    CROWDED_NS = 200_000  # nobody who answers soon keeps the core for so long
    CROWDED_FOR_NS = 100_000_000
    KEPT_BYTES = 8_388_608  # more than a batch of packets takes

SEND_PATIENCE_NS = 20_000_000
"""How long a full send buffer is waited for before what is left of a batch is dropped."""


cdef int64_t _now() noexcept nogil:
    cdef timespec at
    clock_gettime(CLOCK_MONOTONIC, &at)
    return at.tv_sec * 1_000_000_000 + at.tv_nsec


cdef Py_ssize_t _datagrams(tuple transmit) except -1:
    """How many datagrams this is. A run is at most what the system cuts from one message."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(<bytes>transmit[0]), step, count
    if len(transmit) == 2:
        return 1
    step = transmit[2]
    count = (size + step - 1) // step if step > 0 else 0
    if not 0 < count <= RUN_MAX or (count > 1 and size > RUN_BYTES):
        raise ValueError(
            f"a run of {size} bytes, {step} each, does not leave as one; "
            f"{RUN_MAX} datagrams and {RUN_BYTES} bytes do"
        )
    return count


cdef Py_ssize_t arrived(
    list batch, const uint8_t* data, Py_ssize_t size, Py_ssize_t step, object address, bint runs
) except -1:
    """Append what came in one piece to ``batch``; return how many datagrams it is."""
    cdef Py_ssize_t at = 0
    if runs and step < size:
        batch.append((PyBytes_FromStringAndSize(<char*>data, size), address, step))
        return (size + step - 1) // step
    if size == 0:
        batch.append((b"", address))
        return 1
    while at < size:
        batch.append((PyBytes_FromStringAndSize(<char*>data + at, min(step, size - at)), address))
        at += step
    return at // step


cdef void _keep_memory() noexcept:
    """Let the C library keep what a batch of packets took, for the next one.

    Packets of a batch go together. The GNU library gives such memory back to the system each time,
    a tenth of a receiver's work, until it has seen a block of this size go: from then on it keeps
    twice as much.
    """
    PyMem_RawFree(PyMem_RawMalloc(KEPT_BYTES))  # not malloc: a compiler leaves such a pair out


_keep_memory()


cdef class BatchSocket:
    """A non-blocking UDP socket over the file descriptor of a bound ``socket.socket``."""

    cdef object _sock
    cdef int _fd
    cdef readonly bint segmenting
    cdef readonly bint coalescing
    cdef readonly Py_ssize_t dropped
    """Datagrams that the system refused to send."""
    cdef public int64_t spin_ns
    """How long `wait` asks again and again before it sleeps, at most."""
    cdef readonly int64_t spinning_ns
    """How long it does at present."""
    cdef public int64_t crowded_ns
    """Who is away from its core for longer, having let others have it, has none of its own."""
    cdef readonly int64_t crowded_until_ns
    """Until then `wait` only sleeps."""
    cdef public list inject
    """For tests: error numbers that the next send calls meet instead of the system, and
    ``-n`` for a system that takes no more than n messages."""
    cdef Addresses _addresses
    cdef PyObject* _slots[SLOTS]  # bytes that the system fills; one that is handed on is replaced
    cdef mmsghdr _in[SLOTS]
    cdef iovec _in_iov[SLOTS]
    cdef sockaddr_storage _in_name[SLOTS]
    cdef uint8_t _in_control[SLOTS][CONTROL_BYTES]
    cdef mmsghdr _out[MESSAGES]
    cdef iovec _out_iov[PIECES]
    cdef uint8_t _out_control[MESSAGES][CONTROL_BYTES]

    def __cinit__(self, object sock):
        cdef int slot
        self._sock = sock
        self._fd = sock.fileno()
        self._addresses = Addresses(sock.family == _socket.AF_INET6)
        self.inject = []
        self.crowded_ns = CROWDED_NS
        memset(self._in, 0, sizeof(self._in))
        memset(self._out, 0, sizeof(self._out))
        for slot in range(SLOTS):
            self._renew(slot)
            self._in_iov[slot].iov_len = SLOT_BYTES
            self._in[slot].msg_hdr.msg_iov = &self._in_iov[slot]
            self._in[slot].msg_hdr.msg_iovlen = 1
            self._in[slot].msg_hdr.msg_name = &self._in_name[slot]
            self._in[slot].msg_hdr.msg_control = &self._in_control[slot][0]
        self.segmenting = self._option(UDP_SEGMENT, 0)
        self.coalescing = self._option(UDP_GRO, 1)

    def __dealloc__(self):
        cdef int slot
        for slot in range(SLOTS):
            Py_XDECREF(self._slots[slot])

    cdef bytes _renew(self, int slot, Py_ssize_t size=0):
        """Put fresh bytes into a slot; return the first ``size`` of what was there before."""
        cdef bytes fresh = PyBytes_FromStringAndSize(NULL, SLOT_BYTES), filled = None
        if size:
            _PyBytes_Resize(&self._slots[slot], size)
            filled = <bytes>self._slots[slot]
            Py_XDECREF(self._slots[slot])
        Py_INCREF(fresh)
        self._slots[slot] = <PyObject*>fresh
        self._in_iov[slot].iov_base = PyBytes_AS_STRING(fresh)
        return filled

    cdef bint _option(self, int option, int value):
        """Try an option of the kernel's; older kernels have neither."""
        try:
            self._sock.setsockopt(SOL_UDP, option, value)
        except OSError as error:
            if error.errno in (ENOPROTOOPT, EOPNOTSUPP, EINVAL):
                return False
            raise
        return True

    def address_of(self, bytes raw):
        """The address ``(host, port)`` that the kernel's bytes say."""
        return self._addresses.unpack(<const uint8_t*>PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))

    # -- receiving -----------------------------------------------------------------------

    def receive(self, Py_ssize_t max_datagrams):
        """Return what has arrived, about ``max_datagrams`` at most: ``[(bytes, address), …]``."""
        return self._receive(max_datagrams, False)

    def receive_runs(self, Py_ssize_t max_datagrams):
        """The same, but what came in one piece stays so: ``(bytes, address, step)``."""
        return self._receive(max_datagrams, True)

    cdef list _receive(self, Py_ssize_t max_datagrams, bint runs):
        cdef list batch = []
        cdef int got, slot, wanted, code
        cdef Py_ssize_t size, step, left = max_datagrams
        cdef uint8_t* data
        cdef msghdr* head
        cdef cmsghdr* control
        while left > 0:
            wanted = <int>min(left, SLOTS)
            for slot in range(wanted):
                self._in[slot].msg_hdr.msg_namelen = sizeof(sockaddr_storage)
                self._in[slot].msg_hdr.msg_controllen = CONTROL_BYTES
                self._in[slot].msg_hdr.msg_flags = 0
            with nogil:
                got = recvmmsg(self._fd, self._in, wanted, MSG_DONTWAIT, NULL)
                code = errno
            if got < 0:
                if code == EINTR or code == ECONNREFUSED:
                    continue  # an earlier datagram's fate, told now: not an error of this call
                if code == EAGAIN:
                    break
                raise OSError(code, os.strerror(code))
            for slot in range(got):
                head = &self._in[slot].msg_hdr
                size = self._in[slot].msg_len
                if head.msg_flags & MSG_TRUNC:
                    continue
                step = 0
                control = CMSG_FIRSTHDR(head)
                while control != NULL:
                    if control.cmsg_level == SOL_UDP and control.cmsg_type == UDP_GRO:
                        step = (<int*>CMSG_DATA(control))[0]
                    control = CMSG_NXTHDR(head, control)
                if step <= 0:
                    step = size
                address = self._addresses.unpack(<uint8_t*>head.msg_name, head.msg_namelen)
                if runs and step < size and size >= HANDED_BYTES:
                    batch.append((self._renew(slot, size), address, step))
                    left -= (size + step - 1) // step
                else:
                    data = <uint8_t*>self._in_iov[slot].iov_base
                    left -= arrived(batch, data, size, step, address, runs)
            if got < wanted:
                break
        return batch

    def wait(self, int64_t timeout_ns):
        """Wait until something can be received, at most ``timeout_ns``; say whether it can."""
        cdef int64_t start, until, now, before
        cdef bint found = False
        if self.spin_ns <= 0 or timeout_ns <= 0:
            return self._poll(POLLIN, timeout_ns)
        start = _now()
        if self.spinning_ns > 0 and start >= self.crowded_until_ns:
            with nogil:
                until = start + min(self.spinning_ns, timeout_ns)
                now = start
                found = ready(self._fd, POLLIN, 0) > 0
                while not found and now < until:
                    before = now
                    sched_yield()
                    found = ready(self._fd, POLLIN, 0) > 0
                    now = _now()
                    if now - before > self.crowded_ns:
                        # Somebody took the core for a whole turn of the scheduler's; who sleeps
                        # instead of asking is woken ahead of them.
                        self.crowded_until_ns = now + CROWDED_FOR_NS
                        break
        if not found:
            found = self._poll(POLLIN, start + timeout_ns - _now())
        # As KVM polls before it halts a processor: what came soon will come soon again, and
        # where it did not, the next wait sleeps at once. Twice, for a peer that was asleep
        # too answers sooner once it is awake.
        if _now() - start > 2 * self.spin_ns:
            self.spinning_ns = 0
        elif found:
            self.spinning_ns = min(self.spin_ns, max(SPIN_FIRST_NS, 2 * self.spinning_ns))
        return found

    cdef bint _poll(self, short events, int64_t timeout_ns) except -1:
        cdef int result
        with nogil:
            result = ready(self._fd, events, timeout_ns)
        if result < 0 and errno != EINTR:
            raise OSError(errno, os.strerror(errno))
        return result > 0

    # -- sending -------------------------------------------------------------------------

    def send(self, object transmits):
        """Send datagrams and runs of them in order; return how many datagrams the system took.

        What it would not take, even after a moment's patience, is dropped and counted.
        """
        cdef list left = list(transmits)
        cdef Py_ssize_t at = 0, sent = 0, wanted = 0
        cdef Py_ssize_t done
        cdef int fruitless = 0
        cdef bint runs = False
        cdef tuple transmit
        for transmit in left:
            wanted += _datagrams(transmit)
            runs = runs or len(transmit) == 3
        while at < len(left) and fruitless < FRUITLESS_MAX:
            if runs and not self.segmenting:
                left, at, runs = apart(left[at:]), 0, False
            done = self._send_some(left, at, &sent)
            fruitless = 0 if done else fruitless + 1
            at += done
        self.dropped += wanted - sent
        return sent

    cdef Py_ssize_t _send_some(self, list transmits, Py_ssize_t start, Py_ssize_t* sent) except -1:
        """Send one call's worth from ``start``; return how many transmits are dealt with."""
        cdef Py_ssize_t at = start, end = len(transmits), size, first, total, step
        cdef Py_ssize_t counts[MESSAGES]   # datagrams of each message
        cdef Py_ssize_t entries[MESSAGES]  # transmits of each
        cdef int messages = 0, pieces = 0, result, code = 0, m
        cdef bytes data, name, following
        cdef list names = []
        cdef object address
        cdef tuple transmit
        cdef msghdr* head
        cdef cmsghdr* control
        while at < end and messages < MESSAGES and pieces < PIECES - RUN_MAX:
            transmit = transmits[at]
            data, address = transmit[0], transmit[1]
            size = step = PyBytes_GET_SIZE(data)
            name = self._addresses.pack(address)
            names.append(name)
            head = &self._out[messages].msg_hdr
            head.msg_name = PyBytes_AS_STRING(name)
            head.msg_namelen = <socklen_t>PyBytes_GET_SIZE(name)
            head.msg_iov = &self._out_iov[pieces]
            head.msg_control = NULL
            head.msg_controllen = 0
            self._out_iov[pieces].iov_base = PyBytes_AS_STRING(data)
            self._out_iov[pieces].iov_len = size
            pieces += 1
            first = at
            at += 1
            total = size
            counts[messages] = _datagrams(transmit)
            if len(transmit) == 3:
                step = transmit[2]
            # Others of the same size follow in the same message; a shorter one ends it.
            while len(transmit) == 2 and self.segmenting and at < end and at - first < RUN_MAX:
                entry = transmits[at]
                if len(<tuple>entry) == 3 or (entry[1] is not address and entry[1] != address):
                    break
                following = <bytes>entry[0]
                if PyBytes_GET_SIZE(following) > size or PyBytes_GET_SIZE(following) == 0:
                    break
                total += PyBytes_GET_SIZE(following)
                if total > RUN_BYTES:
                    break
                self._out_iov[pieces].iov_base = PyBytes_AS_STRING(following)
                self._out_iov[pieces].iov_len = PyBytes_GET_SIZE(following)
                pieces += 1
                at += 1
                counts[messages] += 1
                if PyBytes_GET_SIZE(following) < size:
                    break
            entries[messages] = at - first
            head.msg_iovlen = at - first
            if counts[messages] > 1:
                head.msg_control = &self._out_control[messages][0]
                head.msg_controllen = CMSG_SPACE(sizeof(uint16_t))
                control = CMSG_FIRSTHDR(head)
                control.cmsg_level = SOL_UDP
                control.cmsg_type = UDP_SEGMENT
                control.cmsg_len = CMSG_LEN(sizeof(uint16_t))
                (<uint16_t*>CMSG_DATA(control))[0] = <uint16_t>step
            messages += 1
        result, code = 0, 0
        if self.inject:
            code = self.inject.pop(0)
            if code > 0:
                result = -1
            else:
                messages = max(1, min(messages, -code))
        if result == 0:
            with nogil:
                result = sendmmsg(self._fd, self._out, messages, MSG_DONTWAIT)
                code = errno
        if result > 0:
            total = 0
            for m in range(result):
                total += entries[m]
                sent[0] += counts[m]
            return total
        if code == EINTR or code == ECONNREFUSED:
            return 0
        if (code == EIO or code == EINVAL) and self.segmenting and counts[0] > 1:
            self.segmenting = False  # this path cannot: from here on one by one
            return 0
        if code == EAGAIN or code == ENOBUFS or code == ENOMEM:
            if self._poll(POLLOUT, SEND_PATIENCE_NS) and code == EAGAIN:
                return 0
            return end - start
        return entries[0]  # refused for itself (too long, no route): the others may pass
