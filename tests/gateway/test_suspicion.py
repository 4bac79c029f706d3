"""What a gateway suspects of a node: a flash that was erased, a sensor that has failed. Nothing is lost by it."""

import pytest

from aoii.core.frames import SENSOR_FAULT
from aoii.gateway.gateway import Gateway
from aoii.gateway.suspicion import RepeatedNumbers, sensor_fault
from aoii.runtime import metrics
from gateway.station import NODE, Counts, Listener, OwnNode, reply, say
from servers import until

NAME = str(NODE)


def erased() -> float:
    return metrics.value(metrics.NODE_FLASH_ERASED, node=NAME)


def faulty(node: str = NAME) -> float:
    return metrics.value(metrics.NODE_SENSOR_FAULT, node=node)


def sentences(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    return [record.message for record in caplog.records if getattr(record, "event", "") == event]


def test_a_node_whose_flash_was_erased_is_named_once_with_the_cure(
    gateway: Gateway, far: int, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    node = OwnNode(far)
    for number in range(100, 103):
        node.send(number, number)
    assert erased() == 0
    counts = Counts()

    for number in (1, 1, 2, 2, 3, 3, 4, 5):  # each is sent again, because nobody answers
        node.transmit(node.frame(number, number))

    until(lambda: counts.since("gateway_rejected") == {"replay": 8})
    assert erased() == 1
    assert len(sentences(caplog, "flash_erased")) == 1
    assert "aoii node replace" in sentences(caplog, "flash_erased")[0]

    node.send(103, 103)  # as soon as a frame is accepted, all is well
    assert erased() == 0


def test_a_node_erased_in_its_first_days_is_named_too(gateway: Gateway, far: int) -> None:
    node = OwnNode(far)
    for number in range(1, 10):
        node.send(number, number)

    for number in range(1, 4):
        node.transmit(node.frame(number, number, 3000))

    until(erased)


def test_a_reading_with_a_counter_that_was_used_before_shows_it_at_once(gateway: Gateway, far: int) -> None:
    node = OwnNode(far)
    node.send(1, 1, 2150)

    node.transmit(node.frame(2, 1, 2500))

    until(erased)


@pytest.mark.parametrize(
    ("frames", "looks_erased"),
    [
        ([3], False),
        ([3, 3, 3, 3], False),
        ([3, 4], False),
        ([9, 7, 5, 3], False),
        ([3, 4, 5], True),
        ([3, 9, 9, 70], True),
        ([5, 6, 1, 2], False),
    ],
)
def test_only_several_old_numbers_that_rise_look_like_an_erased_flash(frames: list[int], looks_erased: bool) -> None:
    numbers = RepeatedNumbers()

    seen = [numbers.record("7", frame) for frame in frames]

    assert seen[-1] is looks_erased


def test_a_frame_that_is_accepted_ends_the_suspicion() -> None:
    numbers = RepeatedNumbers()
    for frame in (3, 4):
        numbers.record("7", frame)

    numbers.forget("7")

    assert not numbers.record("7", 5)


@pytest.mark.parametrize(
    ("temperature", "humidity", "is_fault"),
    [
        (85.0, 41.2, True),
        (-127.0, 0.0, True),
        (-45.0, 0.0, True),
        (130.0, 100.0, True),
        (-50.0, 0.0, True),
        (150.0, 100.0, True),
        (-46.85, -6.0, True),
        (250.0, 40.0, True),
        (21.0, 140.0, True),
        (84.99, 41.2, False),
        (85.01, 41.2, False),
        (-45.0, 71.0, False),
        (21.0, 0.0, False),
        (21.0, 100.0, False),
        (21.5, 40.0, False),
        (0.0, 0.0, False),
    ],
)
def test_values_that_failed_sensors_give_are_known_by_name(temperature: float, humidity: float, is_fault: bool) -> None:
    reason = sensor_fault(temperature, humidity)

    assert bool(reason) is is_fault


def test_a_reading_that_looks_like_a_failed_sensor_is_stored_marked_and_said_once(
    gateway: Gateway, far: int, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    node = OwnNode(far)

    node.send(1, 1, 8500)
    node.send(2, 2, 8500)
    assert faulty() == 1
    node.send(3, 3, 2150)

    assert faulty() == 0
    assert sorted(message["actual_t"] for message in listener.readings(3)) == [21.5, 85.0, 85.0]
    assert len(sentences(caplog, "sensor_suspected")) == 1
    node.send(4, 4, 2150, flags=1 | SENSOR_FAULT)
    assert faulty() == 1


def test_the_same_holds_for_an_old_node(gateway: Gateway, far: int, listener: Listener) -> None:
    say(far, "85.00,40.00")

    assert reply(far) is not None
    message = listener.next()
    assert message["actual_t"] == 85.0
    assert faulty(message["node"]) == 1
