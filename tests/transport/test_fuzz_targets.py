"""The fuzzer's targets hold for their seeds and for seeds that chance has changed."""

import random

import pytest

from transport.fuzz_targets import TARGETS, cut, joined


@pytest.mark.parametrize("name", TARGETS)
def test_the_fuzz_target_holds_for_its_seeds_and_their_neighbours(name):
    target, seeds = TARGETS[name]
    rng = random.Random(7)
    found = seeds()
    assert found
    for seed in found:
        target(seed)
    for _ in range(150):
        changed = bytearray(rng.choice(found))
        for _ in range(rng.randrange(1, 6)):
            if changed:
                changed[rng.randrange(len(changed))] = rng.randrange(256)
        target(bytes(changed[: rng.randrange(len(changed) + 1)]))
        target(rng.randbytes(rng.randrange(200)))


def test_pieces_survive_being_joined_and_cut():
    pieces = [b"", b"a", b"bc" * 300]
    assert list(cut(joined(pieces))) == pieces
