"""The halves of a reliable channel, alone: overlaps, gaps, bounds, and the ranges below."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidereal.errors import LimitError, ProtocolError
from sidereal.limits import EARLY_PIECES_MAX
from sidereal.transport.layout import STREAM
from sidereal.transport.ranges import RangeSet
from sidereal.transport.reliable import ReceiveMessages, SendStream


def stream_of(*messages):
    return b"".join(len(m).to_bytes(4, "little") + m for m in messages)


def sender(window=1 << 20, queue=1 << 20):
    stream = SendStream(0, queue)
    stream.limit = window
    return stream


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=20), st.randoms(use_true_random=False))
def test_pieces_in_any_order_overlapping_and_repeated_give_the_messages_once(messages, rng):
    data = stream_of(*messages)
    cuts = [
        (start, min(len(data), start + rng.randrange(1, 40)))
        for start in (rng.randrange(len(data)) for _ in range(60 if data else 0))
    ]
    cuts += [(start, min(len(data), start + 7)) for start in range(0, len(data), 7)]
    rng.shuffle(cuts)
    stream = ReceiveMessages(0, 1 << 20)
    got = []
    for start, end in cuts:
        got += stream.receive(start, data[start:end])
    assert got == messages
    assert stream.next == len(data)
    assert stream.waiting_bytes == 0
    assert not stream._offsets


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_later_copy_cannot_change_what_was_delivered(rng):
    """Overlapping pieces with other bytes: the first that arrived in place counts."""
    data = stream_of(b"truth" * 10)
    stream = ReceiveMessages(0, 1000)
    assert stream.receive(10, data[10:20]) == []
    stream.receive(12, b"?" * 5)
    assert stream.receive(0, data[:10] + b"?" * rng.randrange(10)) == []
    assert stream.receive(15, b"??" + data[17:]) == [b"truth" * 10] or stream.next == len(data)


def test_pieces_that_never_join_are_bounded_in_bytes_and_in_number():
    stream = ReceiveMessages(0, 100_000)
    for i in range(EARLY_PIECES_MAX):
        stream.receive(2 * i + 1, b"x")
    with pytest.raises(ProtocolError, match=f"more than {EARLY_PIECES_MAX} pieces"):
        stream.receive(2 * EARLY_PIECES_MAX + 1, b"x")
    assert stream.waiting_bytes == EARLY_PIECES_MAX
    other = ReceiveMessages(0, 1000)
    for i in range(1, 1000):
        other.receive(i, b"x" * (1000 - i))
    assert other.waiting_bytes <= 1000


def test_message_lengths_in_pieces_of_one_byte():
    stream = ReceiveMessages(0, 10_000)
    data = stream_of(b"", b"a", b"", b"bc" * 100, b"")
    got = []
    for at in range(len(data)):
        got += stream.receive(at, data[at : at + 1])
    assert got == [b"", b"a", b"", b"bc" * 100, b""]


def test_credit_follows_reading():
    stream = ReceiveMessages(0, 1000)
    stream.receive(0, stream_of(b"x" * 596))
    assert not stream.credit_due, "the message has not been read"
    stream.unread = 0
    assert stream.credit_due
    assert stream.credit == 1600
    stream.told = stream.credit
    assert not stream.credit_due


def test_offsets_go_on_beyond_32_bits():
    send, receive = sender(window=2**40), ReceiveMessages(0, 1000)
    start = 2**32 - 50
    send.floor = send.next = send.end = receive.next = start
    receive.told = start + 1000
    send.push(b"a" * 100)
    got = []
    while (taken := send.take(40)) is not None:
        frame, (_, offset, length) = taken
        got += receive.receive(offset, frame[STREAM.size :])
        send.acked(offset, length)
    assert got == [b"a" * 100]
    assert send.floor == send.end == 2**32 + 54


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(0, 20_000), min_size=1, max_size=5),
    st.randoms(use_true_random=False),
)
def test_whatever_is_lost_goes_again_until_all_is_acked(sizes, rng):
    messages = [rng.randbytes(size) for size in sizes]
    send, receive = sender(), ReceiveMessages(0, 1 << 20)
    for message in messages:
        send.push(message)
    got, flying = [], []
    for _ in range(100_000):
        taken = send.take(rng.randrange(20, 2000))
        if taken is not None:
            flying.append(taken)
        if not flying:
            break
        frame, (_, offset, length) = flying.pop(rng.randrange(len(flying)))
        fate = rng.random()
        if fate < 0.5:
            got += receive.receive(offset, frame[STREAM.size :])
            send.acked(offset, length)
        elif fate < 0.6:  # arrived, but is thought lost
            got += receive.receive(offset, frame[STREAM.size :])
            send.lost(offset, length)
        else:
            send.lost(offset, length)
    assert got == messages
    assert send.queued_bytes == 0
    assert not send._blocks


def test_nothing_is_sent_beyond_the_credit():
    send = sender(window=10)
    send.push(b"x" * 100)
    assert send.take(1000)[1] == (0, 0, 10)
    assert send.take(1000) is None
    assert not send.pending
    send.limit = 12
    assert send.take(1000)[1] == (0, 10, 2)


def test_the_queue_has_a_bound_that_frees_with_acks():
    send = sender(queue=100)
    send.push(b"x" * 96)
    with pytest.raises(LimitError):
        send.push(b"")
    send.take(1000)
    send.acked(0, 50)
    send.push(b"y" * 46)
    with pytest.raises(LimitError):
        send.push(b"")


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50), st.integers(0, 50)), max_size=60))
def test_ranges_agree_with_a_set_of_numbers(operations):
    ranges, numbers = RangeSet(), set()
    for add, one, other in operations:
        start, end = min(one, other), max(one, other)
        missing = set(range(start, end)) - numbers
        assert {n for s, e in ranges.missing(start, end) for n in range(s, e)} == missing
        if add:
            ranges.add(start, end)
            numbers |= set(range(start, end))
        else:
            ranges.remove(start, end)
            numbers -= set(range(start, end))
        parts = list(ranges)
        assert {n for s, e in parts for n in range(s, e)} == numbers
        assert all(s < e for s, e in parts)
        assert all(one[1] < two[0] for one, two in itertools.pairwise(parts))
        assert bool(ranges) == bool(numbers)
