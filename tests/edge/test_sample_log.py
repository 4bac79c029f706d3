"""The predictor that sleeps: whatever it forgets meanwhile, it says what one says that never slept."""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aoii.core import trigger
from aoii.core.learner import Learner
from aoii.edge.drivers.board_flash import DoubleBuffer
from aoii.edge.sample_log import SampleLog
from parts.models import Disk

EPSILON = (50, 300)


class Nights:
    """A sample log that is built anew before every call, with all that lasts in between."""

    def __init__(self, capacity: int) -> None:
        self.disk = Disk()
        self.capacity = capacity
        self.state: bytes | None = None
        self.replayed = 0
        self.lost = 0

    def log(self) -> SampleLog:
        log = SampleLog(*EPSILON, Learner, DoubleBuffer(self.disk, "learner"), self.feed_watchdog, self.capacity)
        if self.state is not None:
            log.load(self.state)
        return log

    def night(self, log: SampleLog) -> None:
        self.state = log.dump()
        self.lost += log.lost

    def feed_watchdog(self) -> None:
        self.replayed += 1


def samples(count: int, seed: int = 3) -> list[tuple[int, int, int, int | None]]:
    chance = random.Random(seed)
    temperature, humidity, day = 2000.0, 5000.0, 0
    found: list[tuple[int, int, int, int | None]] = []
    for _ in range(count):
        temperature += chance.gauss(0, 15)
        humidity = min(9900, max(100, humidity + chance.gauss(0, 80)))
        steps = chance.choice((1, 1, 1, 1, 1, 1, 2, 3, 40, 70_000))
        day = (day + steps * 60_000) % 86_400_000
        found.append((round(temperature), round(humidity), steps, None if len(found) < 5 else day))
    return found


@pytest.mark.parametrize("capacity", [1, 7, 64])
def test_a_sample_log_that_sleeps_after_every_sample_is_the_learner_that_never_slept(capacity: int) -> None:
    awake, nights = Learner(*EPSILON), Nights(capacity)

    for number, sample in enumerate(samples(400)):
        log = nights.log()
        awake.observe(*sample)
        log.observe(*sample)
        if number % 13 == 12:
            assert log.trend(0, 0) == awake.trend(0, 0)
        if number == 200:
            awake.retune(40, 250)
            log.retune(40, 250)
        nights.night(log)

    log = nights.log()
    log.trend(0, 0)
    assert DoubleBuffer(nights.disk, "learner").load() == awake.dump()
    assert nights.lost == 0


def test_the_learner_sleeps_until_a_trend_is_wanted_or_the_page_is_full() -> None:
    nights = Nights(64)
    log = nights.log()

    for sample in samples(63):
        log.observe(*sample)
    before = nights.replayed, nights.disk.writes
    log.trend(0, 0)

    assert before == (0, 0)
    assert (nights.replayed, nights.disk.writes) == (63, 1)


def test_a_full_page_wakes_the_learner_by_itself() -> None:
    nights = Nights(10)
    log = nights.log()

    for sample in samples(25):
        log.observe(*sample)

    assert nights.replayed == 20
    assert len(log.dump()) < 10 * 9 + 20


def test_after_a_power_cut_it_goes_on_from_the_flash_as_after_a_long_gap() -> None:
    before, after = samples(64), samples(30, seed=4)
    nights, awake = Nights(64), Learner(*EPSILON)
    for sample in before:
        nights.log().observe(*sample) if nights.capacity == 0 else None
        awake.observe(*sample)
    log = nights.log()
    for sample in before:
        log.observe(*sample)

    nights.state = None  # the power was away
    log = nights.log()
    first, *others = after
    awake.observe(first[0], first[1], 1000, first[3])
    log.observe(first[0], first[1], 1, first[3])  # the node does not know either
    for sample in others:
        awake.observe(*sample)
        log.observe(*sample)

    assert log.trend(0, 0) == awake.trend(0, 0)


def test_after_a_power_cut_the_gateways_thresholds_find_what_was_learned_with_them() -> None:
    nights = Nights(64)
    log = nights.log()
    log.retune(40, 250)
    for sample in samples(100):
        log.observe(*sample)
    log.trend(0, 0)
    learned = DoubleBuffer(nights.disk, "learner").load()

    nights.state = None
    log = nights.log()
    log.observe(2000, 5000, 1, None)  # before the first acknowledgement
    log.retune(40, 250)
    log.observe(2000, 5000, 1, None)
    log.trend(0, 0)

    expected = Learner(40, 250)
    assert expected.load(learned)
    expected.observe(2000, 5000, 1000, None)
    assert DoubleBuffer(nights.disk, "learner").load() == expected.dump()


def test_a_flash_that_lost_the_learner_costs_what_was_learned_and_is_counted() -> None:
    nights = Nights(8)
    log = nights.log()
    for sample in samples(20):
        log.observe(*sample)
    nights.night(log)
    nights.disk.files.clear()

    log = nights.log()
    trend = log.trend(0, 0)

    fresh = Learner(*EPSILON)
    for sample in samples(20)[16:]:
        fresh.observe(*sample)
    assert trend == fresh.trend(0, 0)
    assert log.lost == 1


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(-4000, 8500), st.integers(0, 10_000), st.integers(1, 100_000)), max_size=20))
def test_a_dump_carries_any_sample_that_a_sensor_can_give(readings: list[tuple[int, int, int]]) -> None:
    one = Nights(64).log()
    other = Nights(64).log()

    for temperature_c, humidity_c, steps in readings:
        one.observe(temperature_c, humidity_c, steps, 86_399_999)
    other.load(one.dump())

    assert other.dump() == one.dump()
    assert len(one.dump()) == struct.calcsize("<BHHI") + 9 * len(readings)
    assert trigger.AHT20.high_t_c == 8500
