"""A node that sleeps deeply after every turn, on the models of its parts: the same to the bit as one that never slept.

Then the same node with its power cut at every write of its flash, and with a sensor that fails.
"""

from array import array
from collections.abc import Callable

import pytest

from aoii.core import trigger
from aoii.core.frames import BACKFILL, EVENT, HEARTBEAT, LOW_BATTERY, SENSOR_FAULT
from aoii.core.learner import Learner
from aoii.edge.node import FAULT_SAMPLES
from aoii.simulation import recordings
from parts import models
from parts.models import PowerCut
from parts.world import SETTINGS, Counting, World, walk

Make = Callable[[int, int], Learner] | Callable[[int, int], Counting]


def surfrad() -> list[tuple[int, int]]:
    (series,) = recordings.parse(None)
    return list(zip(series.temperature_c, series.humidity_c, strict=True))


def knowledge(thing: object, seen: int = 0) -> object:
    """Every attribute of an object and of the objects in it, whatever it is called.

    Left out are what it was handed, and what its last sample was, which is asked for in the same turn only.
    """
    if isinstance(thing, (int, float, str, bytes, tuple, list, dict, type(None))):
        return thing
    if isinstance(thing, (array, bytearray)):
        return list(thing)
    assert seen < 5
    return {
        name: knowledge(value, seen + 1)
        for name, value in vars(thing).items()
        if not callable(value) and name not in {"_store", "_predictor", "sampled", "fault"}
    }


@pytest.mark.parametrize("loss", [0, 25, 150])
def test_a_node_that_sleeps_after_every_turn_is_the_one_that_never_slept(loss: int) -> None:
    readings = walk(400)
    awake, asleep = (World(readings, loss, is_deep, Counting) for is_deep in (False, True))

    awake.go_on(400)
    asleep.go_on(400)

    assert asleep.starts == asleep.wakes + 1 > 400
    assert asleep.digest() == awake.digest()
    assert knowledge(asleep.node) == knowledge(awake.node)
    assert asleep.learned() == awake.learned()
    assert asleep.said == awake.said
    assert asleep.disk.files["slots.bin"] == awake.disk.files["slots.bin"]
    assert asleep.chip.faults == []


def test_so_it_is_with_the_learner_on_a_recorded_day() -> None:
    awake, asleep = (World(surfrad(), 12, is_deep, Learner) for is_deep in (False, True))

    awake.go_on(1440)
    asleep.go_on(1440)

    assert asleep.digest() == awake.digest()
    assert asleep.learned() == awake.learned()
    assert asleep.most_laid < 1200  # of the 2048 bytes; nothing went to the flash
    assert "sleep_store.0" not in asleep.disk.files
    # Figures of docs/explanation/board.md.
    saved = asleep.disk.written["learner.0"] + asleep.disk.written["learner.1"]
    assert saved < 120
    assert asleep.disk.written["slots.bin"] < 300


def test_what_is_too_much_for_rtc_memory_goes_through_the_flash() -> None:
    awake = World(walk(120), 60, False, Counting)
    asleep = World(walk(120), 60, True, Counting, rtc_bytes=200)

    awake.go_on(120)
    asleep.go_on(120)

    assert asleep.disk.written["sleep_store.0"] > 50
    assert asleep.digest() == awake.digest()


def test_a_reset_that_is_no_end_of_a_sleep_repeats_no_number() -> None:
    world = World(walk(300), 60, True, Counting)
    for _ in range(20):
        world.go_on(7)
        world.board.step()
        world.start()  # the watchdog: RTC memory is as it was, but was taken up already
    world.go_on(60)

    assert world.starts - world.wakes == 21
    assert_nothing_repeated_or_lost(world)


def assert_nothing_repeated_or_lost(world: World) -> None:
    """Each counter has one content, and every event that was on the air is at the gateway."""
    contents: dict[int, tuple[int, int]] = {}
    for counter, _, temperature_c, humidity_c in world.sent:
        assert contents.setdefault(counter, (temperature_c, humidity_c)) == (temperature_c, humidity_c)
    events = {counter for counter, flags, *_ in world.sent if flags & EVENT}
    assert events
    assert events <= world.gateway.readings.keys()


