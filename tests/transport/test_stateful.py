"""Two endpoints, arbitrary calls, a network that does anything: what must hold, holds.

Each reliable message arrives once, in order, or the link ends with a reason; every
datagram has exactly one notice; memory stays within its bounds.
"""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidereal.errors import LimitError
from sidereal.transport import BulkReceived, LinkClosed, MessageReceived, TransportSettings
from sidereal.transport.codec import COMPILED, READABLE
from sidereal.transport.netsim import Conditions
from transport.pair import CLIENT, MS, SECOND, SERVER, Pair

SETTINGS = TransportSettings(
    receive_window_bytes=30_000,
    send_queue_bytes=100_000,
    datagram_queue_bytes=20_000,
    datagrams_unread_bytes=40_000,
    window_bytes_initial=20_000,
    window_bytes_min=5_000,
    window_bytes_max=100_000,
    handshake_timeout_ns=60 * SECOND,
)
SIDES = st.sampled_from(["client", "server"])


class TwoEndpoints(RuleBasedStateMachine):
    @initialize(
        seed=st.integers(0, 2**32 - 1),
        codecs=st.sampled_from([(COMPILED, COMPILED), (COMPILED, READABLE), (READABLE, COMPILED)]),
    )
    def connect(self, seed, codecs):
        self.pair = Pair(Conditions(delay_ns=10 * MS), seed=seed, settings=SETTINGS, codecs=codecs)
        self.pair.open()
        self.sent = {("client", c): [] for c in (0, 1)} | {("server", c): [] for c in (0, 1)}
        self.tokens = {"client": 0, "server": 0}
        self.closed = False
        self.serial = 0

    def side(self, name):
        return getattr(self.pair, name)

    def gone(self, side):
        """Whether the end was told, be it read or not."""
        return any(isinstance(e, LinkClosed) for e in [*side.events, *side.endpoint._events])

    @rule(
        name=SIDES,
        channel=st.integers(0, 1),
        size=st.sampled_from([0, 1, 100, 1159, 1160, 5000, 40_000]),
    )
    def send_message(self, name, channel, size):
        side = self.side(name)
        self.serial += 1
        data = self.serial.to_bytes(4, "little") + bytes(size)
        try:
            queued = side.endpoint.send(side.link, data, channel)
        except LimitError:
            return
        assert queued is not self.gone(side)
        if queued:
            self.sent[name, channel].append(data)

    @rule(
        name=SIDES,
        sizes=st.lists(st.sampled_from([0, 10, 500, 1171]), max_size=30),
        sequence=st.sampled_from([None, None, 0, 15]),
    )
    def send_datagrams(self, name, sizes, sequence):
        side = self.side(name)
        token = side.endpoint.send_datagrams(side.link, [bytes(size) for size in sizes], sequence)
        if self.gone(side):
            assert token == -1
        else:
            assert token == self.tokens[name]
            self.tokens[name] += len(sizes)

    @rule(
        conditions=st.builds(
            Conditions,
            loss=st.sampled_from([0.0, 0.0, 0.1, 0.5]),
            burst=st.sampled_from([1.0, 3.0]),
            delay_ns=st.sampled_from([0, 5 * MS, 100 * MS]),
            jitter_ns=st.sampled_from([0, 5 * MS, 50 * MS]),
            reorder=st.sampled_from([0.0, 0.3]),
            duplicate=st.sampled_from([0.0, 0.3]),
            corrupt=st.sampled_from([0.0, 0.1]),
            rate_bits_per_s=st.sampled_from([0.0, 1e6, 20e6]),
        )
    )
    def change_network(self, conditions):
        self.pair.net.conditions = conditions

    @rule(ms=st.sampled_from([0, 1, 20, 300]))
    def pass_time(self, ms):
        self.pair.run(ms * MS)

    @rule(name=SIDES)
    def stop_or_go_on_reading(self, name):
        self.side(name).reading = not self.side(name).reading

    @rule(data=st.binary(max_size=80), name=SIDES)
    def inject_garbage(self, data, name):
        side = self.side(name)
        other = SERVER if name == "client" else CLIENT
        side.endpoint.receive([(data, other), (b"\x15" + data, other)], self.pair.now)

    @precondition(lambda self: not self.closed)
    @rule(name=SIDES)
    def close(self, name):
        side = self.side(name)
        side.drain()
        side.endpoint.close(side.link, "enough", self.pair.now)
        self.closed = True

    @invariant()
    def memory_stays_within_its_bounds(self):
        for name in ("client", "server"):
            side = self.side(name)
            stats = side.endpoint.stats(side.link)
            if stats is None:
                continue
            assert stats.send_queue_bytes <= 2 * SETTINGS.send_queue_bytes
            assert stats.datagram_queue_bytes <= SETTINGS.datagram_queue_bytes
            connection = side.endpoint._links[side.link]
            assert connection.intake.unread <= SETTINGS.datagrams_unread_bytes
            for channel, stream in enumerate(connection._receive):
                kind = (MessageReceived, BulkReceived)[channel]
                unread = sum(
                    len(event.data) for event in side.endpoint._events if isinstance(event, kind)
                )
                whole = (40_004, 0)[channel]  # of control, the message being put together
                assert stream.waiting_bytes + unread <= SETTINGS.receive_window_bytes + whole

    @invariant()
    def messages_come_once_in_order(self):
        for name, other in (("client", "server"), ("server", "client")):
            for channel in (0, 1):
                got = [data for where, data in self.side(other).arrived if where == channel]
                assert got == self.sent[name, channel][: len(got)]

    def teardown(self):
        if not hasattr(self, "pair"):
            return
        pair = self.pair
        pair.net.conditions = Conditions(delay_ns=5 * MS)
        for side in (pair.client, pair.server):
            side.reading = True
        pair.run(30 * SECOND)
        self.messages_come_once_in_order()
        if not self.closed and not pair.client.closed and not pair.server.closed:
            for name, other in (("client", "server"), ("server", "client")):
                sent = sum(len(self.sent[name, channel]) for channel in (0, 1))
                assert len(self.side(other).messages) == sent, "healed, so all has arrived"
        for name in ("client", "server"):
            side = self.side(name)
            assert sorted(side.acked + side.lost) == list(range(self.tokens[name]))
            assert len(side.closed) <= 1
            if side.closed:
                assert side.closed[0].reason
                assert side.events[-1] is side.closed[0]
        if self.closed:
            assert pair.client.closed
            assert pair.server.closed
            for side in (pair.client, pair.server):
                assert side.endpoint.endpoint_stats().connections == 0


TestTwoEndpoints = TwoEndpoints.TestCase
TestTwoEndpoints.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
