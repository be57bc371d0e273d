"""A channel gives its process back, whoever floods it."""

from sidereal.runtime.channel import BATCHES_MAX, RECEIVE_BATCH, Channel


def test_a_peer_that_sends_faster_than_it_is_read_does_not_hold_the_process(monkeypatch):
    channel = Channel(("127.0.0.1", 0))
    read = []

    def flooded(count: int) -> list:
        read.append(count)
        assert len(read) <= BATCHES_MAX, "it never ends"
        return [(b"noise", ("127.0.0.1", 9))] * count

    endless = type(
        "Endless", (), {"receive_runs": staticmethod(flooded), "send": lambda *_: None}
    )()
    real, channel.socket = channel.socket, endless
    try:
        assert channel.pump() == []
    finally:
        channel.socket = real
        channel.close()
    assert read == [RECEIVE_BATCH] * BATCHES_MAX
