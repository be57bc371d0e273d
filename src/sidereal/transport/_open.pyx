# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""Packets and frames on their way in, compiled: the replay window, opening, acks.

Sealing is in ``_seal.pyx``. The readable twin is ``packet_twin.py``; one test suite
runs over both, and each opens what the other sealed. ``layout.py`` says what the bytes mean.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ._bytes cimport get16, get32, get64, put32, put64
from ._inbox cimport Inbox
from ._place cimport Place
from ._sizes cimport PLAIN_MAX, STREAM_HEAD

from cryptography.exceptions import InvalidTag

from sidereal.transport import layout

cdef enum:
    WORDS = 129

cdef Py_ssize_t HEADER_BYTES = layout.HEADER_BYTES
cdef Py_ssize_t TAG_BYTES = layout.TAG_BYTES
cdef int WINDOW = layout.REPLAY_WINDOW
cdef int ACK_WORDS_MAX = layout.ACK_WORDS_MAX
cdef int CHANNELS = layout.CHANNELS
cdef int REASON_BYTES_MAX = layout.REASON_BYTES_MAX
cdef enum:
    PADDING = 0
    PING = 1
    ACK = 2
    DATAGRAM = 3
    STREAM = 4
    CREDIT = 5
    CLOSE = 6
    SEQUENCED = 7
    SEQUENCES = 16

assert (layout.FRAME_SEQUENCED, layout.SEQUENCES) == (SEQUENCED, SEQUENCES)
assert (
    layout.FRAME_PADDING, layout.FRAME_PING, layout.FRAME_ACK, layout.FRAME_DATAGRAM,
    layout.FRAME_STREAM, layout.FRAME_CREDIT, layout.FRAME_CLOSE,
) == (PADDING, PING, ACK, DATAGRAM, STREAM, CREDIT, CLOSE)
assert layout.REPLAY_WINDOW == (WORDS - 1) * 64


