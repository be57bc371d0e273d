"""The ring of sent packets and its twin: one history, the same findings."""

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidereal.transport import _flight, flight_twin

FINDINGS = [
    *("acked_tokens", "acked_cargo", "acked_bytes", "acked_packets", "acked_sent_ns"),
    *("acked_largest", "delivery_rate", "lost_tokens", "lost_cargo", "lost_bytes"),
    *("lost_packets", "lost_sent_ns", "spurious", "spurious_distance", "bytes_in_flight"),
    *("packets_in_flight", "span", "loss_ns", "largest_acked", "delivered", "last_sent_ns"),
    *("acked_after", "acked_flight_ns", "acked_flight_min_ns", "spurious_bytes"),
    "acked_flight_max_ns",
]


def findings(flight):
    return {name: getattr(flight, name) for name in FINDINGS}


STEPS = st.one_of(
    st.tuples(st.just("datagrams"), st.integers(1, 40), st.integers(1, 3)),
    st.tuples(st.just("run"), st.integers(1, 40), st.integers(0, 3)),
    st.tuples(st.just("frames"), st.integers(1, 40), st.integers(0, 2)),
    st.tuples(st.just("pieces"), st.integers(1, 40), st.integers(0, 1)),
    st.tuples(st.just("silent"), st.integers(1, 5), st.just(0)),
    st.tuples(st.just("skipped"), st.just(1), st.just(0)),
    st.tuples(st.just("ack"), st.integers(-3, 150), st.integers(0, 2**128 - 1)),
    st.tuples(st.just("lost"), st.integers(1, 40), st.integers(1, 50)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_compiled_and_readable_find_the_same(steps):
    one, other = _flight.Flight(), flight_twin.Flight()
    number = token = now = 0
    noticed = []
    offsets = [0, 0]
    for kind, many, value in steps:
        now += 1_000_000
        if kind == "run":
            sizes = array("I", [100 + value + i for i in range(many)])
            tokens = array("I", [(value + i) % 4 for i in range(many)])
            for flight in (one, other):
                flight.record_datagram_run(number, now, sizes, token, tokens)
            number += many
            token += sum(tokens)
        elif kind in ("datagrams", "frames", "silent", "skipped"):
            for _ in range(many):
                for flight in (one, other):
                    if kind == "datagrams":
                        flight.record_datagrams(number, now, 100 + value, token, value)
                    elif kind == "frames":
                        flight.record(number, now, 50, [number] * value or None)
                    elif kind == "skipped":
                        flight.record_skipped(number)
                    else:
                        flight.record_silent(number)
                number += 1
                token += value if kind == "datagrams" else 0
        elif kind == "pieces":
            for flight in (one, other):
                flight.record_pieces(number, many, now, 60, value, offsets[value], 7)
            number += many
            offsets[value] += 7 * many
        elif kind == "ack":
            largest = number - 1 - many
            bitmap = (value & ((1 << max(0, largest)) - 1)).to_bytes(16, "little")
            results = [f.acknowledge(largest & 0xFFFFFFFF, bitmap, now) for f in (one, other)]
            assert results[0] == results[1]
        else:
            for flight in (one, other):
                flight.detect_lost(now, many * 1_000_000, value)
        assert findings(one) == findings(other)
        assert one.oldest_cargo() == other.oldest_cargo()
        assert one.tokens_out() == other.tokens_out()
        noticed += one.acked_tokens + one.lost_tokens
        one.clear()
        other.clear()
    assert sorted(noticed + one.tokens_out()) == list(range(token)), "each token once"


@pytest.mark.parametrize("flight", [_flight.Flight(), flight_twin.Flight()])
def test_delivery_rate_is_what_the_link_carries(flight):
    """10 packets of 1000 bytes, one each millisecond, acked 20 ms later: 1 MB/s."""
    for number in range(10):
        flight.record(number, number * 1_000_000, 1000, None)
    for number in range(10):
        flight.clear()
        assert flight.acknowledge(number, b"", (20 + number) * 1_000_000)
    assert flight.delivery_rate == pytest.approx(10_000 * 1e9 / 29e6)


@pytest.mark.parametrize("flight", [_flight.Flight(), flight_twin.Flight()])
def test_pieces_that_go_on_from_each_other_are_found_as_one(flight):
    """What of a stream arrived, and what was lost, is a few ranges, however many packets."""
    flight.record_pieces(0, 200, 0, 1200, 1, 5000, 1000)
    lost = set(range(60, 63))
    bitmap = sum(1 << (198 - number) for number in range(199) if number not in lost)
    assert flight.acknowledge(199, bitmap.to_bytes(32, "little"), 1_000_000)
    flight.detect_lost(1_000_000, 10**9, 32)
    assert sorted(flight.acked_cargo) == [[(1, 5000, 60_000)], [(1, 68_000, 137_000)]]
    assert flight.lost_cargo == [[(1, 65_000, 3000)]]
    assert flight.packets_in_flight == 0


@pytest.mark.parametrize("flight", [_flight.Flight(), flight_twin.Flight()])
def test_an_ack_of_what_was_never_sent_is_found_out_behind_what_is_forgotten(flight):
    """One word of the bitmap names a number too old to be known, and after it one below 0."""
    for number in range(100):
        flight.record_silent(number)
    assert flight.acknowledge(50, (1 << (49 - 35)).to_bytes(8, "little"), 1), "merely late"
    false = 1 << (49 - 35) | 1 << (49 + 1)
    assert not flight.acknowledge(50, false.to_bytes(8, "little"), 1)


@pytest.mark.parametrize("flight", [_flight.Flight(), flight_twin.Flight()])
def test_a_run_whose_columns_differ_in_length_is_refused_before_any_of_it(flight):
    with pytest.raises(ValueError, match="differ in length"):
        flight.record_datagram_run(0, 1, array("I", [1000, 1000]), 0, array("I", [1]))
    assert flight.packets_in_flight == 0
