"""The states of a node now: how packets come, what its log says, and what it reports itself."""

import pytest

from aoii.web.estimate_accuracy import Instant
from aoii.web.node_health import NodeHealth
from aoii.web.node_settings import NodeSettings
from aoii.web.states import STATES, State, node_states

NODE_SETTINGS = NodeSettings(beta_temp=0.5, beta_hum=3.0, period_s=60, heartbeat_s=3600)
NOW_MS = 10_000_000


def states(
    last_packet_ms: int | None = NOW_MS, *, instants: tuple[Instant, ...] = (), health: NodeHealth | None = None
) -> list[State]:
    return node_states(last_packet_ms, instants, health, NOW_MS, NODE_SETTINGS)


@pytest.mark.parametrize(
    ("last_packet_ms", "expected"),
    [(None, "no_packets"), (NOW_MS - 4_200_001, "silent"), (NOW_MS - 4_200_000, "reporting")],
)
def test_without_a_log_the_last_packet_decides(last_packet_ms: int | None, expected: State) -> None:
    assert states(last_packet_ms) == [expected]


@pytest.mark.parametrize(("wrong", "expected"), [(True, "wrong"), (False, "correct")])
def test_a_fresh_log_says_whether_the_estimate_is_wrong(wrong: bool, expected: State) -> None:
    assert states(instants=(Instant(NOW_MS - 60_000, wrong),)) == [expected]


def test_an_old_log_says_nothing_about_now() -> None:
    assert states(instants=(Instant(NOW_MS - 180_000, True),)) == ["wrong"]
    assert states(instants=(Instant(NOW_MS - 180_001, True),)) == ["reporting"]


def test_the_newest_instant_counts_only_when_its_packet_must_have_arrived() -> None:
    before = Instant(NOW_MS - 60_000, False)

    assert states(instants=(before, Instant(NOW_MS - 14_999, True))) == ["correct"]
    assert states(instants=(before, Instant(NOW_MS - 15_000, True))) == ["wrong"]


def test_what_a_node_reports_holds_beside_the_rest_in_the_order_of_states() -> None:
    health = NodeHealth(low_battery=True, sensor_fault=True)

    found = states(instants=(Instant(NOW_MS - 60_000, True),), health=health)

    assert found == ["sensor_fault", "wrong", "low_battery"]
    assert found == sorted(found, key=STATES.index)
    assert states(health=NodeHealth(battery_v=3.3)) == ["reporting"]
