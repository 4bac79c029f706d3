"""What nodes are asked for over the air, with a model of a node's ring that answers and forgets."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.broker.repair_messages import Finding
from aoii.core.forecast import HOLD
from aoii.core.frames import BACKFILL, EVENT, HEARTBEAT, Uplink
from aoii.gateway.air_asks import (
    COUNTER_LIMIT,
    DAILY_LIMIT,
    DAY_MS,
    FARTHEST,
    PATIENCE_MS,
    RANGES_LIMIT,
    SILENT_AFTER,
    UNHEARD_MS,
    AirAsks,
    AirResult,
    Learned,
)
from aoii.gateway.findings import NodeEpoch

NODE = NodeEpoch("7", 2)
HUGE = 2**63 - 1


def event(counter: int, frame: int | None = None) -> Uplink:
    return uplink(counter, EVENT, 0, frame)


def answer(counter: int, target: int, frame: int | None = None) -> Uplink:
    """A recalled reading; `target` is negative where the node cannot prove that nothing lies between."""
    return uplink(counter, BACKFILL, target, frame)


def uplink(counter: int, flags: int, answers: int, frame: int | None = None) -> Uplink:
    return Uplink(7, 2, counter if frame is None else frame, counter, 0, 2150, 4000, HOLD, flags, 1, 0, answers)


def wanting(*ranges: tuple[int, int], now_ms: int = 0) -> AirAsks:
    air = AirAsks()
    for first, last in ranges:
        assert air.want(NODE, first, last, False, now_ms) == []
    return air


def test_a_node_of_which_nothing_is_wanted_is_asked_for_nothing() -> None:
    assert AirAsks().learn(event(9), True, 0) == Learned()
    assert wanting((3, 3)).learn(event(9)._replace(node=8), True, 0) == Learned()
    assert wanting((3, 3)).learn(event(9)._replace(epoch=3), True, 0) == Learned()


def test_the_highest_wanted_number_below_the_acknowledged_one_is_asked_for() -> None:
    air = wanting((3, 4), (6, 6))

    assert air.learn(event(9), True, 0) == Learned(3, [], ["asked"])
    assert air.learn(answer(6, 6), True, 0) == Learned(2, [], ["answered", "recovered", "asked"])
    assert air.learn(answer(4, 4), True, 0) == Learned(1, [], ["answered", "recovered", "asked"])
    assert air.learn(answer(3, 3), True, 0) == Learned(0, [], ["answered", "recovered"])
    assert air.learn(event(10), True, 0) == Learned()


def test_a_number_far_back_is_reached_in_hops() -> None:
    air = wanting((10, 10))

    assert air.learn(event(100), True, 0).again == FARTHEST
    assert air.learn(answer(69, 70), True, 0).again == FARTHEST
    assert air.learn(answer(39, 39), True, 0).again == 29
    assert air.learn(answer(9, 10), True, 0).findings == [Finding(10, 10, "void")]


@pytest.mark.parametrize(("sign", "kind"), [(1, "void"), (-1, "unknown")])
def test_an_answer_accounts_for_what_lies_between_its_reading_and_the_number_asked_for(sign: int, kind: str) -> None:
    air = wanting((2, 8))
    air.learn(event(9), True, 0)

    learned = air.learn(answer(5, sign * 8), True, 0)

    assert learned.findings == [Finding(6, 8, kind)]  # type: ignore[arg-type]
    assert learned.again == 1


@pytest.mark.parametrize(("sign", "kind"), [(1, "void"), (-1, "unknown")])
def test_an_answer_above_the_number_asked_for_accounts_for_all_below(sign: int, kind: str) -> None:
    air = wanting((1, 3), (5, 8))
    air.learn(event(9), True, 0)

    assert air.learn(answer(9, sign * 8), True, 0).findings == [
        Finding(1, 3, kind), Finding(5, 8, kind)  # type: ignore[arg-type]
    ]  # fmt: skip


def test_what_this_gateway_had_is_forgotten_and_not_void() -> None:
    air = AirAsks()
    air.want(NODE, 2, 3, True, 0)
    air.want(NODE, 4, 4, False, 0)

    learned = air.learn(answer(9, 8), True, 0)

    assert learned.findings == [Finding(2, 3, "forgotten"), Finding(4, 4, "void")]


def test_a_lost_acknowledgement_is_repeated_with_its_question_and_counts_once() -> None:
    air = wanting((3, 3))

    assert air.learn(event(9), True, 0) == Learned(6, [], ["asked"])
    assert air.learn(event(9), False, 0) == Learned(6, [], [])  # the same frame
    assert air.learn(event(9, frame=10), True, 0) == Learned(6, [], [])  # the same reading in a new frame


@pytest.mark.parametrize("flags", [HEARTBEAT, BACKFILL])
def test_a_node_that_goes_on_without_an_answer_is_silent(flags: int) -> None:
    air = wanting((3, 5))
    for counter in range(10, 10 + SILENT_AFTER):
        assert air.learn(uplink(counter, flags, 0), True, 0).results == ["asked"]

    learned = air.learn(uplink(20, flags, 0), True, 0)

    assert learned == Learned(0, [Finding(3, 5, "silent")], ["silent"])
    assert air.learn(event(21), True, 0) == Learned()


def test_a_node_that_may_have_heard_no_question_is_not_silent() -> None:
    """The way down fails for hours: each event takes the place of one whose acknowledgement was lost."""
    air = wanting((3, 3))
    for counter in range(10, 100):
        assert air.learn(event(counter), True, counter).findings == []
    assert air.learn(answer(3, 3), True, 100).results == ["answered", "recovered"]


def test_a_node_that_sends_nothing_but_events_is_silent_after_a_day() -> None:
    air = wanting((3, 5))
    for counter in range(10, 10 + SILENT_AFTER):
        assert air.learn(event(counter), True, 0).results == ["asked"]

    assert air.learn(event(30), True, UNHEARD_MS - 1).findings == []
    assert air.learn(event(31), True, UNHEARD_MS).findings == [Finding(3, 5, "silent")]


def test_readings_that_are_repeated_do_not_make_a_node_silent() -> None:
    air = wanting((3, 5))

    for _ in range(10):
        assert air.learn(event(10), False, 0).findings == []
        assert air.learn(event(10, frame=99), True, 0).findings == []


def test_an_answer_of_any_kind_shows_that_the_node_is_not_silent() -> None:
    air = wanting((3, 3))
    for counter in range(100, 100 + 10 * SILENT_AFTER):
        air.learn(event(counter), True, 0)
        assert air.learn(answer(50, counter - FARTHEST), True, 0).findings == []


def test_a_node_is_asked_so_often_in_a_day_and_not_more() -> None:
    results: list[AirResult] = []
    air = wanting((1, 1))
    for number in range(DAILY_LIMIT + 5):
        air.want(NODE, 1, 1, False, 0)
        results += air.learn(event(10 + number), True, 0).results
        air.learn(answer(9 + number, 10 + number), True, 0)

    assert results.count("asked") <= DAILY_LIMIT
    assert results[-1] == "limited"
    assert air.learn(event(400), True, DAY_MS - 1).again == 0
    assert air.learn(event(401), True, DAY_MS).again == FARTHEST


def test_a_whole_ring_comes_back_in_one_day_before_new_readings_push_it_out() -> None:
    last = 126
    air = wanting((1, last))
    wanted, newest = set(range(1, last + 1)), last + 1
    again = air.learn(event(newest), True, 0).again
    at = newest
    while again:
        at -= again
        wanted.discard(at)
        again = air.learn(answer(at, at), True, 0).again

    assert wanted == set()


def test_a_number_that_nobody_asks_for_any_more_is_given_up() -> None:
    air = wanting((3, 3))

    assert air.learn(event(9), True, PATIENCE_MS - 1).again == 6
    assert air.learn(event(10), True, PATIENCE_MS) == Learned()


def test_numbers_that_a_node_has_not_used_yet_are_not_waited_for() -> None:
    air = wanting((5, COUNTER_LIMIT))

    learned = air.learn(event(9), True, 0)

    assert learned.findings == [Finding(10, COUNTER_LIMIT, "silent")]
    assert learned.again == 1


def test_a_backfill_says_nothing_of_higher_numbers() -> None:
    assert wanting((5, 6)).learn(answer(3, 0), True, 0).findings == []


def test_numbers_that_no_question_can_name_are_silent_at_once() -> None:
    air = AirAsks()

    assert air.want(NODE, 0, HUGE, False, 0) == [Finding(0, 0, "silent"), Finding(COUNTER_LIMIT + 1, HUGE, "silent")]
    assert air.want(NODE, HUGE, HUGE, True, 0) == [Finding(HUGE, HUGE, "forgotten")]
    assert air.wanted(NODE, 0, HUGE) == [(1, COUNTER_LIMIT)]


def test_memory_is_bounded_and_the_newest_numbers_stay() -> None:
    air = wanting(*((2 * number + 1, 2 * number + 1) for number in range(10 * RANGES_LIMIT)))

    wanted = air.wanted(NODE, 0, HUGE)

    assert len(wanted) == RANGES_LIMIT
    assert wanted[-1] == (20 * RANGES_LIMIT - 1, 20 * RANGES_LIMIT - 1)


@dataclass
class Ring:
    """A node's ring: it forgets the lowest number first, and knows the highest that it has forgotten."""

    size: int
    held: set[int] = field(default_factory=set)
    floor: int = 0

    def hold(self, counter: int) -> None:
        self.held.add(counter)
        while len(self.held) > self.size:
            self.floor = max(self.floor, min(self.held))
            self.held.remove(min(self.held))

    def recall(self, target: int) -> Uplink:
        below = [one for one in self.held if one <= target]
        counter = max(below) if below else min(self.held)
        left_out = range(counter + 1 if below else 1, target + 1)
        is_proof = all(number > self.floor for number in left_out)
        return answer(counter, target if is_proof else -target)


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 6))
def test_every_wanted_number_comes_back_or_is_accounted_for_and_none_is_void_that_was_acknowledged(
    seed: int, size: int, loss: int
) -> None:
    chance = random.Random(seed)
    ring = Ring(size)
    acknowledged = {number for number in range(1, 200) if chance.random() < 0.7}
    for number in sorted(acknowledged):
        ring.hold(number)
    wanted = {number for number in range(1, 200) if chance.random() < 0.2}
    air = wanting(*((number, number) for number in wanted))
    found: dict[int, str] = {}
    arrived: set[int] = set()
    top, day, packets = 200, 0, 0

    while air.wanted(NODE, 0, HUGE):
        ring.hold(top)
        frame, is_new = event(top), True
        while True:
            learned = air.learn(frame, is_new, day * DAY_MS)
            packets += 1
            arrived.add(frame.counter)
            for finding in learned.findings:
                found |= dict.fromkeys(range(finding.first, finding.last + 1), finding.kind)
            if chance.randrange(10) < loss:  # the acknowledgement is lost, so the frame comes again
                is_new = False
                continue
            if not learned.again:
                break
            frame, is_new = ring.recall(frame.counter - learned.again), True
        top += 1
        day += 1
        for first, last in air.wanted(NODE, 0, HUGE):
            air.want(NODE, first, last, False, day * DAY_MS)  # the server asks every day
        assert packets < 5000

    assert wanted <= arrived | found.keys()
    assert {number for number, kind in found.items() if kind == "void"} & acknowledged == set()
    assert "silent" not in found.values()
    assert wanted & ring.held <= arrived
