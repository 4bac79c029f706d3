"""A model of node and gateway: whatever radio and power do, both ends hold the same forecast once it is acknowledged.

The node is the board's, the gateway's judgement is `gateway/node_state.py`; the radio between them loses, repeats,
delays and reorders packets and acknowledgements as Hypothesis likes, the node sleeps and loses its power, the
gateway restarts and wants other settings.
"""

import random

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aoii.core.forecast import PROVISIONED, Forecast
from aoii.core.frames import EVENT, MAC_BYTES, Ack, NodeSettings, Rejected, Uplink, decode_uplink, encode_ack
from aoii.core.link import Send
from aoii.core.store import NUMBER_SLOTS, RamStore
from aoii.edge.node import Node
from aoii.gateway import node_state
from aoii.gateway.readings import Instant
from edge.predictors import Slope
from stateful import model_settings

KEY = bytes(range(16))
EPOCH = 1
UNIX_MS = 1_451_606_400_000
HOUR_MS = 3_600_000
IN_FLIGHT = 12


def same(node: Forecast, gateway: Forecast) -> bool:
    """Whether two forecasts are the same but for their clocks."""
    return node[:-1] == gateway[:-1]


class Model(RuleBasedStateMachine):
    """One node, one gateway, and what is on its way between them."""

    def __init__(self) -> None:
        super().__init__()
        self.flash = RamStore(NUMBER_SLOTS + 300)  # so that nothing has to make room
        self.chance = random.Random(1)
        self.boot_ms = 0  # when the power came, in the world's time
        self.now_ms = 0
        self.temperature_c = 2000
        self.up: list[bytes] = []
        self.down: list[bytes] = []
        self.sent: dict[int, bytes] = {}  # by frame number
        self.submitted: set[int] = set()  # event counters
        self.readings: dict[int, tuple[float, float]] = {}  # what the gateway accepted, by event counter
        self.state: node_state.NodeState | None = None
        self.session = 1
        self.wanted = NodeSettings(50, 300, 60, 1800, 300, 1)
        self.node = self.new_node()

    def new_node(self) -> Node:
        return Node(7, EPOCH, KEY, PROVISIONED, Slope(), self.flash, self.chance.random)

    def tick_ms(self) -> int:
        return self.now_ms - self.boot_ms

    def send(self, sends: list[Send]) -> None:
        for send in sends:
            uplink = self.read(send.data)
            assert self.sent.setdefault(uplink.frame, send.data) == send.data, "one frame number, two contents"
            self.up = [*self.up, send.data][-IN_FLIGHT:]
        pending = self.node.link.pending
        if pending is not None and pending.kind == EVENT:
            self.submitted.add(pending.counter)

    def read(self, data: bytes) -> Uplink:
        uplink = decode_uplink(data, lambda _: KEY)
        assert isinstance(uplink, Uplink)
        return uplink

    # What the node does

    @rule(step_c=st.sampled_from((0, 10, -30, 60, -60, 120, -120)), late_ms=st.sampled_from((0, 0, 3000)))
    def sample(self, step_c: int, late_ms: int) -> None:
        self.now_ms += 1000 * self.node.settings.period_s + late_ms
        self.temperature_c += step_c
        self.send(self.node.sample(self.tick_ms(), self.temperature_c / 100, 50.0))

    @rule()
    def fail_to_sample(self) -> None:
        self.now_ms += 1000 * self.node.settings.period_s
        self.send(self.node.sample(self.tick_ms(), None, None))

    @rule()
    def run_timers(self) -> None:
        deadline_ms = self.node.deadline_ms()
        assume(deadline_ms is not None and deadline_ms - self.tick_ms() < HOUR_MS)
        self.now_ms = max(self.now_ms, self.boot_ms + (deadline_ms or 0))
        self.send(self.node.due(self.tick_ms()))

    @rule()
    def sleep(self) -> None:
        state = self.node.dump()
        self.node = self.new_node()
        assert self.node.load(state)

    @rule()
    def lose_power(self) -> None:
        self.boot_ms = self.now_ms
        self.node = self.new_node()

    # What the radio does

    @precondition(lambda self: self.up)
    @rule()
    def exchange_the_newest(self) -> None:
        """What overtakes all that are on their way, and is answered at once."""
        ack = self.accept(self.up.pop())
        if ack is not None:
            self.now_ms += 300
            self.send(self.node.receive(ack, self.tick_ms()))

    @precondition(lambda self: self.up)
    @rule(which=st.integers(0, IN_FLIGHT), copies=st.sampled_from((0, 0, 1)), answered=st.booleans())
    def carry_up(self, which: int, copies: int, answered: bool) -> None:
        data = self.up[which % len(self.up)] if copies else self.up.pop(which % len(self.up))
        ack = self.accept(data)
        if ack is not None and answered:
            self.down = [*self.down, ack][-IN_FLIGHT:]

    @precondition(lambda self: self.up)
    @rule(which=st.integers(0, IN_FLIGHT))
    def lose_up(self, which: int) -> None:
        self.up.pop(which % len(self.up))

    @precondition(lambda self: self.down)
    @rule(which=st.integers(0, IN_FLIGHT), copies=st.sampled_from((0, 0, 1)))
    def carry_down(self, which: int, copies: int) -> None:
        data = self.down[which % len(self.down)] if copies else self.down.pop(which % len(self.down))
        self.now_ms += 300
        self.send(self.node.receive(data, self.tick_ms()))

    # What the gateway does

    @rule(beta_t_c=st.integers(20, 80), tau=st.integers(1, 3))
    def want_other_settings(self, beta_t_c: int, tau: int) -> None:
        self.wanted = NodeSettings(beta_t_c, 300, 60, 1800, 300, tau)

    @rule()
    def restart(self) -> None:
        self.session += 1
        if self.state is not None:
            self.state = node_state.decode_state(node_state.encode_state(self.state))

    def accept(self, data: bytes) -> bytes | None:
        uplink = self.read(data)
        at = Instant(UNIX_MS + self.now_ms, True, self.now_ms, self.session)
        decision = node_state.accept(self.state, uplink, data[-MAC_BYTES:], EPOCH, self.wanted, at)
        if isinstance(decision, Rejected):
            assert decision.reason == "replay"
            return None
        if isinstance(decision, node_state.Accepted):
            self.state = decision.state
            event = decision.reading
            if event is not None:
                reading = (event.actual_t, event.actual_h)
                counter = event.identity.counter
                assert self.readings.setdefault(counter, reading) == reading, "one counter, two contents"
        unix_s, unix_ms = divmod(at.unix_ms, 1000)
        answer = decision.answer
        ack = Ack(7, EPOCH, uplink.frame, unix_s, unix_ms, answer.generation, answer.settings, 0)
        return encode_ack(ack, KEY)

    # What must hold

    @invariant()
    def both_ends_hold_the_same_trend_when_it_is_acknowledged(self) -> None:
        if self.node.is_acknowledged and self.node.forecast is not None:
            assert self.state is not None
            assert same(self.node.forecast, self.state.forecasts[0].forecast)

    @invariant()
    def settings_that_the_node_uses_are_what_the_gateway_means_by_their_generation(self) -> None:
        if self.node.link.generation and self.state is not None:
            meant = self.state.settings[self.node.link.generation]
            assert meant is None or meant == self.node.settings

    @invariant()
    def an_event_is_in_the_flash_or_at_the_gateway(self) -> None:
        assert self.submitted <= self.readings.keys() | self.waiting()

    def waiting(self) -> set[int]:
        """The numbers of the readings in the flash that are not acknowledged."""
        ring = self.node.link.ring
        return {counter for counter, kept in zip(ring._slots, ring._kept, strict=True) if counter and not kept}

    def teardown(self) -> None:
        """On a perfect radio everything arrives, and both ends agree."""
        self.up.clear()
        self.down.clear()
        self.sample(0, 0)
        for _ in range(1000):
            while self.up:
                ack = self.accept(self.up.pop(0))
                if ack is not None:
                    self.now_ms += 300
                    self.send(self.node.receive(ack, self.tick_ms()))
            deadline_ms = self.node.deadline_ms()
            if deadline_ms is None:
                break
            self.now_ms = max(self.now_ms, self.boot_ms + deadline_ms)
            self.send(self.node.due(self.tick_ms()))
        assert self.node.is_acknowledged
        assert self.node.link.ring.waiting == 0
        assert self.submitted <= self.readings.keys()
        self.both_ends_hold_the_same_trend_when_it_is_acknowledged()


TestModel = Model.TestCase
TestModel.settings = model_settings(50)