cdef class Opener:
    """Opens one direction's packets: number, replay window, decryption, frames.

    A packet is checked against the window, then decrypted, and only then marked:
    a forged number moves nothing.
    """

    cdef object _chain
    cdef object _decrypt
    cdef uint64_t _epoch
    cdef int _shift
    cdef uint64_t _next          # one more than the largest number opened
    cdef uint64_t _bits[WORDS]
    cdef readonly int64_t largest_ns
    cdef bytearray _nonce
    cdef bytearray _head
    cdef Place _sealed
    cdef Place _opened
    cdef uint64_t _lowest        # of those opened since the last ack
    cdef uint64_t _lowests[3]    # the same of the acks before it
    cdef int _ack_at
    cdef uint64_t _newest[SEQUENCES]  # one more than the packet of each sequence's newest datagram

    def __init__(self, object chain):
        self._chain = chain
        self._shift = chain.shift
        self._decrypt = chain.decryptor_into(0)
        self._nonce = bytearray(12)
        self._head = bytearray(HEADER_BYTES)
        self._sealed = Place(False)
        self._opened = Place(True)
        memset(self._bits, 0, sizeof(self._bits))
        memset(self._newest, 0, sizeof(self._newest))
        memset(self._lowests, 255, sizeof(self._lowests))
        self._lowest = <uint64_t>-1

    @property
    def next_number(self):
        """One more than the largest number opened so far."""
        return self._next

    cdef inline bint _marked(self, uint64_t number) noexcept:
        return (self._bits[(number >> 6) % WORDS] >> (number & 63)) & 1

    cdef bint _fresh(self, uint64_t number) noexcept:
        if number >= self._next:
            return True
        if self._next - number > <uint64_t>WINDOW:
            return False
        return not self._marked(number)

    cdef void _mark(self, uint64_t number, int64_t now) noexcept:
        cdef uint64_t word, last, steps
        if number >= self._next:
            word = number >> 6
            last = (self._next - 1) >> 6 if self._next else 0
            steps = word - last
            if steps > WORDS:
                steps = WORDS
            while steps:
                self._bits[(word - steps + 1) % WORDS] = 0
                steps -= 1
            self._next = number + 1
            self.largest_ns = now
        self._bits[(number >> 6) % WORDS] |= <uint64_t>1 << (number & 63)
        if number < self._lowest:
            self._lowest = number

    def open_batch(self, list packets, int64_t now, Inbox inbox):
        """Open each packet and sort its frames into ``inbox``; stops at a frame that is wrong.

        A packet is ``bytes``, or ``(bytes, address, step)``: some of ``step`` bytes each.
        """
        cdef object packet
        cdef bytes data
        cdef uint8_t* p
        cdef Py_ssize_t at, size, step, left = 0
        for packet in packets:
            left += PyBytes_GET_SIZE(packet if type(packet) is bytes else (<tuple>packet)[0])
        for packet in packets:
            data = packet if type(packet) is bytes else (<tuple>packet)[0]
            p = <uint8_t*>PyBytes_AS_STRING(data)
            size = PyBytes_GET_SIZE(data)
            step = size if type(packet) is bytes else (<tuple>packet)[2]
            at = 0
            while at < size and inbox.error is None:
                left -= min(step, size - at)
                inbox.following = left
                self._open(p + at, min(step, size - at), now, inbox)
                at += step
            if inbox.error is not None:
                break
        inbox.end_run()

    cdef _open(self, uint8_t* p, Py_ssize_t size, int64_t now, Inbox inbox):
        cdef uint64_t number = expand(self._next, get32(p + 5))
        cdef uint64_t epoch = number >> self._shift
        cdef object decrypt = self._decrypt
        cdef Py_ssize_t n = size - HEADER_BYTES - TAG_BYTES
        cdef uint8_t* nonce
        cdef uint8_t* plain
        cdef uint8_t covered[STREAM_HEAD]
        cdef bint ahead
        if n < 0 or n > PLAIN_MAX:
            inbox.forged += 1
            return
        if not self._fresh(number):
            inbox.replayed += 1
            return
        if epoch != self._epoch:
            decrypt = self._chain.decryptor_into(epoch)
            if decrypt is None:
                inbox.forged += 1
                return
        nonce = <uint8_t*>(<char*>self._nonce)
        put64(nonce + 4, number)
        memcpy(<char*>self._head, p, HEADER_BYTES)
        plain = inbox.ahead(n)
        ahead = plain != NULL
        if ahead:
            memcpy(covered, plain, STREAM_HEAD)
        else:
            plain = inbox.scratch
        try:
            decrypt(
                self._nonce, self._sealed.put(p + HEADER_BYTES, size - HEADER_BYTES), self._head,
                self._opened.put(plain, n),
            )
        except InvalidTag:
            if ahead:
                memcpy(plain, covered, STREAM_HEAD)
            inbox.forged += 1
            return
        if number > self._next:
            inbox.gap = True
        self._mark(number, now)
        if epoch > self._epoch:
            self._chain.advance(epoch)
            self._decrypt = decrypt
            self._epoch = epoch
        inbox.opened += 1
        inbox.opened_bytes += size
        if ahead:
            if inbox.goes_on(plain, n):
                memcpy(plain, covered, STREAM_HEAD)
                inbox.eliciting += 1
                return
            memcpy(inbox.scratch, plain, n)
            memcpy(plain, covered, STREAM_HEAD)
        self._parse(n, number, inbox)

    cdef _parse(self, Py_ssize_t n, uint64_t number, Inbox inbox):
        cdef const uint8_t* p = inbox.scratch
        cdef Py_ssize_t at = 0, length
        cdef bint eliciting = False
        cdef uint8_t kind
        while at < n:
            kind = p[at]
            if kind == DATAGRAM:
                if n - at < 3:
                    inbox.error = "datagram frame cut short"
                    return
                length = get16(p + at + 1)
                if n - at - 3 < length:
                    inbox.error = "datagram frame longer than its packet"
                    return
                inbox.datagrams.append(PyBytes_FromStringAndSize(<char*>p + at + 3, length))
                at += 3 + length
                eliciting = True
            elif kind == SEQUENCED:
                if n - at < 4:
                    inbox.error = "sequenced frame cut short"
                    return
                length = get16(p + at + 2)
                if n - at - 4 < length:
                    inbox.error = "sequenced frame longer than its packet"
                    return
                if p[at + 1] >= SEQUENCES:
                    inbox.error = f"datagram of sequence {p[at + 1]}; there are {SEQUENCES}"
                    return
                if number + 1 < self._newest[p[at + 1]]:
                    inbox.overtaken += 1
                else:
                    self._newest[p[at + 1]] = number + 1
                    inbox.sequenced.append((
                        p[at + 1], PyBytes_FromStringAndSize(<char*>p + at + 4, length)
                    ))
                at += 4 + length
                eliciting = True
            elif kind == STREAM:
                if n - at < 12:
                    inbox.error = "stream frame cut short"
                    return
                length = get16(p + at + 10)
                if n - at - 12 < length:
                    inbox.error = "stream frame longer than its packet"
                    return
                if p[at + 1] >= CHANNELS:
                    inbox.error = f"stream frame for channel {p[at + 1]}; there are {CHANNELS}"
                    return
                inbox.segment(
                    p[at + 1], get64(p + at + 2), p + at + 12, length, n == STREAM_HEAD + length
                )
                at += 12 + length
                eliciting = True
            elif kind == ACK:
                if n - at < 10:
                    inbox.error = "ack frame cut short"
                    return
                length = p[at + 9] * 8
                if p[at + 9] > ACK_WORDS_MAX or n - at - 10 < length:
                    inbox.error = f"ack bitmap of {p[at + 9]} words does not fit"
                    return
                inbox.acks.append((
                    get32(p + at + 1), get32(p + at + 5),
                    PyBytes_FromStringAndSize(<char*>p + at + 10, length),
                ))
                at += 10 + length
            elif kind == PADDING:
                while at < n:
                    if p[at] != 0:
                        inbox.error = "padding that is not zero"
                        return
                    at += 1
            elif kind == PING:
                at += 1
                eliciting = True
            elif kind == CREDIT:
                if n - at < 10:
                    inbox.error = "credit frame cut short"
                    return
                if p[at + 1] >= CHANNELS:
                    inbox.error = f"credit frame for channel {p[at + 1]}; there are {CHANNELS}"
                    return
                inbox.credits.append((p[at + 1], get64(p + at + 2)))
                at += 10
                eliciting = True
            elif kind == CLOSE:
                if n - at < 4:
                    inbox.error = "close frame cut short"
                    return
                length = get16(p + at + 2)
                if n - at - 4 < length or length > REASON_BYTES_MAX:
                    inbox.error = f"close reason of {length} bytes does not fit"
                    return
                inbox.close = (p[at + 1], PyBytes_FromStringAndSize(<char*>p + at + 4, length))
                at += 4 + length
                eliciting = True
            else:
                inbox.error = f"unknown frame type {kind}"
                return
        if eliciting:
            inbox.eliciting += 1

    def ack_frame(self, int64_t now, Py_ssize_t room):
        """Build the ack of what was opened so far, at most ``room`` bytes; b"" before the first.

        The bitmap reaches back to all that was opened since four acks ago, late
        packets too: each is named in four acks, for some get lost.
        """
        cdef uint64_t largest, floor, number
        cdef int64_t words, word, bit, delay
        cdef uint64_t value
        cdef uint8_t frame[1 + 4 + 4 + 1 + 8 * 128]
        if self._next == 0 or room < 10:
            return b""
        largest = self._next - 1
        floor = min(largest, self._lowest, self._lowests[0], self._lowests[1], self._lowests[2])
        words = <int64_t>(largest - floor + 63) // 64
        words = min(words, ACK_WORDS_MAX, (room - 10) // 8)
        self._lowests[self._ack_at] = self._lowest
        self._ack_at = (self._ack_at + 1) % 3
        self._lowest = <uint64_t>-1
        delay = max(0, (now - self.largest_ns) // 1000)
        frame[0] = ACK
        put32(frame + 1, <uint32_t>largest)
        put32(frame + 5, <uint32_t>min(delay, 0xFFFFFFFF))
        frame[9] = <uint8_t>words
        for word in range(words):
            value = 0
            for bit in range(64):
                if <uint64_t>(64 * word + bit) >= largest:
                    break
                number = largest - 1 - <uint64_t>(64 * word + bit)
                if self._next - number <= <uint64_t>WINDOW and self._marked(number):
                    value |= <uint64_t>1 << bit
            put64(frame + 10 + 8 * word, value)
        return PyBytes_FromStringAndSize(<char*>frame, 10 + 8 * words)


cdef uint64_t expand(uint64_t expected, uint32_t low) noexcept:
    """The 64-bit number nearest to ``expected`` whose low half is ``low``."""
    cdef uint64_t half = <uint64_t>1 << 31
    cdef uint64_t whole = <uint64_t>1 << 32
    cdef uint64_t candidate = (expected & ~(whole - 1)) | low
    # Differences, for sums would overflow near 2^64.
    if expected > candidate and expected - candidate >= half and candidate < -whole:
        return candidate + whole
    if candidate > expected and candidate - expected > half and candidate >= whole:
        return candidate - whole
    return candidate


def expand_number(expected: int, low: int) -> int:
    """The 64-bit number nearest to ``expected`` whose low 32 bits are ``low``."""
    return expand(expected, low)
