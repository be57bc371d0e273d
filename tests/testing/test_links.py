"""A simulated link keeps the transport's promise: messages arrive in order, whatever holds it."""

from functools import partial
from random import Random

import pytest

from sidereal.testing.clocks import Clockwork
from sidereal.testing.links import Pipe, Weather


@pytest.mark.parametrize("seed", range(20))
def test_messages_keep_their_order_however_often_the_pipe_is_held(seed):
    random, clock = Random(seed), Clockwork()
    pipe = Pipe(clock, random, Weather(delay_ns=50, jitter_ns=30, datagram_loss=0.0))
    arrived: list[int] = []
    held = 0
    for number in range(300):
        pipe.message(partial(arrived.append, number))
        if random.random() < 0.2:
            pipe.hold()
            held += 1
        elif held and random.random() < 0.3:
            pipe.release()
            held -= 1
        clock.run_until(clock.now + random.randrange(60), lambda: None)
    for _ in range(held):
        pipe.release()
    clock.run_until(clock.now + 10_000, lambda: None)
    assert arrived == list(range(300))