def short_life(cut_at: int, share: int) -> World:
    """A gateway that goes away and comes back, and a power cut at one write of the flash."""
    readings = [(2000 + 70 * (at % 5), 5000 + 11 * at) for at in range(60)]  # an event a minute
    world = World(readings, 40, True, Counting, capacity=8)
    world.disk.cut_at, world.disk.cut_share = cut_at, share
    for minutes, gateway_is_there, loss in ((6, True, 40), (8, False, 0), (8, True, 40), (10, True, 0)):
        world.gateway_is_there, world.loss = gateway_is_there, loss
        until_ms = world.clock.now_ms() + 60_000 * minutes
        while world.clock.now_ms() < until_ms:
            try:
                world.step()
            except PowerCut:
                world.cut_power()
    return world


@pytest.mark.parametrize("share", [0, 2, 4])
def test_a_power_cut_at_any_write_repeats_no_number_and_loses_no_event(share: int) -> None:
    writes = short_life(-1, 0).disk.writes
    cuts = 0
    cut_writes = range(1, writes, 1 if share == 2 else 3)  # the first makes the file, before there is a node
    for cut_at in cut_writes:
        world = short_life(cut_at, share)

        cuts += world.starts - world.wakes - 1
        assert_nothing_repeated_or_lost(world)
        assert world.chip.faults == []

    assert writes > 60
    assert cuts == len(cut_writes)


@pytest.mark.parametrize(
    ("break_it", "fault"),
    [
        (lambda chip: setattr(chip, "is_there", False), trigger.ABSENT),
        (lambda chip: setattr(chip, "garble", 10**6), trigger.ABSENT),
        (lambda chip: setattr(chip, "is_busy_for_ever", True), trigger.ABSENT),
    ],
)
def test_a_sensor_that_fails_is_told_and_nothing_is_learned(
    break_it: Callable[[models.Aht20], None], fault: str
) -> None:
    world = World(surfrad(), 0, True, Counting)
    world.go_on(30)
    learned, sent = world.learned(), len(world.sent)

    break_it(world.aht20)
    world.go_on(FAULT_SAMPLES + 2)

    flags = [flags for _, flags, *_ in world.sent[sent:]]
    assert world.fault == fault
    assert flags == [HEARTBEAT | SENSOR_FAULT]
    assert world.learned() == learned
    assert world.said[-1] == f"sensor: {fault}"


def test_a_reading_out_of_range_is_told_and_not_learned_from() -> None:
    world = World(surfrad(), 0, True, Counting)
    world.go_on(30)
    learned, sent = world.learned(), len(world.sent)

    world.aht20.raw = b"\xff\xff\xff\xff\xff"  # 150 °C, 100 %RH
    world.go_on(FAULT_SAMPLES + 2)

    assert world.fault == trigger.RANGE
    assert [flags for _, flags, *_ in world.sent[sent:]] == [HEARTBEAT | SENSOR_FAULT]
    assert world.learned() == learned


def test_a_stuck_sensor_is_told_and_not_learned_from() -> None:
    world = World([(2100, 4500)], 0, True, Counting)
    world.go_on(trigger.STUCK_SAMPLES)
    learned, sent = world.learned(), len(world.sent)

    world.go_on(65)

    assert world.fault == trigger.STUCK
    assert len(world.sent) > sent
    assert all(flags & SENSOR_FAULT for _, flags, *_ in world.sent[sent:])
    assert world.learned() == learned


def test_a_sensor_that_recovers_is_used_again() -> None:
    world = World(surfrad(), 0, True, Counting)
    world.go_on(10)
    world.aht20.is_there = False
    world.go_on(10)
    world.aht20.is_there = True
    world.go_on(120)

    assert world.fault == trigger.OK
    assert not world.sent[-1][1] & SENSOR_FAULT


def test_the_battery_goes_with_every_frame_and_backlog_with_none() -> None:
    world = World(walk(60), 0, True, Counting)
    world.go_on(30)

    assert not [flags for _, flags, *_ in world.sent if flags & (LOW_BATTERY | BACKFILL)]
    assert world.node.battery_mv == 3800


def test_the_log_line_has_the_ten_fields_of_the_older_firmware_and_node_and_time() -> None:
    world = World(walk(60), 0, True, Counting)
    world.go_on(5)

    fields = world.said[-1].split(",")
    assert len(fields) == 12
    assert fields[6] in {"SKIP", "SEND & TRAIN", "HEARTBEAT"}
    assert fields[10] == "7"
    assert abs(int(fields[11]) - (1_451_606_400_000 + world.clock.now_ms())) < 61_000
    assert SETTINGS.period_s == 60
