"""Deep sleep: a node that forgets everything but its dump and its flash behaves bit for bit as one that stays awake."""

import random
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aoii.core.forecast import PROVISIONED
from aoii.core.frames import NodeSettings
from aoii.core.link_timing import TIMING
from aoii.core.store import BLOCK, NUMBER_SLOTS, RamStore
from aoii.edge.node import Node
from edge.predictors import Slope
from gateway_twin import GatewayTwin

LINK_PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "link.md"
KEY = bytes(range(16))
PERIOD_MS = 60_000
ROOM = NUMBER_SLOTS + 4  # so small that readings have to make room


def make(store: RamStore, chance: random.Random, number: int = 7, epoch: int = 1) -> Node:
    return Node(number, epoch, KEY, PROVISIONED, Slope(), store, chance.random)


class Pair:
    """The same life twice: one node stays awake, the other sleeps after everything that happens."""

    def __init__(self) -> None:
        self.flash = RamStore(ROOM)
        self.chance = random.Random(3)
        self.awake = make(RamStore(ROOM), random.Random(3))
        self.sleeper = make(self.flash, self.chance)

    def both(self, name: str, *arguments: object) -> list[bytes]:
        sends = getattr(self.awake, name)(*arguments)
        assert getattr(self.sleeper, name)(*arguments) == sends
        assert self.sleeper.sampled == self.awake.sampled or name != "sample"
        state = self.sleeper.dump()
        self.sleeper = make(self.flash, self.chance)
        assert self.sleeper.load(state)
        assert self.sleeper.dump() == state == self.awake.dump()
        assert self.sleeper.deadline_ms() == self.awake.deadline_ms()
        assert (self.sleeper.forecast, self.sleeper.settings) == (self.awake.forecast, self.awake.settings)
        assert self.sleeper.link.ring.waiting == self.awake.link.ring.waiting
        return [send.data for send in sends]


acts = st.lists(
    st.tuples(
        st.sampled_from(("sample", "sample", "sample", "fault", "due", "noise")),
        st.integers(-80, 80),  # how far the reading moves, hundredths
        st.sampled_from((0.0, 0.3, 0.3, 1.0)),  # loss, each way
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(acts, st.integers(0, 2**32), st.integers(0, 2**32 - 1))
def test_a_node_that_sleeps_after_everything_behaves_as_one_that_never_does(
    acts: list[tuple[str, int, float]], seed: int, boot_ms: int
) -> None:
    pair, chance = Pair(), random.Random(seed)
    gateway = GatewayTwin(KEY, PROVISIONED)
    gateway.settings = NodeSettings(40, 250, 60, 1800, 300, 2)
    now_ms, temperature_c = boot_ms, 2000
    for act, step_c, loss in acts:
        now_ms += PERIOD_MS if act in {"sample", "fault"} else 1
        tick_ms = now_ms % 2**32
        temperature_c += step_c
        if act == "sample":
            sends = pair.both("sample", tick_ms, temperature_c / 100, 50.0)
        elif act == "fault":
            sends = pair.both("sample", tick_ms, None, None)
        elif act == "due":
            now_ms = max(now_ms, pair.awake.deadline_ms() or now_ms)
            sends = pair.both("due", now_ms % 2**32)
        else:
            sends = pair.both("receive", bytes(22), tick_ms)
        while sends:
            data = sends.pop(0)
            answer = gateway.accept(data, now_ms) if chance.random() >= loss else None
            if answer is not None and chance.random() >= loss:
                now_ms += 400
                sends += pair.both("receive", answer, now_ms % 2**32)


def asleep() -> tuple[RamStore, bytes]:
    """A flash, and the dump of a node that has been awake for a while."""
    flash = RamStore()
    node, gateway = make(flash, random.Random(1)), GatewayTwin(KEY, PROVISIONED)
    for minute in range(5):
        for send in node.sample(minute * PERIOD_MS, 20.0 + minute, 50.0):
            answer = gateway.accept(send.data, minute * PERIOD_MS)
            assert answer is not None
            node.receive(answer, minute * PERIOD_MS + 500)
    return flash, node.dump()


def test_a_dump_is_small_enough_for_the_memory_that_stays_awake() -> None:
    _, state = asleep()

    assert len(state) < 500  # an ESP32 keeps 2048 bytes for a program, and the sample log needs some
    assert f"predictor: {len(state)} bytes" in LINK_PAGE.read_text(encoding="utf-8")


@settings(deadline=None)
@given(st.data())
def test_what_is_no_dump_of_this_node_changes_nothing(data: st.DataObject) -> None:
    flash, state = asleep()
    at = data.draw(st.integers(0, len(state) - 1))
    damaged = state[:at] + bytes((state[at] ^ data.draw(st.integers(1, 255)),)) + state[at + 1 :]
    node = make(flash, random.Random(1))
    before = node.dump()

    for wrong in (damaged, state[:at], state + b"\0", b"", data.draw(st.binary(max_size=600))):
        assert not node.load(wrong)

    assert node.dump() == before


def test_a_dump_of_another_node_or_epoch_is_not_loaded() -> None:
    flash, state = asleep()

    assert not make(RamStore(), random.Random(1), number=8).load(state)
    assert not make(RamStore(), random.Random(1), epoch=2).load(state)
    assert make(flash, random.Random(1)).load(state)


def test_a_dump_from_before_numbers_were_reserved_is_not_loaded() -> None:
    flash, state = asleep()
    node = make(flash, random.Random(1))
    assert node.load(state)
    for minute in range(5, 5 + 2 * BLOCK):
        node.sample(minute * PERIOD_MS, 20.0 + minute % 50, 50.0)
        node.due(minute * PERIOD_MS + TIMING.ack_window_ms)

    assert not make(flash, random.Random(1)).load(state)
