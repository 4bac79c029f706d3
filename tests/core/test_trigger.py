"""When a node sends, and when its sensor is faulty."""

from hypothesis import given
from hypothesis import strategies as st

from aoii.core import trigger
from aoii.core.forecast import NodeSettings
from aoii.core.trigger import SensorCheck, Trigger

SETTINGS = NodeSettings(50, 300, 60, 0, 0, 1)
readings = st.integers(-4000, 8500)


@given(readings, readings, readings, readings)
def test_wrong_is_a_threshold_or_more_in_either_quantity(
    temperature_c: int, humidity_c: int, estimate_t_c: int, estimate_h_c: int
) -> None:
    wrong = trigger.is_wrong(temperature_c, humidity_c, (estimate_t_c, estimate_h_c), SETTINGS)

    assert wrong == (abs(temperature_c - estimate_t_c) / 100 >= 0.5 or abs(humidity_c - estimate_h_c) / 100 >= 3)


def test_it_speaks_when_the_forecast_has_been_wrong_for_tau_samples_and_until_it_is_right() -> None:
    three = Trigger()

    said = [
        three.decide(wrong, offered_wrong=False, heartbeat_due=False, tau=3)
        for wrong in (True, True, False, True, True, True, True, False)
    ]

    assert said == [trigger.SKIP] * 5 + [trigger.EVENT] * 2 + [trigger.SKIP]


def test_a_forecast_on_its_way_counts_as_the_worse_of_the_two_until_it_is_acknowledged() -> None:
    three = Trigger()

    said = [three.decide(*wrong, heartbeat_due=False, tau=3) for wrong in ((True, False), (True, False), (True, True))]
    three.offer()
    three.decide(wrong=True, offered_wrong=True, heartbeat_due=False, tau=3)
    three.acknowledge()

    assert said == [trigger.SKIP, trigger.SKIP, trigger.EVENT]
    assert three.decide(wrong=True, offered_wrong=False, heartbeat_due=False, tau=3) == trigger.SKIP  # wrong for two
    assert three.decide(wrong=True, offered_wrong=False, heartbeat_due=False, tau=3) == trigger.EVENT


def test_an_event_goes_before_a_heartbeat() -> None:
    assert Trigger().decide(wrong=True, offered_wrong=False, heartbeat_due=True, tau=1) == trigger.EVENT
    assert Trigger().decide(wrong=False, offered_wrong=False, heartbeat_due=True, tau=1) == trigger.HEARTBEAT
    assert Trigger().decide(wrong=False, offered_wrong=False, heartbeat_due=False, tau=1) == trigger.SKIP


def test_a_wrong_forecast_is_corrected_by_an_event_not_by_a_heartbeat() -> None:
    assert Trigger().decide(wrong=True, offered_wrong=False, heartbeat_due=True, tau=2) == trigger.SKIP


def test_the_ends_of_the_range_are_readings() -> None:
    assert [SensorCheck().judge(*reading) for reading in ((-4000, 0), (8500, 10000))] == ["", ""]


def test_a_sensor_is_stuck_after_many_equal_pairs_and_recovers_with_the_next_other_one() -> None:
    sensor = SensorCheck()

    verdicts = [sensor.judge(2000, 5000) for _ in range(trigger.STUCK_SAMPLES)]

    assert verdicts == [trigger.OK] * (trigger.STUCK_SAMPLES - 1) + [trigger.STUCK]
    assert sensor.judge(2000, 5001) == trigger.OK
