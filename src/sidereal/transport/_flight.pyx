# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""What is on its way, compiled: sent packets, what an ack says of them, what is lost.

The readable twin is ``flight_twin.py``; one test suite runs over both. Packets lie
in a ring by their number, which doubles while more are outstanding than half of it holds.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from sidereal.transport import layout

cdef enum:
    NOTHING = 0
    OUTSTANDING = 1
    LOST = 2
    SKIPPED = 3
    CARGO = 0
    DATAGRAMS = 1
    PIECE = 2

cdef struct Sent:
    uint64_t number
    int64_t sent_ns
    uint64_t first
    uint64_t delivered
    int64_t delivered_ns
    int64_t first_sent_ns
    uint32_t size
    uint32_t many
    uint8_t state
    uint8_t kind
    uint8_t channel

cdef struct Run:
    int channel
    uint64_t start
    uint64_t end


cdef class Flight:
    """The packets that want an acknowledgement, and what became of them.

    `acknowledge` and `detect_lost` leave their findings in ``acked_*`` and
    ``lost_*`` until `clear`. Of a packet's record ``first`` and ``many`` are its datagrams'
    first token and how many there are, or the offset and length of its piece of a stream;
    pieces that go on from each other are found as one.
    """

    cdef Sent* _ring
    cdef uint64_t _capacity
    cdef list _cargo
    cdef uint64_t _next
    cdef uint64_t _floor
    cdef int64_t _largest_acked
    cdef readonly Py_ssize_t bytes_in_flight
    cdef readonly Py_ssize_t packets_in_flight
    cdef readonly int64_t last_sent_ns
    cdef readonly int64_t loss_ns
    cdef readonly uint64_t delivered
    cdef readonly int64_t delivered_ns
    cdef int64_t _first_sent_ns
    cdef public list acked_tokens
    cdef public list acked_cargo
    cdef public Py_ssize_t acked_bytes
    cdef public Py_ssize_t acked_packets
    cdef public int64_t acked_sent_ns
    cdef public bint acked_largest
    cdef public uint64_t acked_after
    cdef public int64_t acked_flight_ns
    cdef public int64_t acked_flight_min_ns
    cdef public int64_t acked_flight_max_ns
    cdef public double delivery_rate
    cdef public list lost_tokens
    cdef public list lost_cargo
    cdef public Py_ssize_t lost_bytes
    cdef public Py_ssize_t lost_packets
    cdef public int64_t lost_sent_ns
    cdef public Py_ssize_t spurious
    cdef public Py_ssize_t spurious_distance
    cdef public Py_ssize_t spurious_bytes
    cdef bint _impossible
    cdef uint64_t _acked_newest
    cdef int64_t _rate_ns
    cdef Run _run

    def __cinit__(self):
        self._capacity = 64
        self._ring = <Sent*>calloc(self._capacity, sizeof(Sent))
        if self._ring == NULL:
            raise MemoryError
        self._cargo = [None] * 64
        self._largest_acked = -1
        self.loss_ns = -1
        self._run.channel = -1
        self.clear()

    def __dealloc__(self):
        free(self._ring)

    @property
    def span(self):
        """Numbers from the oldest packet still out to the newest."""
        return self._next - self._floor

    @property
    def largest_acked(self):
        """The largest number that was acknowledged, or -1."""
        return self._largest_acked

    cpdef clear(self):
        """Forget the findings of the last ack, once they were dealt with."""
        self.acked_tokens = []
        self.acked_cargo = []
        self.acked_bytes = self.acked_packets = 0
        self.acked_sent_ns = -1
        self.acked_after = 0
        self._acked_newest = 0
        self._rate_ns = 0
        self.acked_flight_ns = 0
        self.acked_flight_min_ns = self.acked_flight_max_ns = 0
        self.acked_largest = False
        self.delivery_rate = 0.0
        self.lost_tokens = []
        self.lost_cargo = []
        self.lost_bytes = self.lost_packets = 0
        self.lost_sent_ns = -1
        self.spurious = self.spurious_distance = self.spurious_bytes = 0

    cdef _grow(self):
        cdef uint64_t capacity = self._capacity * 2, number
        cdef Sent* ring = <Sent*>calloc(capacity, sizeof(Sent))
        cdef list cargo = [None] * capacity
        if ring == NULL:
            raise MemoryError
        number = self._next - self._capacity if self._next > self._capacity else 0
        while number < self._next:
            ring[number & (capacity - 1)] = self._ring[number & (self._capacity - 1)]
            cargo[number & (capacity - 1)] = self._cargo[number & (self._capacity - 1)]
            number += 1
        free(self._ring)
        self._ring = ring
        self._cargo = cargo
        self._capacity = capacity

    cdef Sent* _slot(self, uint64_t number) except NULL:
        cdef Sent* slot
        # Half of the ring is for those declared lost, whose acks may yet come.
        while 2 * (number - self._floor) >= self._capacity:
            if self.packets_in_flight == 0:
                self._floor = number
                break
            self._grow()
        slot = &self._ring[number & (self._capacity - 1)]
        slot.number = number
        self._next = number + 1
        return slot

    cdef _on_its_way(self, Sent* slot, int64_t now, Py_ssize_t size):
        slot.state = OUTSTANDING
        slot.sent_ns = now
        slot.size = size
        if self.packets_in_flight == 0:
            self.delivered_ns = now
            self._first_sent_ns = now
        slot.delivered = self.delivered
        slot.delivered_ns = self.delivered_ns
        slot.first_sent_ns = self._first_sent_ns
        self.bytes_in_flight += size
        self.packets_in_flight += 1
        self.last_sent_ns = now

    def record_silent(self, uint64_t number):
        """A packet that wants no acknowledgement: only its number is used up."""
        self._slot(number).state = NOTHING

    def record_datagram_run(
        self, uint64_t number, int64_t now, const uint32_t[::1] sizes, uint64_t token,
        const uint32_t[::1] tokens
    ):
        """Packets from ``number`` on, of ``sizes`` bytes; each holds as many datagrams as
        ``tokens`` says, the very first of which has ``token``.
        """
        cdef Py_ssize_t i
        if sizes.shape[0] != tokens.shape[0]:
            raise ValueError("sizes and tokens differ in length")
        for i in range(sizes.shape[0]):
            self.record_datagrams(number + <uint64_t>i, now, sizes[i], token, tokens[i])
            token += tokens[i]

    def record_skipped(self, uint64_t number):
        """A number that no packet has: who acknowledges it has not seen what it acknowledges."""
        self._slot(number).state = SKIPPED

    def record(self, uint64_t number, int64_t now, Py_ssize_t size, object cargo):
        """A packet whose ``cargo`` (any object, or None) is handed back when acked or lost."""
        cdef Sent* slot = self._slot(number)
        slot.kind = CARGO
        self._on_its_way(slot, now, size)
        self._cargo[number & (self._capacity - 1)] = cargo

    def record_pieces(
        self, uint64_t number, Py_ssize_t packets, int64_t now, Py_ssize_t size, uint8_t channel,
        uint64_t offset, uint32_t length
    ):
        """Packets from ``number`` on with a piece of one stream each, ``length`` bytes apart."""
        cdef Sent* slot
        cdef Py_ssize_t i
        for i in range(packets):
            slot = self._slot(number + <uint64_t>i)
            slot.kind = PIECE
            slot.channel = channel
            slot.first = offset + <uint64_t>i * length
            slot.many = length
            self._on_its_way(slot, now, size)

    cpdef record_datagrams(
        self, uint64_t number, int64_t now, Py_ssize_t size, uint64_t token, Py_ssize_t tokens
    ):
        """A packet of ``tokens`` datagrams, the first of which has ``token``."""
        cdef Sent* slot = self._slot(number)
        slot.kind = DATAGRAMS
        slot.first = token
        slot.many = <uint32_t>tokens
        self._on_its_way(slot, now, size)

    cdef _found(self, Sent* slot, list tokens, list cargos):
        """Hand back what a packet held."""
        cdef uint64_t token
        cdef object cargo
        cdef Run* run = &self._run
        if slot.kind == DATAGRAMS:
            for token in range(slot.first, slot.first + slot.many):
                tokens.append(token)
        elif slot.kind == PIECE:
            if run.channel == slot.channel and slot.first + slot.many == run.start:
                run.start = slot.first  # acks name the newest first
            elif run.channel == slot.channel and slot.first == run.end:
                run.end += slot.many
            else:
                self._end_run(cargos)
                run.channel = slot.channel
                run.start = slot.first
                run.end = slot.first + slot.many
        else:
            cargo = self._cargo[slot.number & (self._capacity - 1)]
            if cargo is not None:
                cargos.append(cargo)
                self._cargo[slot.number & (self._capacity - 1)] = None

    cdef _end_run(self, list cargos):
        if self._run.channel >= 0:
            cargos.append(
                [(self._run.channel, self._run.start, self._run.end - self._run.start)]
            )
            self._run.channel = -1

    cdef _one(self, uint64_t number, int64_t now):
        cdef Sent* slot = &self._ring[number & (self._capacity - 1)]
        cdef int64_t elapsed
        if slot.number != number or slot.state == NOTHING:
            return
        if slot.state == SKIPPED:
            self._impossible = True
            return
        if slot.state == LOST:
            slot.state = NOTHING
            self.acked_flight_max_ns = max(self.acked_flight_max_ns, now - slot.sent_ns)
            self.delivered += slot.size
            self.spurious += 1
            self.spurious_bytes += slot.size
            self.spurious_distance = max(
                self.spurious_distance, self._largest_acked - <int64_t>number
            )
            return
        slot.state = NOTHING
        self.bytes_in_flight -= slot.size
        self.packets_in_flight -= 1
        self.acked_bytes += slot.size
        self.acked_packets += 1
        elapsed = max(1, now - slot.sent_ns)
        self.acked_flight_ns += elapsed
        self.acked_flight_max_ns = max(self.acked_flight_max_ns, elapsed)
        if self.acked_flight_min_ns == 0 or elapsed < self.acked_flight_min_ns:
            self.acked_flight_min_ns = elapsed
        self.delivered += slot.size
        self.delivered_ns = now
        if number >= self._acked_newest:
            self._acked_newest = number
            self.acked_sent_ns = slot.sent_ns
            self.acked_after = slot.delivered
            self._first_sent_ns = slot.sent_ns
            # Acks that come in a bunch would make a rate that nobody sent at.
            self._rate_ns = max(now - slot.delivered_ns, slot.sent_ns - slot.first_sent_ns)
        self._found(slot, self.acked_tokens, self.acked_cargo)

    def acknowledge(self, uint32_t largest_low, bytes bitmap, int64_t now):
        """Take one ack frame; False if it names a packet that was never sent, or skipped."""
        cdef bint possible = self._acknowledge(largest_low, bitmap, now)
        self._end_run(self.acked_cargo)
        return possible

    cdef bint _acknowledge(self, uint32_t largest_low, bytes bitmap, int64_t now) except *:
        cdef uint64_t largest, number, value, oldest
        cdef Py_ssize_t words = len(bitmap) // 8, word, bit
        cdef const uint8_t* p = bitmap
        self._impossible = False
        largest = _expand(self._next, largest_low)
        if largest >= self._next:
            return False
        oldest = self._next - self._capacity if self._next > self._capacity else 0
        if largest >= oldest:
            if <int64_t>largest > self._largest_acked:
                self.acked_largest = (
                    self._ring[largest & (self._capacity - 1)].state == OUTSTANDING
                )
            self._one(largest, now)
        for word in range(words):
            value = 0
            for bit in range(8):
                value |= <uint64_t>p[8 * word + bit] << (8 * bit)
            if value == 0:
                continue
            for bit in range(64):
                if not (value >> bit) & 1:
                    continue
                if <uint64_t>(64 * word + bit) >= largest:
                    return False
                number = largest - 1 - <uint64_t>(64 * word + bit)
                if number < oldest:
                    continue  # not break: a later bit may name a number below 0
                self._one(number, now)
        if <int64_t>largest > self._largest_acked:
            self._largest_acked = <int64_t>largest
        # Only now, with all that this ack names: the newest is named first.
        if self.acked_packets and self._rate_ns > 0:
            self.delivery_rate = (self.delivered - self.acked_after) * 1e9 / self._rate_ns
        return not self._impossible

    def detect_lost(self, int64_t now, int64_t delay_ns, Py_ssize_t packets):
        """Declare lost what was sent ``packets`` before the largest acked, or ``delay_ns`` ago.

        Sets ``loss_ns`` to when the next one will be, or -1.
        """
        self._detect_lost(now, delay_ns, packets)
        self._end_run(self.lost_cargo)

    cdef _detect_lost(self, int64_t now, int64_t delay_ns, Py_ssize_t packets):
        cdef Sent* slot
        self.loss_ns = -1
        while <int64_t>self._floor <= self._largest_acked:
            slot = &self._ring[self._floor & (self._capacity - 1)]
            if slot.number == self._floor and slot.state == OUTSTANDING:
                if (
                    self._largest_acked - <int64_t>self._floor < packets
                    and slot.sent_ns + delay_ns > now
                ):
                    self.loss_ns = slot.sent_ns + delay_ns
                    return
                self._lose(slot)
            self._floor += 1

    cdef _lose(self, Sent* slot):
        slot.state = LOST
        self.bytes_in_flight -= slot.size
        self.packets_in_flight -= 1
        self.lost_bytes += slot.size
        self.lost_packets += 1
        self.lost_sent_ns = max(self.lost_sent_ns, slot.sent_ns)
        self._found(slot, self.lost_tokens, self.lost_cargo)

    def oldest_cargo(self):
        """The cargo of the oldest packet still out that has one: what a probe sends again."""
        cdef uint64_t number = self._floor
        cdef Sent* slot
        cdef object cargo
        while number < self._next:
            slot = &self._ring[number & (self._capacity - 1)]
            if slot.number != number or slot.state != OUTSTANDING:
                number += 1
                continue
            if slot.kind == PIECE:
                return [(slot.channel, slot.first, slot.many)]
            if slot.kind == CARGO:
                cargo = self._cargo[number & (self._capacity - 1)]
                if cargo is not None:
                    return cargo
            number += 1
        return None

    def tokens_out(self):
        """The tokens of all datagrams still out, oldest first."""
        cdef list tokens = []
        cdef uint64_t number, token
        cdef Sent* slot
        for number in range(self._floor, self._next):
            slot = &self._ring[number & (self._capacity - 1)]
            if slot.number == number and slot.state == OUTSTANDING and slot.kind == DATAGRAMS:
                for token in range(slot.first, slot.first + slot.many):
                    tokens.append(token)
        return tokens


cdef uint64_t _expand(uint64_t expected, uint32_t low) noexcept:
    cdef uint64_t half = <uint64_t>1 << 31
    cdef uint64_t whole = <uint64_t>1 << 32
    cdef uint64_t candidate = (expected & ~(whole - 1)) | low
    # Differences, for sums would overflow near 2^64.
    if expected > candidate and expected - candidate >= half and candidate < -whole:
        return candidate + whole
    if candidate > expected and candidate - expected > half and candidate >= whole:
        return candidate - whole
    return candidate
