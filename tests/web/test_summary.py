"""One node in short: its states now, AoII, spans of wrong estimates, and the small line."""

import pytest

from aoii.broker.node_liveness import STATES, NodeLiveness, Vouched
from aoii.web.estimate_accuracy import Instant
from aoii.web.points import Sample
from aoii.web.summary import (
    NODE_STATES,
    SPARK_POINTS,
    WRONG_SPANS_LIMIT,
    NodeHealth,
    NodeState,
    aoii_of,
    node_states,
    spark,
    wrong_spans,
)
from web.recorded import FLEET_SETTINGS

MINUTE_MS = 60_000
NOW_MS = 10_000_000


def instants(*wrong: bool) -> list[Instant]:
    return [Instant(minute * MINUTE_MS, each) for minute, each in enumerate(wrong)]


def samples(count: int) -> list[Sample]:
    return [Sample(minute, minute / 3, 0, 0, 0, False, False) for minute in range(count)]


def states(
    liveness: NodeLiveness = "ok", *, instants: tuple[Instant, ...] = (), health: NodeHealth | None = None
) -> list[NodeState]:
    return node_states(instants, health, NOW_MS, FLEET_SETTINGS, Vouched(liveness))


def test_aoii_grows_by_a_period_at_every_wrong_instant() -> None:
    aoii = aoii_of(instants(False, True, True, False), "log", 60)

    assert (aoii.basis, aoii.wrong, aoii.instants) == ("log", 2, 4)
    assert aoii.mean_s == (60 + 120) / 4


def test_neighbouring_wrong_instants_are_one_span() -> None:
    spans = wrong_spans(instants(True, False, True, True, False), 60)

    assert spans == [(0, MINUTE_MS), (2 * MINUTE_MS, 4 * MINUTE_MS)]


def test_only_the_latest_spans_are_kept() -> None:
    alternating = instants(*[True, False] * (WRONG_SPANS_LIMIT + 5))

    spans = wrong_spans(alternating, 60)

    assert len(spans) == WRONG_SPANS_LIMIT
    assert spans[-1][0] == alternating[-2].at_ms


def test_a_small_line_keeps_few_points_and_both_ends() -> None:
    values = spark(samples(1440))

    assert len(values) == SPARK_POINTS
    assert (values[0], values[-1]) == (0, round(1439 / 3, 2))
    assert spark(samples(3)) == [0, 0.33, 0.67]
    assert spark([]) == []


@pytest.mark.parametrize("liveness", STATES)
def test_without_a_log_the_gateways_decide_alone(liveness: NodeLiveness) -> None:
    assert states(liveness) == [liveness]
    assert node_states((), None, NOW_MS, FLEET_SETTINGS) == ["unknown"]


@pytest.mark.parametrize(("wrong", "expected"), [(True, "wrong"), (False, "correct")])
def test_a_fresh_log_says_whether_the_estimate_is_wrong(wrong: bool, expected: NodeState) -> None:
    assert set(states(instants=(Instant(NOW_MS - 60_000, wrong),))) == {expected, "ok"}


def test_an_old_log_says_nothing_about_now() -> None:
    assert states(instants=(Instant(NOW_MS - 180_000, True),)) == ["wrong", "ok"]
    assert states(instants=(Instant(NOW_MS - 180_001, True),)) == ["ok"]


def test_the_newest_instant_counts_only_when_its_packet_must_have_arrived() -> None:
    before = Instant(NOW_MS - 60_000, False)

    assert states(instants=(before, Instant(NOW_MS - 14_999, True))) == ["ok", "correct"]
    assert states(instants=(before, Instant(NOW_MS - 15_000, True))) == ["wrong", "ok"]


def test_what_a_node_reports_holds_beside_the_rest_in_the_order_of_states() -> None:
    health = NodeHealth(low_battery=True)

    found = states("sensor_fault", instants=(Instant(NOW_MS - 60_000, True),), health=health)

    assert found == ["sensor_fault", "wrong", "low_battery"]
    assert found == sorted(found, key=NODE_STATES.index)
    assert states(health=NodeHealth(battery_v=3.3)) == ["ok"]
