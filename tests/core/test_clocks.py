"""Offset and drift of a node's tick, from times that are told late, wrongly, or by a gateway whose clock steps."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aoii.core.clocks import DRIFT_LIMIT_PPM, MonotonicClock, UnixClock

UNIX_MS = 1_451_606_400_000
NOISE_MS = 2000
HOUR_MS = 3_600_000


class World:
    """True time, a tick that runs wrongly, and a gateway that tells the time."""

    def __init__(self, drift_ppm: float, seed: int = 1) -> None:
        self.clock = UnixClock(NOISE_MS)
        self.true_ms = 0.0
        self.stepped_ms = 0  # what the gateway's clock is off by
        self._rate = 1 + drift_ppm / 1e6
        self._chance = random.Random(seed)

    @property
    def tick_ms(self) -> int:
        return int(self.true_ms / self._rate)

    def pass_(self, ms: float) -> None:
        self.true_ms += ms

    def tell(self) -> None:
        """An acknowledgement that was on its way for up to NOISE_MS."""
        way_ms = self._chance.random() * NOISE_MS
        self.clock.synchronize(int(UNIX_MS + self.true_ms + self.stepped_ms - way_ms), self.tick_ms)

    def off_ms(self) -> float | None:
        """What the node's time is off by, from the gateway's."""
        unix_ms = self.clock.unix_ms(self.tick_ms)
        return None if unix_ms is None else unix_ms - UNIX_MS - self.true_ms - self.stepped_ms


def test_before_anybody_told_it_the_time_is_not_known() -> None:
    assert UnixClock(NOISE_MS).unix_ms(10**6) is None


def test_without_drift_the_time_goes_on_with_the_tick() -> None:
    clock = UnixClock(NOISE_MS)

    clock.synchronize(UNIX_MS, 5000)

    assert (clock.unix_ms(5000), clock.unix_ms(4000), clock.unix_ms(10**9)) == (
        UNIX_MS,
        UNIX_MS - 1000,
        UNIX_MS + 10**9 - 5000,
    )


@pytest.mark.parametrize("drift_ppm", [-30_000, -5_000, -40, 0, 40, 5_000, 30_000])
def test_the_drift_is_known_after_a_day_as_exactly_as_late_answers_allow(drift_ppm: int) -> None:
    world = World(drift_ppm)
    for _ in range(48):
        world.tell()
        world.pass_(HOUR_MS)

    assert abs(world.clock.drift_ppm - drift_ppm) <= 50
    world.pass_(24 * HOUR_MS)  # no answer for a day
    off_ms = world.off_ms()
    assert off_ms is not None
    assert abs(off_ms) <= NOISE_MS + 50e-6 * 24 * HOUR_MS + 1000


def test_what_the_way_of_an_answer_explains_is_no_drift() -> None:
    for seed in range(20):
        world = World(0, seed)
        for _ in range(200):
            world.tell()
            world.pass_(600_000)

        assert world.clock.drift_ppm == 0


@given(st.integers(-60_000, 60_000), st.lists(st.integers(1, 10**10), max_size=30), st.integers(0, 2**32))
def test_whatever_is_told_the_drift_is_bounded_and_time_runs_forward(
    drift_ppm: int, pauses: list[int], seed: int
) -> None:
    world, chance = World(drift_ppm, seed), random.Random(seed)
    for pause_ms in pauses:
        world.clock.synchronize(
            chance.randrange(2**42) if chance.random() < 0.3 else UNIX_MS + int(world.true_ms), world.tick_ms
        )
        world.pass_(pause_ms)

        assert abs(world.clock.drift_ppm) <= DRIFT_LIMIT_PPM
        now, later = world.clock.unix_ms(world.tick_ms), world.clock.unix_ms(world.tick_ms + 100)
        assert (now is None) == (later is None)
        assert now is None or (later is not None and 90 <= later - now <= 110)


def synchronized_world(drift_ppm: float = 40) -> World:
    world = World(drift_ppm)
    for _ in range(30):
        world.tell()
        world.pass_(HOUR_MS)
    return world


@pytest.mark.parametrize("step_ms", [-(10**11), -120_000, 120_000, 10**11])
def test_a_step_of_the_gateways_clock_is_used_when_it_is_confirmed(step_ms: int) -> None:
    world = synchronized_world()
    drift_ppm = world.clock.drift_ppm

    world.stepped_ms = step_ms
    world.tell()
    assert world.clock.unix_ms(world.tick_ms) is None  # it may be either of the two
    world.pass_(HOUR_MS)
    world.tell()

    off_ms = world.off_ms()
    assert off_ms is not None
    assert abs(off_ms) <= NOISE_MS
    assert world.clock.drift_ppm == drift_ppm  # the tick runs as it did


def test_a_single_wrong_time_changes_nothing() -> None:
    world = synchronized_world()
    drift_ppm = world.clock.drift_ppm

    world.clock.synchronize(UNIX_MS - 10**9, world.tick_ms)
    world.pass_(60_000)
    world.tell()

    off_ms = world.off_ms()
    assert off_ms is not None
    assert abs(off_ms) <= 2 * NOISE_MS
    assert world.clock.drift_ppm == drift_ppm


def test_a_tick_that_begins_to_run_otherwise_is_learned_anew() -> None:
    world = synchronized_world()
    tick_ms, true_ms = world.tick_ms, world.true_ms
    world._rate = 1.02
    world.true_ms = tick_ms * 1.02  # the tick goes on where it was,
    world.stepped_ms = int(true_ms - world.true_ms)  # and so does the gateway

    for _ in range(48):
        world.pass_(HOUR_MS)
        world.tell()

    assert abs(world.clock.drift_ppm - 20_000) <= 100


@settings(max_examples=50)
@given(st.integers(-50_000, 50_000), st.integers(0, 10**10))
def test_milliseconds_of_the_tick_and_of_the_world_are_each_others_inverse(drift_ppm: int, ms: int) -> None:
    clock = UnixClock(NOISE_MS)
    clock.drift_ppm = drift_ppm

    assert abs(clock.elapsed_from_tick(clock.tick_from_elapsed(ms)) - ms) <= 2


def test_a_late_first_time_is_better_than_none_and_gives_way_to_a_prompt_one() -> None:
    clock = UnixClock(NOISE_MS)
    clock.synchronize(UNIX_MS - 20_000, 0, late_ms=24_000)
    assert clock.unix_ms(0) == UNIX_MS - 20_000

    clock.synchronize(UNIX_MS + 40_000, 60_000, late_ms=24_000)  # no better than what it has
    assert clock.unix_ms(0) == UNIX_MS - 20_000
    clock.synchronize(UNIX_MS + 60_000, 60_000, late_ms=500)

    assert clock.unix_ms(60_000) == UNIX_MS + 60_000
    assert clock.drift_ppm == 0


@given(st.integers(0, 2**33), st.lists(st.integers(0, 2**31 - 1), max_size=20))
def test_a_wrapping_tick_counts_on(start_ms: int, passed: list[int]) -> None:
    tick, wrapped = MonotonicClock(), MonotonicClock()
    assert tick.unwrapped(start_ms) == start_ms
    wrapped.unwrapped(start_ms % 2**32)

    at_ms = start_ms
    for passed_ms in passed:
        at_ms += passed_ms
        assert tick.unwrapped(at_ms) == at_ms
        assert wrapped.unwrapped(at_ms % 2**32) == at_ms - start_ms + start_ms % 2**32


def test_a_tick_that_steps_back_stands_still() -> None:
    tick = MonotonicClock()
    tick.unwrapped(1000)

    assert tick.unwrapped(999) == 1000
