"""The readings in flight: the earliest deadline is found without looking at all of them."""

import random
import sys
from collections.abc import Callable
from types import FrameType

from aoii.broker.messages import Identity
from aoii.gateway.in_flight import STALE_LIMIT, Flight, InFlight
from aoii.gateway.readings import Item


def item(number: int) -> Item:
    return Item(number, Identity("7", 2, number), 1, b"", 0)


def calls(act: Callable[[], object]) -> int:
    """How many Python functions `act` calls."""
    count = 0

    def counted(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(counted)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


def test_the_work_for_the_next_deadline_does_not_grow_with_the_window() -> None:
    readings = InFlight(lambda: 0.5)
    for number in range(500):
        readings.launch(item(number), 5_000, number, is_fresh=False)

    assert calls(readings.first_due) < 10
    assert calls(lambda: readings.late(0)) < 10


def test_the_earliest_deadline_is_right_whatever_has_happened() -> None:
    chance = random.Random(1)
    readings = InFlight(chance.random)
    flights: dict[int, Flight] = {}
    for now_ms in range(5_000):
        number = chance.randrange(60)
        match chance.choice(("launch", "again", "gone", "hurry", "late")):
            case "launch" if number not in flights:
                readings.launch(item(number), 100, now_ms, is_fresh=True)
                flights[number] = readings._flights[item(number).identity]
            case "again" if number in flights:
                readings.launch_again(flights[number], chance.choice((0, 50, 400)), now_ms)
            case "gone" if flights.pop(number, None):
                readings.acknowledge(item(number).identity)
            case "hurry" if number == 0:
                readings.hurry(20, now_ms)
        by_age = [readings._flights[one] for one in readings._flights]
        if by_age:
            assert readings.first_due() is min(by_age, key=lambda one: one.due_ms)
        assert readings.late(now_ms) == sorted(
            (one for one in by_age if one.due_ms <= now_ms), key=lambda one: one.due_ms
        )

    assert len(readings._deadlines) <= 2 * len(flights) + STALE_LIMIT + 1
