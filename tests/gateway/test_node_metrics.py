"""What the gateway says of its nodes that takes longer to happen than a test may: days, thousands of numbers."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from aoii.broker.messages import Identity
from aoii.core.frames import BACKFILL, HEARTBEAT
from aoii.gateway import node_metrics
from aoii.gateway.node_metrics import NodeMetrics
from aoii.gateway.readings import AcceptedReading
from aoii.runtime import metrics
from gateway.station import KEYS, OwnNode, SteppedClock, configured, running, wait_connected
from servers import Mosquitto

NODE = "4711"  # in no other test
REPORTS = "aoii_node_aoii_reports_seconds"


def metrics_of(folder: Path, **settings: str) -> NodeMetrics:
    node = NodeMetrics(configured(folder, 1883, "gateway", folder / "absent", **settings).gateway)
    node.remove(NODE)
    return node


@pytest.fixture
def node(tmp_path: Path) -> NodeMetrics:
    return metrics_of(tmp_path)


def reading(counter: int, *, epoch: int = 1, kind: str = "event") -> AcceptedReading:
    return AcceptedReading(Identity(NODE, epoch, counter), kind, 21.0, 40.0, None, 0, True)  # type: ignore[arg-type]  # a plain text is one


def missing() -> float:
    return metrics.value(metrics.NODE_MISSING, node=NODE)


def test_numbers_that_were_skipped_are_missing_until_they_come(node: NodeMetrics) -> None:
    seen = []
    for counter, kind in (
        (7, "event"),
        (8, "event"),
        (12, "event"),
        (10, "backfill"),
        (9, "backfill"),
        (11, "backfill"),
    ):
        node.record_reading(reading(counter, kind=kind))
        seen.append(missing())

    assert seen == [0, 0, 3, 2, 1, 0]


def test_a_new_epoch_counts_from_the_beginning(node: NodeMetrics) -> None:
    node.record_reading(reading(7))
    node.record_reading(reading(9))

    node.record_reading(reading(1, epoch=2))

    assert missing() == 0


def test_what_is_missing_is_bounded_in_number_and_in_time(node: NodeMetrics, monkeypatch: pytest.MonkeyPatch) -> None:
    node.record_reading(reading(1))
    node.record_reading(reading(2**32 - 2))
    assert missing() == node_metrics.MISSING_KEPT

    monkeypatch.setattr(node_metrics, "MISSING_FOR_S", -math.inf)
    node.record_reading(reading(2**32 - 1))

    assert missing() == 0


def test_a_removed_node_is_in_no_metric(node: NodeMetrics) -> None:
    node.record_reading(reading(1))
    node.add_known(NODE, False, None)

    node.remove(NODE)

    named = {
        sample.name
        for family in metrics.BY_STATION["gateway"].collect()
        for sample in family.samples
        if NODE in sample.labels.values()
    }
    assert named == set()


def test_every_metric_with_a_label_for_the_node_goes_with_the_node() -> None:
    of_a_node = {metric for metric in metrics.DECLARED if "node" in metric._labelnames}

    assert of_a_node == set(metrics.PER_NODE)


def test_the_age_of_incorrect_information_is_bounded_from_below_by_the_readings(
    tmp_path: Path, mosquitto: Mosquitto, link: Path, far: int, name: str
) -> None:
    clock = SteppedClock()
    values = replace(configured(tmp_path / "data", mosquitto.port, name, link), clock=clock)
    node = OwnNode(far, node=8, key=KEYS[8].key)

    def aoii_s() -> float:
        return metrics.value(metrics.NODE_AOII_S, node="8")

    def reports(le: str = "+Inf") -> float:
        return metrics.BY_STATION["gateway"].get_sample_value(f"{REPORTS}_bucket", {"node": "8", "le": le}) or 0

    before = reports(), reports("0.0")
    with running(values) as gateway:
        wait_connected(gateway)
        node.send(1, 1, 2150)
        assert reports() == before[0], "before the first reading there is no estimate"

        clock.go_on(2000)
        node.send(2, 3, 2300, age_s=100)
        assert aoii_s() == 100
        clock.go_on(10)
        node.send(3, 2, 2250, flags=BACKFILL, age_s=1510)
        assert aoii_s() == 1500
        node.send(4, 4, 2310, flags=HEARTBEAT)
        assert aoii_s() == 0
        node.send(4, 4, 2310, flags=HEARTBEAT)

    assert (reports() - before[0], reports("0.0") - before[1]) == (3, 1)


@pytest.mark.parametrize(("period_s", "periods_in_90_s"), [(60, 1.5), (30, 3), (300, 0.3)])
def test_a_periodic_node_would_have_sent_once_for_each_sample_period(
    tmp_path: Path, period_s: int, periods_in_90_s: float
) -> None:
    def periods() -> float:
        return metrics.value(metrics.NODE_PERIODS, node=NODE)

    node = metrics_of(tmp_path, SAMPLE_PERIOD_S=str(period_s))
    node.expect(NODE)
    expected = periods()
    node.count_periods([NODE], 1000)  # its first reading has come: a periodic node would have sent it too
    first = periods()
    node.count_periods([NODE], 1090)

    assert (expected, first) == (0, 1)
    assert periods() == pytest.approx(1 + periods_in_90_s)


def test_the_periods_of_a_node_of_an_earlier_run_go_on(node: NodeMetrics) -> None:
    node.add_known(NODE, False, None)
    node.count_periods([NODE], 5)
    node.count_periods([NODE], 65)

    assert metrics.value(metrics.NODE_PERIODS, node=NODE) == 1
